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

import functools
import itertools
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from framewire import _core, _preparation
from framewire._failures import PoolError, task_timed_out
from framewire.process import READY_WITHIN, Process, System, default_system

__all__ = ["AsyncResult", "Pool"]

R = TypeVar("R")
T = TypeVar("T")

# An imap reads so many items ahead for each worker: short tasks never run dry, and memory is bounded.
_AHEAD_PER_WORKER = 128
# Items are handed over in lots of so many.
_LOT = 256

_WORKER = "framewire.pool:_Worker"


class _Worker(Process):
    """A pool's worker: its start is the initializer."""

    def start(self, initializer: Callable[..., object] | bytes | None = None, arguments: tuple[Any, ...] = ()) -> None:
        if isinstance(initializer, bytes):
            initializer = cast(Callable[..., object], pickle.loads(initializer))
        if initializer is not None:
            initializer(*arguments)


class _Star:
    """Calls with an item's parts."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, item: Iterable[Any]) -> Any:
        return self.function(*item)


class _Apply:
    """Calls with positional and named arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, item: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        return self.function(*item[0], **item[1])


def _pickled(function: Callable[..., Any], wrapper: Callable[[Callable[..., Any]], Any] | None = None) -> bytes:
    if not callable(function):
        raise TypeError(f"could not give a pool {function!r}: it can't be called")
    name = getattr(function, "__qualname__", repr(function))
    whole = wrapper(function) if wrapper is not None else function
    by_value = _preparation.pickle_by_value(function, name)
    if by_value is not None:
        import cloudpickle  # type: ignore[import-untyped, import-not-found, unused-ignore]

        return cast(bytes, cloudpickle.dumps(whole))
    try:
        return pickle.dumps(whole, protocol=5)
    except Exception as error:
        raise type(error)(f"could not give a pool {name}: {error}; a function must be importable") from error


