"""Pools: many tasks, a few workers, and nothing lost when one of them dies.

    import framewire

    if __name__ == "__main__":
        with framewire.Pool(4) as pool:
            print(pool.map(len, ["one", "three"]))

The names mean what they do in `multiprocessing.Pool`. What differs: a worker's death costs the task that it had begun,
which raises `WorkerLostError`, and no other; an initializer that fails is an error of `Pool(...)`, no endless respawn;
`imap` reads its input only so far ahead; and chunks needn't be chosen: each item is a task of its own, and a worker has
many before it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, MutableSet, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from weakref import WeakSet

from framewire import _core, _options, _preparation
from framewire._failures import PoolNotRunningError
from framewire._imap import IMapIterator
from framewire._progress import Progress, Shown
from framewire._results import AsyncResult, Callbacks
from framewire._spawning import READY_WITHIN
from framewire._tasks import LOT, Apply, Star, pickled
from framewire.process import Process
from framewire.system import System, default_system

__all__ = ["AsyncResult", "IMapIterator", "Pool"]

R = TypeVar("R")
T = TypeVar("T")

# Somebody who looks on sees so often how far it is, in seconds.
_SHOW_EVERY = 0.1
# What a pool is, as the standard library calls it.
_RUN, _CLOSE, _TERMINATE = "RUN", "CLOSE", "TERMINATE"

_WORKER = "framewire.pool:_Worker"

_pools: WeakSet[Pool] = WeakSet()


class _Worker(Process):
    """A pool's worker: its start is the initializer."""

    def start(self, initializer: Callable[..., object] | bytes | None = None, arguments: tuple[Any, ...] = ()) -> None:
        if isinstance(initializer, bytes):
            initializer = cast(Callable[..., object], pickle.loads(initializer))
        if initializer is not None:
            initializer(*arguments)


