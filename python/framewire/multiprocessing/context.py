"""The context: what each name of the module makes."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable
from multiprocessing import context as standard
from multiprocessing import process, util
from multiprocessing.sharedctypes import Array as _Array
from multiprocessing.sharedctypes import Value as _Value
from typing import Any, ClassVar

import framewire
import framewire.system
from framewire.multiprocessing import pickling, queues
from framewire.multiprocessing.chosen import chosen
from framewire.multiprocessing.making import made

METHOD = "framewire"

pickling.install()

# What is registered last is called first: the standard library waits for processes that are no daemons, and then
# Framewire stops what is left.
_join_processes: Any = vars(util)["_exit_function"]  # the type checker's stubs lack it
atexit.unregister(_join_processes)
atexit.register(_join_processes)


class Process(process.BaseProcess):
    """As :class:`multiprocessing.Process`; it doesn't outlive its parent, daemon or not."""

    # `None`: a child that uses the standard module too finds that as usual.
    _start_method: ClassVar[str | None] = None

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:
        return _start(process_obj, chosen.choice.method)

    @staticmethod
    def _after_fork() -> None:
        """What there is to do after a fork is done when the interpreter is copied."""


class SpawnProcess(Process):
    """An interpreter of its own, started anew."""

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:
        return _start(process_obj, "spawn")


class ForkServerProcess(Process):
    """A copy of an interpreter that has imported what :func:`set_forkserver_preload` said."""

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:
        return _start(process_obj, "forkserver")


class _Count:
    """For the standard library's own queues, which `concurrent.futures` makes with a semaphore and counts by this."""

    def __init__(self, semaphore: framewire.BoundedSemaphore) -> None:
        self._semaphore = semaphore

    def _get_value(self) -> int:
        return self._semaphore.get_value()

    def _is_zero(self) -> bool:
        return self._semaphore.get_value() == 0


def _start(process_obj: process.BaseProcess, method: str) -> Any:
    from framewire.multiprocessing.popen import Popen

    return Popen(process_obj, method)


class Context(standard.BaseContext):
    """Makes processes and what they share."""

    _name = METHOD
    Process: ClassVar[type[process.BaseProcess]] = Process

    def Lock(self) -> framewire.Lock:  # type: ignore[override]
        """A lock that any process may release; a killed owner's is free again."""
        return made(lambda: framewire.Lock())

    def RLock(self) -> framewire.RLock:  # type: ignore[override]
        """A lock that its owner may take again."""
        return made(lambda: framewire.RLock())

    def Condition(self, lock: framewire.Lock | framewire.RLock | None = None) -> framewire.Condition:  # type: ignore[override]
        """A condition, over an :class:`RLock` of its own if no lock is given."""
        return made(lambda: framewire.Condition(framewire.RLock() if lock is None else lock))

    def Semaphore(self, value: int = 1) -> framewire.Semaphore:  # type: ignore[override]
        """A semaphore, for counting too; a permit of a process killed within `with semaphore` comes back."""
        return made(lambda: framewire.Semaphore(value, robust=False))

    def BoundedSemaphore(self, value: int = 1) -> framewire.BoundedSemaphore:  # type: ignore[override]
        """A semaphore that can't be released more often than it was taken."""
        semaphore = made(lambda: framewire.BoundedSemaphore(value, robust=False))
        semaphore._semlock = _Count(semaphore)  # type: ignore[attr-defined]
        return semaphore

    def Event(self) -> framewire.Event:  # type: ignore[override]
        """A flag that processes wait for."""
        return made(lambda: framewire.Event())

    def Barrier(  # type: ignore[override]
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> framewire.Barrier:
        """A meeting point, broken for all if one of them is killed."""
        return made(lambda: framewire.Barrier(parties, action, timeout))

    def Queue(self, maxsize: int = 0) -> Any:
        """A queue: `put` returns when the item is in it, or, if there is no room, waits in this process."""
        return queues.Queue(maxsize)

    def JoinableQueue(self, maxsize: int = 0) -> Any:
        """A queue whose :meth:`join` waits until each item is done; a killed consumer's come back."""
        return queues.JoinableQueue(maxsize)

    def SimpleQueue(self) -> Any:
        """A queue with `get`, `put`, `empty` and `close`."""
        return queues.SimpleQueue()

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> Any:
        """A pool; a killed worker fails the task that it was at, and no other."""
        from framewire.multiprocessing.pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self)

    def Manager(self) -> Any:
        """A started manager: its server, and the workers of its pools, are Framewire's processes."""
        from framewire.multiprocessing.managers import SyncManager

        manager = SyncManager(ctx=self)
        manager.start()
        return manager

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
        """A ctypes object in shared memory, with a lock."""
        return _Value(typecode_or_type, *args, lock=self._lock(lock), ctx=self)

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:
        """A ctypes array in shared memory, with a lock."""
        return _Array(typecode_or_type, size_or_initializer, lock=self._lock(lock), ctx=self)

    @staticmethod
    def _lock(lock: Any) -> Any:
        return framewire.RLock() if lock in (True, None) else lock

    def get_context(self, method: str | None = None) -> Context:  # type: ignore[override]
        """The context of a start method, or the one that was chosen."""
        if method is None:
            return _contexts[chosen.choice.method]
        found = _contexts.get("spawn" if method == METHOD else method)
        if found is None:
            raise ValueError(f"cannot find context for {method!r}: framewire has {' and '.join(map(repr, _contexts))}")
        return found

    def get_start_method(self, allow_none: bool = False) -> str:
        """How processes are started."""
        return chosen.choice.method

    def get_all_start_methods(self) -> list[str]:
        """How they can be: anew (`"spawn"`), or as copies of an interpreter (`"forkserver"`)."""
        return list(_contexts)

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose how; it may be chosen again."""
        known = self.get_context("spawn" if method is None else method).get_start_method()
        chosen.take(chosen.choice._replace(method=known))

    def set_forkserver_preload(self, module_names: list[str]) -> None:
        """Choose what the interpreter imports that is copied; `["__main__"]` if nothing is said."""
        if not all(isinstance(name, str) for name in module_names):
            raise TypeError("module_names must be a list of strings")
        chosen.take(chosen.choice._replace(preload=tuple(module_names)))

    def set_executable(self, executable: str) -> None:
        """The interpreter for new processes."""
        sys.executable = os.fsdecode(executable)


class _Fixed(Context):
    """One way to start processes, whatever is chosen elsewhere."""

    _method: ClassVar[str]

    def get_context(self, method: str | None = None) -> Context:  # type: ignore[override]
        """This one, or that of another start method."""
        return self if method is None else super().get_context(method)

    def get_start_method(self, allow_none: bool = False) -> str:
        """Its own."""
        return self._method

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Raise an error: it has one."""
        raise ValueError("cannot set start method of concrete context")


class SpawnContext(_Fixed):
    """Processes are started anew."""

    _method = "spawn"
    Process: ClassVar[type[process.BaseProcess]] = SpawnProcess


class ForkServerContext(_Fixed):
    """Processes are copies of an interpreter."""

    _method = "forkserver"
    Process: ClassVar[type[process.BaseProcess]] = ForkServerProcess


_contexts: dict[str, Context] = {"spawn": SpawnContext(), "forkserver": ForkServerContext()}
