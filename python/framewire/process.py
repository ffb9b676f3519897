"""Message processes: isolated children with typed commands, events, a start and a stop, under a supervisor.

    import framewire

    class Detector(framewire.Process):
        def start(self, threshold: float = 0.5) -> None:      # in the child, with what `spawn` was given
            self.threshold = threshold

        @framewire.command
        def detect(self, image: bytes) -> int:
            return len(image)

    if __name__ == "__main__":
        with Detector.spawn(threshold=0.7) as detector:
            print(detector.detect(b"...").wait(timeout=5))

Every call ends: in an answer, in the exception that the handler raised, in a time-out, or in the news that the process
died.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Concatenate, Generic, Literal, NamedTuple, ParamSpec, Self, TypeVar, cast, overload
from weakref import WeakSet

from framewire import _core, _options, _preparation
from framewire._failures import CallTimeoutError, SpawnError
from framewire.errors import ForkedError
from framewire.exit import Exit

__all__ = [
    "Call",
    "Command",
    "Context",
    "Events",
    "Handle",
    "Process",
    "Restart",
    "Starting",
    "System",
    "command",
    "default_system",
    "spawn_program",
]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T", bound="Process")
H = TypeVar("H", covariant=True)

Overflow = Literal["drop_oldest", "drop_newest", "wait"]
State = Literal["starting", "ready", "stopping", "restarting", "exited", "failed"]

# How long a process has to stop, if nothing else is said; in seconds. It is gone sooner if it can: an interpreter may
# be in the middle of a long call of C code.
GRACE = 2.0
# How long it has to become ready: a model may have to be loaded.
READY_WITHIN = 30.0


class Restart(NamedTuple):
    """When a process is started again, and how soon.

    Attributes:
        when: `"never"`; `"on_failure"`, unless it ended with code 0; or `"always"`.
        at_most: After so many restarts within the period it is given up.
        within: The period, in seconds.
        longest_delay: Restarts wait 20 ms, then twice as long each time, up to so many seconds, until it works for two.

    """

    when: Literal["never", "on_failure", "always"] = "never"
    at_most: int = 5
    within: float = 60.0
    longest_delay: float = 10.0


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


class Context:
    """What a process knows of the world: `self.context`, in the child."""

    def __init__(self, core: _core.ChildContext) -> None:
        self._core = core

    @property
    def name(self) -> str:
        """Its name."""
        return self._core.name

    def progress(self) -> None:
        """Says that the command being handled goes on, for one that takes longer than `responsive_within`."""
        self._core.progress()

    def is_cancelled(self) -> bool:
        """Whether whoever made the call being handled doesn't want its answer any more.

        A handler that takes long looks at this now and then. An `async def` one needn't: it is cancelled where it
        awaits.
        """
        return self._core.is_cancelled()

    def emit(self, event: Any) -> None:
        """Says something unasked, to whoever reads `handle.events`; see `spawn`'s `overflow` for when nobody does."""
        self._core.emit(event)

    def watch(self, fileno: int, callback: Callable[[], object]) -> int:
        """Has `callback` called between commands whenever the descriptor is readable, or has hung up.

        What it raises ends the process. The watch begins when the handler that asks for it returns.

        Returns:
            A number for `unwatch`.

        Raises:
            OSError: The descriptor isn't open, or can't be watched, as a plain file can't.

        """
        return self._core.watch(fileno, callback)

    def unwatch(self, watch: int) -> None:
        """End a watch."""
        self._core.unwatch(watch)

    def system(self) -> System:
        """Give the supervisor of this process's own children. They die with this process, however that dies."""
        return default_system()