class Pool:
    """Workers that share tasks.

    As a context manager it is terminated when it is left, as `multiprocessing.Pool` is.
    """

    def __init__(
        self,
        workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        memory_limit: int | None = None,
        redeliver: int | None = None,
        ready_within: float = READY_WITHIN,
        env: Mapping[str, str] | None = None,
        preload: Sequence[str] | None = None,
        name: str | None = None,
        system: System | None = None,
    ) -> None:
        """Start the workers and return when all are ready.

        Args:
            workers: How many; by default one for each processor that this process may use.
            initializer: Called in each worker before its first task, with `initargs`.
            initargs: For the initializer.
            maxtasksperchild: After so many tasks a worker is replaced; the other one is started first.
            memory_limit: A worker with more resident memory than so many bytes after a task is replaced too.
            redeliver: A task at which its worker dies is given to another, until so many have begun it; by default to
                none.
            ready_within: How long a worker has to become ready, in seconds.
            env: Variables of the workers' environment to set.
            preload: Workers are copies of an interpreter that has imported these modules; see `System`. By default as
                the system says.
            name: What the workers' names begin with.
            system: The supervisor; by default this interpreter's own.

        Raises:
            StartError: A worker can't start: its initializer raised, say. None of the others is left.
            SpawnError: Nothing can be spawned from here.

        """
        if any(value is None for value in (env or {}).values()):
            raise TypeError("could not make a pool: env can set its workers' variables, and take none away")
        if workers is None:
            workers = len(os.sched_getaffinity(0))
        try:
            workers = _options.whole("workers", workers, 1)
            memory_limit = None if memory_limit is None else _options.whole("memory_limit", memory_limit, 1)
            redeliver = None if redeliver is None else _options.whole("redeliver", redeliver, 0)
            ready_within = _options.seconds("ready_within", ready_within)
            name = None if name is None else _options.name(name)
            variables = _options.environment(env or {})
        except (TypeError, ValueError) as error:
            raise type(error)(f"could not make a pool: {error}") from None
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild < 1):
            raise ValueError(f"maxtasksperchild is {maxtasksperchild!r}, and should be a positive number or None")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"could not initialize workers by {initializer!r}: it can't be called")
        _preparation.refuse()
        given: Callable[..., object] | bytes | None = initializer
        if initializer is not None:
            given = _preparation.pickle_by_value(initializer, "an initializer") or initializer
        self._count = workers
        self._system = system or default_system()
        self._core = _core.Pool(
            self._system._core,
            _preparation.worker_command(_WORKER),
            self._system._zygote(preload),
            _preparation.make(_WORKER),
            ((given, tuple(initargs)), {}),
            {
                "count": workers,
                "name": name,
                "max_tasks": maxtasksperchild,
                "max_memory": memory_limit,
                "redeliver": redeliver,
                "ready_within": ready_within,
                "env": variables,
            },
        )
        self._callbacks = Callbacks()
        # Those whose input isn't read to its end: it may be, also when the pool is closed.
        self._reading: MutableSet[IMapIterator[Any]] = WeakSet()
        self._closing = threading.RLock()
        _pools.add(self)
        self._state = _RUN  # last: what isn't whole needn't be closed

    def map(
        self,
        function: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        progress: Progress = False,
        return_exceptions: bool = False,
    ) -> list[R]:
        """Call `function` with each item, and give all results in the order of the items.

        Args:
            function: Importable by the workers.
            iterable: Read to its end before anything else.
            chunksize: Accepted, and of no use: chunks are as large as fits.
            progress: Shows how far it is, on standard error: by a bar of `"tqdm"` or `"rich"`; `True` takes what is
                installed of these, else a plain line. Or a function, which is called in this thread with two numbers:
                how many are done, and how many there are.
            return_exceptions: Exceptions are results, each in its item's place; by default the first one is raised when
                all is done.

        Raises:
            WorkerLostError: A worker died at an item; all others were done.
            ModuleNotFoundError: The bar that `progress` names isn't installed; nothing was done.
            Exception: What `function` raised.

        """
        return self._map(function, None, iterable, chunksize, progress, return_exceptions)

    def starmap(
        self,
        function: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        progress: Progress = False,
        return_exceptions: bool = False,
    ) -> list[R]:
        """As `map`, with each item's parts as arguments."""
        return self._map(function, Star, iterable, chunksize, progress, return_exceptions)

    def _map(
        self,
        function: Callable[..., R],
        wrapper: Callable[[Callable[..., Any]], Any] | None,
        iterable: Iterable[Any],
        chunksize: int | None,
        progress: Progress,
        return_exceptions: bool,
    ) -> list[R]:
        self._check()
        items = list(iterable)
        shown = Shown(len(items), progress)
        whole, group = pickled(function, wrapper), _core.Group()
        results: list[Any] = [None] * len(items)
        failed: tuple[int, BaseException] | None = None
        came: list[tuple[int, bool, Any]] = []
        left = len(items)
        with shown:
            given = 0
            # Results are taken while later items are handed over: neither waits for the other.
            while given < len(items) or left:
                if given < len(items):
                    lot = items[given : given + LOT]
                    self._core.submit(group, given, whole, lot)
                    given += len(lot)
                    wait: float | None = 0.0
                else:
                    wait = _SHOW_EVERY if shown.is_wanted else None
                # More than half of what is missing at once: being woken for each costs more than a short task.
                group.take(came, None, max(1, (left - (len(items) - given)) // 2), wait)
                if not came and shown.is_wanted:
                    group.take(came, None, 1, 0.0)
                for number, success, value in came:
                    if success or return_exceptions:
                        results[number] = value
                    elif failed is None or number < failed[0]:
                        failed = (number, value)
                left -= len(came)
                shown.advance(len(came))
                came.clear()
        if failed is not None:
            raise failed[1]
        return results

    def imap(self, function: Callable[[T], R], iterable: Iterable[T], chunksize: int = 1) -> IMapIterator[R]:
        """As `map`, giving results in order while later items are still being read and done.

        The input may have no end: it is read only so far ahead of the results that were taken, on the caller's thread.
        It goes on when the pool is closed; what is unread then, `join` reads, as long as the iterator is there.
        """
        return cast(IMapIterator[R], self._imap(function, iterable, chunksize, True))

    def imap_unordered(self, function: Callable[[T], R], iterable: Iterable[T], chunksize: int = 1) -> IMapIterator[R]:
        """As `imap`, giving each result as soon as it is there."""
        return cast(IMapIterator[R], self._imap(function, iterable, chunksize, False))

    def _imap(self, function: Callable[..., Any], iterable: Iterable[Any], chunksize: int, ordered: bool) -> Any:
        self._check()
        return IMapIterator[Any](self, pickled(function), iterable, ordered=ordered)

    def apply(self, function: Callable[..., R], args: Sequence[Any] = (), kwds: Mapping[str, Any] | None = None) -> R:
        """Do one task and wait for its result."""
        return self.apply_async(function, args, kwds).get()

    def apply_async(
        self,
        function: Callable[..., R],
        args: Sequence[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[R], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[R]:
        """Give one task to the pool.

        One of the callbacks is called when it is done, before `get` and `wait` return, in a thread of the pool's, one
        after the other. While one of them takes its time, tasks go on, and only results that have callbacks come late.
        What one raises is logged (`framewire.pool`).
        """
        items = [(tuple(args), dict(kwds or {}))]
        return self._async(pickled(function, Apply), items, True, callback, error_callback)

    def map_async(
        self,
        function: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        return_exceptions: bool = False,
    ) -> AsyncResult[list[R]]:
        """As `map`, without waiting."""
        return self._map_async(function, None, iterable, chunksize, callback, error_callback, return_exceptions)

    def starmap_async(
        self,
        function: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        return_exceptions: bool = False,
    ) -> AsyncResult[list[R]]:
        """As `starmap`, without waiting."""
        return self._map_async(function, Star, iterable, chunksize, callback, error_callback, return_exceptions)

    def _map_async(
        self,
        function: Callable[..., Any],
        wrapper: Callable[[Callable[..., Any]], Any] | None,
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        return_exceptions: bool,
    ) -> AsyncResult[list[Any]]:
        given = pickled(function, wrapper)
        return self._async(given, list(iterable), False, callback, error_callback, return_exceptions)

    def _async(
        self,
        pickled: bytes,
        items: list[Any],
        single: bool,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        return_exceptions: bool = False,
        in_chunks: bool = False,
    ) -> AsyncResult[Any]:
        self._check()
        group = _core.Group()
        result: AsyncResult[Any] = AsyncResult(
            self, group, single, callback, error_callback, return_exceptions, in_chunks
        )
        if callback is None and error_callback is None:
            self._core.submit(group, 0, pickled, items)
            return result
        token = self._callbacks.expect(result)
        try:
            self._core.submit(group, 0, pickled, items)
        except BaseException:
            self._callbacks.forget(token)
            raise
        self._callbacks.listen(token, group)
        return result

    def close(self) -> None:
        """No more tasks. What was taken is done, and what an `imap` reads; then the workers stop."""
        with self._closing:
            if self._state == _RUN:
                self._state = _CLOSE
            if not self._reading:
                self._core.close()

    def _check(self) -> None:
        if self._state == _CLOSE:
            raise PoolNotRunningError("Pool not running: could not give it a task, since it was closed")

    def _reads(self, results: IMapIterator[Any]) -> None:
        with self._closing:
            self._reading.add(results)

    def _has_read(self, results: IMapIterator[Any]) -> None:
        """Close, if that was put off for this one's sake."""
        with self._closing:
            if results not in self._reading:
                return
            self._reading.discard(results)
            is_last = self._state == _CLOSE and not self._reading
        if is_last:
            self._core.close()

    def terminate(self) -> None:
        """End everything now: tasks without a result raise `PoolNotRunningError`, and the workers are killed."""
        self._core.terminate()
        self._state = _TERMINATE

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the workers are gone and all callbacks have returned, `timeout` seconds at most; whether it is so.

        An `imap` that wasn't taken to its end is done first, as long as its iterator is there.

        Raises:
            PoolNotRunningError: The pool was neither closed nor terminated. It is a `ValueError`.

        """
        end = None if timeout is None else time.monotonic() + timeout
        while self._state == _CLOSE and self._reading:
            for results in list(self._reading):
                if not results._read_to_end(end):
                    return False
        return self._core.join(None if end is None else max(0.0, end - time.monotonic())) and self._callbacks.join(
            None if end is None else max(0.0, end - time.monotonic())
        )

    def workers(self) -> list[tuple[str, int | None]]:
        """List the names and process identifiers of the workers that take tasks now."""
        return self._core.workers()

    def __enter__(self) -> Self:
        if self._state != _RUN:
            over = "closed" if self._state == _CLOSE else "terminated"
            raise PoolNotRunningError(f"Pool not running: could not enter it, since it was {over}; make another one")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()
        # Killed workers are gone in a moment; one in the kernel's hands (a dead disk) keeps nobody here.
        self._core.join(5.0)

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        # Its workers end all the same. `warn` is kept for when the interpreter has ended before.
        if getattr(self, "_state", None) == _RUN:
            warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={self._count}>"

    def __reduce__(self) -> Any:
        raise NotImplementedError("a pool can't be passed between processes or pickled")


def _end_all() -> None:
    """End what was left open, at the interpreter's exit: before its supervisor, which would take that for failures."""
    for pool in list(_pools):
        with contextlib.suppress(Exception):  # a forked child's copy
            pool._core.terminate()


atexit.register(_end_all)
