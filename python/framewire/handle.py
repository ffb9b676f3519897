"""A process as the one that spawned it sees it: its handle, its events, and its start."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, cast

from framewire import _core
from framewire._failures import CallTimeoutError
from framewire._spawning import GRACE
from framewire.commands import Call
from framewire.errors import ForkedError
from framewire.exit import Exit

if TYPE_CHECKING:
    from framewire.system import System

__all__ = ["Events", "Handle", "Starting"]

R = TypeVar("R")
H = TypeVar("H", covariant=True)

State = Literal["starting", "ready", "stopping", "restarting", "exited", "failed"]


class Events(Generic[R]):
    """What a process says unasked, over all its incarnations: iterate, with `for` or `async for`."""

    def __init__(self, core: _core.Handle) -> None:
        self._core = core

    def next(self, timeout: float | None = None) -> R:
        """Wait for the next one, `timeout` seconds at most.

        Raises:
            CallTimeoutError: There is none within the limit.
            StopIteration: There will never be another one.

        """
        came = self._core.next_event().wait(timeout)
        if came is None:
            if self._core.exit is None:
                error = CallTimeoutError(f"could not wait for an event of {self._core.name}: none within {timeout} s")
                error.name = self._core.name
                raise error
            raise StopIteration
        return cast(R, came[0])

    @property
    def dropped(self) -> int:
        """How many were dropped because nobody read them."""
        return self._core.dropped_events()

    def __iter__(self) -> Iterator[R]:
        while (came := self._core.next_event().wait()) is not None:
            yield came[0]

    async def __aiter__(self) -> AsyncIterator[R]:
        from framewire import aio

        while (came := await aio.run(self._core.next_event())) is not None:
            yield came[0]


class Handle(Generic[H]):
    """A process under supervision, seen from the one that spawned it, over all its incarnations.

    Its class's commands are its methods: `handle.detect(image)` gives a `Call`. It owns the process: as a context
    manager it stops it, and so does dropping the last reference, without waiting.
    """

    def __init__(self, core: _core.Handle, commands: frozenset[str] | None, system: System) -> None:
        self._core = core
        self._commands = commands
        self._system = system
        self._sentinel: _core.Bell | None = None

    def __getattr__(self, name: str) -> Callable[..., Call[Any]]:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._commands is not None and name not in self._commands:
            known = ", ".join(sorted(self._commands)) or "none at all"
            raise AttributeError(f"{self.name} has no command {name!r}; it has {known}")
        core = self._core

        def call(*args: Any, **kwargs: Any) -> Call[Any]:
            return Call(core.call(name, args, kwargs))

        call.__name__ = name
        # The next access finds it without asking here.
        self.__dict__[name] = call
        return call

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(self._commands or ())})

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Put a call of the command `name` together."""
        return Call(self._core.call(name, args, kwargs))

    @property
    def events(self) -> Events[Any]:
        """What it says unasked."""
        return Events(self._core)

    def on_event(self, callback: Callable[[Any], object]) -> None:
        """Has `callback` called with each event, in a thread of its own, until the process has ended for good."""

        def listen() -> None:
            for event in self.events:
                callback(event)

        threading.Thread(target=listen, name=f"events of {self.name}", daemon=True).start()

    @property
    def name(self) -> str:
        """Its name."""
        return self._core.name

    @property
    def pid(self) -> int | None:
        """Its process identifier, while it runs."""
        return self._core.pid

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return cast(State, self._core.state)

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return self._core.restarts

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._core.pid is not None

    @property
    def exit(self) -> Exit | None:
        """How it ended, if it has and won't be started again."""
        how = self._core.exit
        return Exit(*how) if how is not None else None

    @property
    def exitcode(self) -> int | None:
        """As `multiprocessing.Process.exitcode`: `None` while it lives, -9 after SIGKILL."""
        how = self._core.exit
        return how[2] if how is not None else None

    @property
    def last_exit(self) -> Exit | None:
        """How its latest incarnation that ended did so."""
        known = self._core.last_exit
        return Exit(*known[0]) if known is not None else None

    @property
    def last_lines(self) -> list[str]:
        """What its latest incarnation that ended wrote last, 20 lines at most."""
        known = self._core.last_exit
        return known[1] if known is not None else []

    def join(self, timeout: float | None = None) -> Exit | None:
        """Wait until it has ended for good, `timeout` seconds at most. `None` if it hasn't."""
        how = self._core.ended().wait(timeout)
        return Exit(*how) if how is not None else None

    async def ended(self) -> Exit:
        """Awaits its end for good."""
        from framewire import aio

        return Exit(*await aio.run(self._core.ended()))

    def fileno(self) -> int:
        """Give a descriptor that is readable once it has ended for good, for `select` and its like."""
        if self._sentinel is None:
            bell = _core.Bell()
            self._core.sentinel(bell)
            self._sentinel = bell
        return self._sentinel.fileno()

    sentinel = property(fileno, doc="As `multiprocessing.Process.sentinel`: the same as `fileno()`.")

    def stop(self, grace: float = GRACE) -> Exit | None:
        """Stop it for good, and return how it ended when it is gone.

        It is asked; after seven eighths of `grace` seconds its process group gets SIGTERM, and after all of them
        SIGKILL.
        """
        self._core.stop(grace)
        return self.exit

    def terminate(self) -> None:
        """Send SIGTERM to it and its process group; by its policy it may be started again."""
        self._core.terminate()

    def kill(self) -> None:
        """Send SIGKILL to it and its process group; by its policy it may be started again."""
        self._core.kill()

    def interrupt(self) -> None:
        """Send SIGINT: the handler at work there gets a `KeyboardInterrupt`; without one, nothing happens."""
        self._core.interrupt()

    def detach(self) -> None:
        """Give it to its system: it isn't stopped any more when this handle goes."""
        self._core.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.stop)

    def __repr__(self) -> str:
        try:
            return f"<framewire.Handle {self.name}: {self.state}, pid {self.pid}>"
        except ForkedError:
            return f"<framewire.Handle {self.name}: of another process>"

    def __reduce__(self) -> Any:
        raise TypeError(f"could not pickle the handle of {self.name}: it belongs to the process that spawned it")


class Starting(Generic[H]):
    """A process that was started and may not be ready yet: `wait` or `await` it. Dropped, it is stopped.

    Attributes:
        handle: A handle on it already.

    """

    def __init__(self, core: _core.Starting, commands: frozenset[str], system: System) -> None:
        self._core = core
        self.handle: Handle[H] = Handle(core.handle(), commands, system)

    def wait(self) -> Handle[H]:
        """Wait until it is ready.

        Raises:
            StartError: It isn't ready in time, ended before, or its `start` raised. None of it is left.

        """
        self._core.wait()
        return self.handle

    def __await__(self) -> Generator[Any, None, Handle[H]]:
        """Await that it is ready, as `wait`; a thread waits for it.

        Cancelling the task ends the waiting. What isn't wanted any more is stopped when this object and its handle are
        dropped.
        """
        import asyncio

        yield from asyncio.to_thread(self._core.wait).__await__()
        return self.handle
