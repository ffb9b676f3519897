"""Supervisors of processes: the one that each interpreter has, and others."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

from framewire import _core, _options, _preparation
from framewire._failures import SpawnError
from framewire._spawning import GRACE, core_options
from framewire.commands import commands_of
from framewire.handle import Handle, Starting

if TYPE_CHECKING:
    from framewire.process import Process

__all__ = ["System", "default_system", "spawn_program", "stop_systems"]

T = TypeVar("T", bound="Process")


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
        from framewire.process import OPTIONS  # which imports this module

        given = core_options(options, OPTIONS)
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