class AsyncResult(Generic[R]):
    """The result of `apply_async`, `map_async` or `starmap_async`, to come."""

    def __init__(
        self,
        pool: Pool,
        group: _core.Group,
        single: bool,
        callback: Callable[[R], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        return_exceptions: bool = False,
    ) -> None:
        self._pool = pool  # a pool whose results are wanted isn't dropped
        self._group = group
        self._single = single
        self._callback = callback
        self._error_callback = error_callback
        self._return_exceptions = return_exceptions
        self._lock = threading.Lock()
        self._outcome: tuple[bool, Any] | None = None

    def ready(self) -> bool:
        """Whether it is there."""
        return self._outcome is not None or self._group.is_done()

    def successful(self) -> bool:
        """Whether it is there and no exception.

        Raises:
            ValueError: It isn't there yet.

        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._gather()[0]

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is there, `timeout` seconds at most."""
        if self._outcome is None:
            self._group.wait(timeout)

    def get(self, timeout: float | None = None) -> R:
        """Wait for it, `timeout` seconds at most.

        Raises:
            CallTimeoutError: It isn't there within the limit; the task goes on. It is a `TimeoutError`, and, where that
                is in use, a `multiprocessing.TimeoutError`.
            WorkerLostError: The worker died at it.
            Exception: What the function raised; of many, the first in the order of the items.

        """
        self.wait(timeout)
        if not self.ready():
            raise task_timed_out(timeout)
        success, value = self._gather()
        if not success:
            raise value
        return cast(R, value)

    def _gather(self) -> tuple[bool, Any]:
        with self._lock:
            if self._outcome is None:
                outcomes = self._group.take(None, sys.maxsize, None)
                outcomes.sort(key=lambda outcome: outcome[0])
                failed = next((value for _, success, value in outcomes if not success), None)
                if failed is not None and not self._return_exceptions:
                    self._outcome = (False, failed)
                elif self._single:
                    self._outcome = (True, outcomes[0][2])
                else:
                    self._outcome = (True, [value for _, _, value in outcomes])
            return self._outcome

    def _call_back(self) -> None:
        success, value = self._gather()
        callback = self._callback if success else self._error_callback
        if callback is not None:
            callback(value)


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
        if workers is None:
            workers = len(os.sched_getaffinity(0))
        if workers < 1:
            raise ValueError(f"could not make a pool of {workers} workers: it needs at least one")
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
                "env": list((env or {}).items()),
            },
        )
        self._listener: _Listener | None = None

    def map(
        self,
        function: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        progress: bool = False,
        return_exceptions: bool = False,
    ) -> list[R]:
        """Call `function` with each item, and give all results in the order of the items.

        Args:
            function: Importable by the workers.
            iterable: Read to its end before anything else.
            chunksize: Accepted, and of no use: chunks are as large as fits.
            progress: Shows how far it is: by `tqdm` if that is installed, else by a line on standard error.
            return_exceptions: Exceptions are results, each in its item's place; by default the first one is raised when
                all is done.

        Raises:
            WorkerLostError: A worker died at an item; all others were done.
            Exception: What `function` raised.

        """
        return self._map(function, None, iterable, progress, return_exceptions)

    def starmap(
        self,
        function: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        progress: bool = False,
        return_exceptions: bool = False,
    ) -> list[R]:
        """As `map`, with each item's parts as arguments."""
        return self._map(function, _Star, iterable, progress, return_exceptions)

    def _map(
        self,
        function: Callable[..., R],
        wrapper: Callable[[Callable[..., Any]], Any] | None,
        iterable: Iterable[Any],
        progress: bool,
        return_exceptions: bool,
    ) -> list[R]:
        items = list(iterable)
        pickled, group = _pickled(function, wrapper), _core.Group()
        results: list[Any] = [None] * len(items)
        failed: tuple[int, BaseException] | None = None
        left = len(items)
        with _progress(len(items), progress) as advance:
            given = 0
            # Results are taken while later items are handed over: neither waits for the other.
            while given < len(items) or left:
                if given < len(items):
                    lot = items[given : given + _LOT]
                    self._core.submit(group, given, pickled, lot)
                    given += len(lot)
                    wait: float | None = 0.0
                else:
                    wait = 0.25 if progress else None
                # More than half of what is missing at once: being woken for each costs more than a short task.
                outcomes = group.take(None, max(1, (left - (len(items) - given)) // 2), wait)
                for number, success, value in outcomes:
                    if success or return_exceptions:
                        results[number] = value
                    elif failed is None or number < failed[0]:
                        failed = (number, value)
                left -= len(outcomes)
                advance(len(outcomes))
        if failed is not None:
            raise failed[1]
        return results

    def imap(self, function: Callable[[T], R], iterable: Iterable[T], chunksize: int = 1) -> IMapIterator[R]:
        """As `map`, giving results in order while later items are still being read and done.

        The input may have no end: it is read only so far ahead of the results that were taken, on the caller's thread.
        """
        return IMapIterator(self, _pickled(function), iterable, ordered=True)

    def imap_unordered(self, function: Callable[[T], R], iterable: Iterable[T], chunksize: int = 1) -> IMapIterator[R]:
        """As `imap`, giving each result as soon as it is there."""
        return IMapIterator(self, _pickled(function), iterable, ordered=False)

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
        """Give one task to the pool. Callbacks are called in a thread of the pool's, one after the other."""
        items = [(tuple(args), dict(kwds or {}))]
        return self._async(_pickled(function, _Apply), items, True, callback, error_callback)

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
        return self._async(_pickled(function), list(iterable), False, callback, error_callback, return_exceptions)

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
        return self._async(
            _pickled(function, _Star), list(iterable), False, callback, error_callback, return_exceptions
        )

    def _async(
        self,
        pickled: bytes,
        items: list[Any],
        single: bool,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        return_exceptions: bool = False,
    ) -> AsyncResult[Any]:
        group = _core.Group()
        self._core.submit(group, 0, pickled, items)
        result: AsyncResult[Any] = AsyncResult(self, group, single, callback, error_callback, return_exceptions)
        if callback is not None or error_callback is not None:
            if self._listener is None:
                self._listener = _Listener()
            self._listener.listen(group, result)
        return result

    def close(self) -> None:
        """No more tasks. What was taken is done; then the workers stop."""
        self._core.close()

    def terminate(self) -> None:
        """End everything now: tasks without a result raise `PoolNotRunningError`, and the workers are killed."""
        self._core.terminate()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the workers are gone, `timeout` seconds at most; whether they are.

        Raises:
            PoolNotRunningError: The pool was neither closed nor terminated. It is a `ValueError`.

        """
        return self._core.join(timeout)

    def workers(self) -> list[tuple[str, int | None]]:
        """List the names and process identifiers of the workers that take tasks now."""
        return self._core.workers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()
        # Killed workers are gone in a moment; one in the kernel's hands (a dead disk) keeps nobody here.
        self.join(5.0)

    def __reduce__(self) -> Any:
        raise NotImplementedError("a pool can't be passed between processes or pickled")


class IMapIterator(Generic[R]):
    """The results of an `imap`, as they come."""

    def __init__(self, pool: Pool, pickled: bytes, iterable: Iterable[Any], *, ordered: bool) -> None:
        self._pool = pool
        self._pickled = pickled
        self._input: Iterator[Any] | None = iter(iterable)
        self._ordered = ordered
        self._group = _core.Group()
        self._ahead = pool._count * _AHEAD_PER_WORKER
        self._read = self._given = self._in_flight = 0
        self._arrived: dict[int, tuple[bool, Any]] = {}
        self._broken: BaseException | None = None
        self._feed()

    def _feed(self) -> None:
        """Read as far ahead as is allowed, for a moment: the reading mustn't keep results that are there."""
        end = time.monotonic() + 0.01
        while self._input is not None and self._read - self._given < self._ahead:
            # A slow input isn't waited for: its first item is worth handing over at once.
            lot, begun = [], time.monotonic()
            try:
                for item in itertools.islice(self._input, min(_LOT, self._ahead - (self._read - self._given))):
                    lot.append(item)
                    if time.monotonic() - begun > 0.001:
                        break
                else:
                    if not lot:
                        self._input = None
            except BaseException as error:
                # It is raised after the results of what was read before it.
                self._input, self._broken = None, error
            if lot:
                try:
                    self._pool._core.submit(self._group, self._read, self._pickled, lot)
                except PoolError as error:
                    self._input, self._broken = None, error
                    return
                self._read += len(lot)
                self._in_flight += len(lot)
            if time.monotonic() > end:
                return

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> R:
        return self.next()

    def next(self, timeout: float | None = None) -> R:
        """Give the next result, waited for `timeout` seconds at most.

        Raises:
            CallTimeoutError: There is none within the limit; ask again.
            StopIteration: There will never be another one.
            Exception: What the function raised for this item; the iteration goes on behind it.

        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            number = self._given if self._ordered else next(iter(self._arrived), -1)
            if number in self._arrived:
                success, value = self._arrived.pop(number)
                self._given += 1
                if self._in_flight <= self._ahead // 2:
                    self._feed()
                if not success:
                    raise value
                return cast(R, value)
            if not self._in_flight:
                self._feed()
                if not self._in_flight:
                    if self._broken is not None:
                        broken, self._broken = self._broken, None
                        raise broken
                    raise StopIteration
            left = None if end is None else max(0.0, end - time.monotonic())
            wanted = number if self._ordered else None
            outcomes = self._group.take(wanted, max(1, self._in_flight // 2) if self._ordered else 1, left)
            if not outcomes and left is not None and left <= 0.0:
                raise task_timed_out(timeout)
            for came, success, value in outcomes:
                self._arrived[came] = (success, value)
            self._in_flight -= len(outcomes)


class _Listener:
    """The thread that calls back."""

    def __init__(self) -> None:
        self._bell = _core.Bell()
        self._waiting: dict[int, AsyncResult[Any]] = {}
        self._tokens = itertools.count()
        threading.Thread(target=self._run, name="framewire pool callbacks", daemon=True).start()

    def listen(self, group: _core.Group, result: AsyncResult[Any]) -> None:
        token = next(self._tokens)
        self._waiting[token] = result
        group.notify(self._bell, token)

    def _run(self) -> None:
        import select
        import traceback

        poll = select.poll()
        poll.register(self._bell.fileno(), select.POLLIN)
        while True:
            poll.poll()
            for token in self._bell.take():
                try:
                    self._waiting.pop(token)._call_back()
                except Exception:
                    traceback.print_exc()  # the callback's own; the others are called all the same


class _progress:
    """How far a map is, for a person."""

    def __init__(self, total: int, wanted: bool) -> None:
        self._total, self._wanted, self._done, self._told = total, wanted, 0, 0.0
        self._bar: Any = None

    def __enter__(self) -> Callable[[int], None]:
        if not self._wanted:
            return lambda _count: None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return self._line
        self._bar = tqdm(total=self._total)
        return functools.partial(_advance, self._bar)

    def _line(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told >= 0.25 or self._done == self._total:
            self._told = now
            print(f"\r{self._done}/{self._total}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._wanted:
            print(file=sys.stderr)


def _advance(bar: Any, count: int) -> None:
    if count:
        bar.update(count)
