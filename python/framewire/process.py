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

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from framewire import _core
from framewire._spawning import READY_WITHIN, Overflow, Restart
from framewire.commands import commands_of
from framewire.handle import Handle, Starting
from framewire.system import System, default_system

__all__ = ["Context", "Process"]


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
        taken = (OPTIONS.keys() | {"name", "system"}) & set(
            code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        )
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
        options = {option: own[option] for option in OPTIONS}
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
        given = {option: options.pop(option) for option in list(options) if option in OPTIONS}
        return (system or default_system())._begin(cls, args, options, name, given)


# The options of `spawn` for the process itself, and what they are if nothing is said.
OPTIONS: dict[str, Any] = {
    option: default
    for option, default in cast(Any, Process.spawn).__func__.__kwdefaults__.items()
    if option not in ("name", "system")
}