class Process:
    """A process: subclass it, give it commands, and `spawn` it.

    An instance lives in the child only. It is made there without arguments; `start` gets those of `spawn`.

    Attributes:
        concurrent_calls: How many `async def` commands run at once; further ones wait in order.
        context: The child's view of the world.

    """

    concurrent_calls: ClassVar[int] = 64
    context: Context

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in commands_of(cls):
            if hasattr(Handle, name):
                raise TypeError(
                    f"could not make {cls.__name__}.{name} a command: a handle has a {name!r} of its own; rename it"
                )
        if not isinstance(cls.concurrent_calls, int) or cls.concurrent_calls < 1:
            raise TypeError(f"{cls.__name__}.concurrent_calls is {cls.concurrent_calls!r}, and should be at least 1")
        code = getattr(cls.start, "__code__", None)
        taken = _OPTIONS.keys() & set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ())
        if taken:
            raise TypeError(
                f"{cls.__name__}.start has a parameter {sorted(taken)[0]!r}, which is an option of spawn; rename it"
            )

    def start(self, *args: Any, **config: Any) -> Any:
        """Make it ready, in the child, with the arguments of `spawn`. An exception is that of `spawn`, as text."""

    def stop(self) -> Any:
        """Do the last thing, when it was asked to stop. It has as long as its stop was given."""

    def emit(self, event: Any) -> None:
        """Says something unasked, to whoever reads `handle.events`."""
        self.context.emit(event)

    @classmethod
    def spawn(
        cls,
        *args: Any,
        name: str | None = None,
        system: System | None = None,
        restart: str | Restart = "never",
        ready_within: float = READY_WITHIN,
        responsive_within: float | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        nice: int | None = None,
        cpus: Sequence[int] | None = None,
        limits: Mapping[str, int] | None = None,
        memory_limit: int | None = None,
        overflow: Overflow = "drop_oldest",
        unread_events: int = 1024,
        wait_for_restart: bool = False,
        preload: Sequence[str] | None = None,
        **config: Any,
    ) -> Handle[Self]:
        """Start a process of this class and return when its `start` has, in the child.

        Args:
            *args: For `start`.
            name: Unique in its system; by default the class's, and a number.
            system: Its supervisor; by default this interpreter's own.
            restart: When it is started again: `"never"`, `"on_failure"`, `"always"`, or a `Restart`.
            ready_within: How long it has to become ready, at each start, in seconds.
            responsive_within: If it has something to do and makes no progress for so many seconds, it is killed; see
                `Context.progress`.
            env: Variables to set, or, with `None`, to take away.
            cwd: Its working folder.
            nice: Its nice value, 19 the most modest.
            cpus: The processors that it may run on, counted from 0.
            limits: Resource limits: `open_files`, `core_bytes`, `cpu_seconds`, `file_bytes`, `address_space_bytes`,
                `data_bytes`, `processes`, `stack_bytes`, `locked_bytes`.
            memory_limit: How much private memory it may have, in bytes; beyond, it is killed.
            overflow: What happens when so many events are unread: the oldest go, the newest go, or the process waits.
            unread_events: How many.
            wait_for_restart: Calls wait for a restart, those in flight are put again (a handler may run twice); by
                default they fail.
            preload: Modules. It is a copy of a *zygote*: an interpreter that was started once and has imported them
                (`"__main__"` among them is the main module). All with the same modules have one between them. By
                default as its system says. See `System` for what a copy can't be.
            **config: For `start`, by name.

        Returns:
            A handle. It owns the process: when the last reference goes, the process is stopped.

        Raises:
            StartError: It isn't ready in time, ended before, or its `start` raised. None of it is left.
            SpawnError: Nothing can be spawned from here, or not this class; the text says what to do.

        """
        own = locals()
        options = {option: own[option] for option in _OPTIONS if option not in ("name", "system")}
        return (system or default_system())._begin(cls, args, config, name, options).wait()

    @classmethod
    def begin(cls, *args: Any, name: str | None = None, system: System | None = None, **options: Any) -> Starting[Self]:
        """Start a process of this class without waiting until it is ready, so that many can start at once.

        Args:
            *args: For `start`.
            name: Unique in its system; by default the class's, and a number.
            system: Its supervisor; by default this interpreter's own.
            **options: Those of `spawn`, and what `start` takes by name.

        Raises:
            SpawnError: Nothing can be spawned from here, or not this class; the text says what to do.

        """
        given = {option: options.pop(option) for option in list(options) if option in _OPTIONS}
        return (system or default_system())._begin(cls, args, options, name, given)


# The options of `spawn`, and what they are if nothing is said.
_OPTIONS: dict[str, Any] = dict(cast(Any, Process.spawn).__func__.__kwdefaults__)


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


