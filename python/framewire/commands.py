"""Commands: methods of a process that can be asked for from another one, and the calls that ask."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from framewire import _core

if TYPE_CHECKING:
    from framewire.handle import Handle
    from framewire.process import Process

__all__ = ["Call", "Command", "command", "commands_of"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")


class Call(Generic[R_co]):
    """A question that hasn't been put yet: `wait`, `await` or `detach` does. Its arguments are encoded already."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Call) -> None:
        self._core = core

    def wait(self, timeout: float | None = None) -> R_co:
        """Ask and wait for the answer.

        Args:
            timeout: In seconds; `None` waits as long as the process takes, but not longer than it lives.

        Raises:
            DiedError: The process ended before it answered; `error.how` says how.
            CallTimeoutError: The limit was over; the call is cancelled.
            NotRunningError: It doesn't run.
            HandlerError: The handler failed, and its exception can't be raised here.
            Exception: Whatever the handler raised, with the traceback there as its `__cause__`.

        """
        return cast(R_co, self._core.wait(timeout))

    def __await__(self) -> Generator[Any, None, R_co]:
        """Asks; cancelling the task cancels the call. Raises what `wait` does."""
        from framewire import aio  # asyncio takes some milliseconds, which most children have no use for

        answer: R_co = yield from aio.run(self._core.begin()).__await__()
        return answer

    def detach(self) -> None:
        """Asks, and doesn't want to know. If it can't even be asked, that is logged."""
        self._core.detach()

    def __repr__(self) -> str:
        return "<framewire.Call: nothing happens until wait(), await or detach()>"


class Command(Generic[P, R]):
    """A method that can be asked for from another process.

    In the child it is the method. On the class, in the parent, it makes a typed call: `Detector.detect(handle,
    image)` is `handle.detect(image)`, and a type checker knows its arguments and its answer.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function) or not hasattr(function, "__name__"):
            raise TypeError(
                f"could not make {function!r} a command: it is no method; put @framewire.command directly above `def`, "
                "and no @property or @staticmethod between"
            )
        self.function = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Process, owner: type) -> Callable[P, R]: ...
    def __get__(self, instance: Process | None, owner: type) -> Any:
        return self if instance is None else self.function.__get__(instance, owner)

    def __call__(self, handle: Handle[Any], *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Put a call together."""
        return handle.call(self.__name__, *args, **kwargs)


@overload
def command(function: Callable[Concatenate[S, P], Coroutine[Any, Any, R]]) -> Command[P, R]: ...
@overload
def command(function: Callable[Concatenate[S, P], R]) -> Command[P, R]: ...
def command(function: Callable[..., Any]) -> Command[Any, Any]:
    """Make a method of a `Process` one that can be asked for.

    A plain one has the process to itself: one after the other, in order. Those that are `async def` run at once, up to
    `concurrent_calls`, in the child's only thread, taking turns where they await.
    """
    return Command(function)


def commands_of(kind: type[Process]) -> list[str]:
    """List the names of a class's commands."""
    found: dict[str, bool] = {}
    for base in kind.__mro__:
        for name, member in vars(base).items():
            found.setdefault(name, isinstance(member, Command))
    return sorted(name for name, is_command in found.items() if is_command)