class System:
    """A supervisor of processes. There is one by default; another one is for what is to end together.

    As a context manager it stops all its processes when it is left.

    By default each process is an interpreter of its own, started anew: some 50 ms of work before its own imports. With
    `preload` it is a copy of a *zygote*, an interpreter that has imported these modules and `framewire` before: some
    2 ms, and memory that is shared until it is written. `"__main__"` among them is the main module, with all that it
    imports. That isn't for what doesn't survive a fork: CUDA that is in use, and modules that start threads when they
    are imported (OpenBLAS's are ended before, and start again when they are needed). Where there can be no zygote, each
    is started anew, and the log says why. What a module makes when it is imported (open files, random numbers of its
    own) is the same in all copies; `random` and `numpy.random` are seeded anew. Variables such as `PYTHONHASHSEED` take
    effect at an interpreter's start, and are the zygote's.

    Attributes:
        preload: For all its processes and pools for which nothing else is said: `None`, or names of modules, also none.

    """

    def __init__(self, preload: Sequence[str] | None = None) -> None:
        _preparation.refuse()
        self.preload = preload
        self._core = _core.System()
        self._pid = os.getpid()
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        _systems.add(self)

    def spawn_program(
        self,
        program: str | os.PathLike[str] | Sequence[str],
        *,
        kind: str,
        config: Any = None,
        name: str | None = None,
        **options: Any,
    ) -> Handle[Any]:
        """Start a program in another language as one of its kinds of process; see `framewire.spawn_program`."""
        command = [os.fspath(program)] if isinstance(program, (str, os.PathLike)) else list(program)
        if options.get("preload") is not None:
            raise TypeError(f"could not spawn {command[0]}: only a Python process can have modules preloaded")
        starting = self._launch(command, None, None, config, kind, self._name(kind) if name is None else name, options)
        return Handle(starting.wait(), None, self)

    def stop(self, grace: float = GRACE) -> None:
        """Stop all processes, and start no more; they are gone when this returns."""
        self._core.stop_all(grace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _name(self, stem: str) -> str:
        with self._lock:
            count = self._counts[stem] = self._counts.get(stem, 0) + 1
        return stem if count == 1 else f"{stem}-{count}"

    def _begin(
        self, kind: type[T], args: tuple[Any, ...], config: dict[str, Any], name: str | None, options: dict[str, Any]
    ) -> Starting[T]:
        _preparation.refuse()
        import inspect  # takes some milliseconds, which most children have no use for

        target = _target(kind)
        # Such a mistake is told here, and not by a child.
        try:
            inspect.signature(kind.start).bind(None, *args, **config)
        except TypeError as error:
            raise TypeError(f"could not spawn a {kind.__name__}: its start doesn't take that: {error}") from None
        preparation = _preparation.make(target, _preparation.pickle_by_value(kind, kind.__name__))
        command = _preparation.worker_command(target)
        name = self._name(kind.__name__.lower()) if name is None else name
        zygote = self._zygote(options.get("preload"))
        starting = self._launch(command, zygote, preparation, (args, config), None, name, options)
        return Starting(starting, frozenset(commands_of(kind)), self)

    def _zygote(self, preload: Sequence[str] | None) -> list[str] | None:
        """Give the command of the zygote, if there is to be one."""
        modules = self.preload if preload is None else preload
        if modules is None:
            return None
        if isinstance(modules, str):
            raise TypeError(f"could not preload {modules!r}: give a list of modules, [{modules!r}]")
        return _preparation.zygote_command(modules)

    def _launch(
        self,
        command: list[str],
        zygote: list[str] | None,
        preparation: bytes | None,
        config: Any,
        kind: str | None,
        name: str,
        options: dict[str, Any],
    ) -> _core.Starting:
        given = _core_options(options)
        try:
            _options.name(name)
        except (TypeError, ValueError) as error:
            raise type(error)(f"could not spawn a process: {error}") from None
        folder = given["cwd"]
        if folder is not None and not os.path.isdir(folder):
            raise SpawnError(
                f"could not spawn {name}: its working folder is to be {folder!r}, and there is no such folder"
            )
        return self._core.begin(command, zygote, preparation, config, {**given, "name": name, "kind": kind})


def _core_options(options: dict[str, Any]) -> dict[str, Any]:
    defaults = {key: value for key, value in _OPTIONS.items() if key not in ("name", "system")}
    unknown = set(options) - set(defaults)
    if unknown:
        raise TypeError(
            f"could not spawn a process: there is no option {sorted(unknown)[0]!r}; there are {', '.join(defaults)}"
        )
    given = {**defaults, **options}

    def unless_none(option: str, check: Callable[[Any], R]) -> R | None:
        return None if given[option] is None else check(given[option])

    try:
        return {
            "restart": _restart(given["restart"]),
            "ready_within": _options.seconds("ready_within", given["ready_within"]),
            "responsive_within": unless_none("responsive_within", lambda it: _options.seconds("responsive_within", it)),
            "env": _options.environment(given["env"] or {}),
            "cwd": unless_none("cwd", os.fspath),
            "nice": unless_none("nice", lambda it: _options.whole("nice", it, -20, 19)),
            "cpus": unless_none("cpus", _options.processors),
            "limits": _limits(given["limits"] or {}),
            "memory_limit": unless_none("memory_limit", lambda it: _options.whole("memory_limit", it, 1)),
            "overflow": (str(given["overflow"]), _options.whole("unread_events", given["unread_events"], 1)),
            "wait_for_restart": bool(given["wait_for_restart"]),
        }
    except (TypeError, ValueError) as error:
        raise type(error)(f"could not spawn a process: {error}") from None


def _restart(given: Any) -> tuple[str, int, float, float]:
    if isinstance(given, str):
        given = Restart(cast(Any, given))
    if not isinstance(given, Restart):
        raise TypeError(f"restart is {given!r}, and should be 'never', 'on_failure', 'always' or a framewire.Restart")
    return (
        str(given.when),
        _options.whole("at_most of its Restart", given.at_most, 0),
        _options.seconds("within of its Restart", given.within),
        _options.seconds("longest_delay of its Restart", given.longest_delay),
    )


def _limits(given: Any) -> list[tuple[str, int]]:
    if not isinstance(given, Mapping):
        raise TypeError(f"limits is {given!r}, and should be a dict, such as {{'open_files': 1024}}")
    return [(str(limit), _options.whole(f"the limit {limit!r}", value, 0)) for limit, value in given.items()]


def _target(kind: type[Process]) -> str:
    if "<locals>" in kind.__qualname__ and _preparation.pickle_by_value(kind, kind.__name__) is None:
        raise SpawnError(
            f"could not spawn a {kind.__qualname__}: a class inside of a function can't be imported by another "
            "process; move it to the module's top level"
        )
    return f"{kind.__module__}:{kind.__qualname__}"


_systems: WeakSet[System] = WeakSet()
_default: System | None = None
_default_lock = threading.Lock()


def default_system() -> System:
    """Give this interpreter's own supervisor. Its processes are stopped when the interpreter exits."""
    global _default
    with _default_lock:
        # A forked child has a copy, without the thread behind it.
        if _default is None or _default._pid != os.getpid():
            _default = System()
        return _default


def spawn_program(
    program: str | os.PathLike[str] | Sequence[str],
    *,
    kind: str,
    config: Any = None,
    name: str | None = None,
    **options: Any,
) -> Handle[Any]:
    """Start a program that isn't Python as one of its kinds of process, as `process::Program` has them.

    Args:
        program: Its path, or a command line that begins with it.
        kind: What it is to become: a `Process::KIND`.
        config: Its configuration: what MessagePack can hold (`None`, bool, int, float, str, bytes, list, dict).
        name: Unique in its system; by default the kind, and a number.
        **options: As `Process.spawn`.

    Returns:
        A handle. Commands take their arguments by name: `handle.add(one=1, other=2).wait()`. A `Result` of Rust's is
        a dict with `"Ok"` or `"Err"`.

    Raises:
        StartError: It isn't ready in time, ended before, or can't be run.

    """
    return default_system().spawn_program(program, kind=kind, config=config, name=name, **options)


def stop_systems() -> None:
    """Stop what this process has started: at its exit."""
    here = os.getpid()
    own = [system for system in _systems if system._pid == here]  # a forked child has only copies
    for system in own:
        system._core.stop_all(GRACE)
    if own:
        _core.flush_log()


def _forked() -> None:
    global _default, _default_lock
    _default, _default_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)
atexit.register(stop_systems)
