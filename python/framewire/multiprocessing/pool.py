"""As :mod:`multiprocessing.pool`: its `Pool` is Framewire's, and threads are the standard library's."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import CLOSE, RUN, TERMINATE, ThreadPool
from typing import Any, NamedTuple

from framewire._failures import RemoteTraceback
from framewire._imap import IMapIterator
from framewire._progress import Progress
from framewire._results import AsyncResult
from framewire._tasks import Chunk, pickled
from framewire.multiprocessing.chosen import READY_WITHIN, chosen
from framewire.multiprocessing.context import Context
from framewire.pool import Pool as _Pool

__all__ = [
    "CLOSE",
    "RUN",
    "TERMINATE",
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "Pool",
    "RemoteTraceback",
    "ThreadPool",
]

ApplyResult = MapResult = AsyncResult
IMapUnorderedIterator = IMapIterator


class Worker(NamedTuple):
    """What programs look up of a pool's worker."""

    name: str
    pid: int | None

    def is_alive(self) -> bool:
        """Whether it runs."""
        if self.pid is None:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


def _chunked(wrapper: Callable[[Callable[..., Any]], Any] | None) -> Callable[[Callable[..., Any]], Any]:
    return lambda function: Chunk(function if wrapper is None else wrapper(function))


def _checked(chunksize: int) -> int:
    if chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize}")
    return chunksize


def _batches(iterable: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(iterable)
    while batch := list(itertools.islice(items, size)):
        yield batch


class Pool(_Pool):
    """A pool; a killed worker fails the task that it was at, and no other."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Context | None = None,
    ) -> None:
        """Start the workers, as the context says, or as was chosen."""
        method = chosen.choice.method if context is None else context.get_start_method()
        super().__init__(
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            ready_within=READY_WITHIN,
            preload=chosen.modules(method),
        )
        # As there: such a worker's tasks are chunks. Else chunks are of no use.
        self._counts_chunks = maxtasksperchild is not None
        # As there: also what an `imap` has yet to read whose iterator was dropped is done.
        self._reading: set[IMapIterator[Any]] = set()

    def _map(
        self,
        function: Callable[..., Any],
        wrapper: Callable[[Callable[..., Any]], Any] | None,
        iterable: Iterable[Any],
        chunksize: int | None,
        progress: Progress,
        return_exceptions: bool,
    ) -> list[Any]:
        if not self._counts_chunks or return_exceptions:
            return super()._map(function, wrapper, iterable, None, progress, return_exceptions)
        chunks = self._chunks(iterable, chunksize)
        results = super()._map(function, _chunked(wrapper), chunks, None, progress, False)
        return list(itertools.chain.from_iterable(results))

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
        if not self._counts_chunks or return_exceptions:
            return super()._map_async(function, wrapper, iterable, None, callback, error_callback, return_exceptions)
        given = pickled(function, _chunked(wrapper))
        return self._async(given, self._chunks(iterable, chunksize), False, callback, error_callback, in_chunks=True)

    def _imap(self, function: Callable[..., Any], iterable: Iterable[Any], chunksize: int, ordered: bool) -> Any:
        if not self._counts_chunks or chunksize == 1:
            return super()._imap(function, iterable, chunksize, ordered)
        self._check()
        chunks = _batches(iterable, _checked(chunksize))
        results = IMapIterator[list[Any]](self, pickled(function, Chunk), chunks, ordered=ordered)
        return itertools.chain.from_iterable(results)

    def _chunks(self, iterable: Iterable[Any], chunksize: int | None) -> list[list[Any]]:
        items = list(iterable)
        # As there, if nothing is said.
        size = -(-len(items) // (self._count * 4)) if chunksize is None else _checked(chunksize)
        return list(_batches(items, max(1, size)))

    # Private there too, and yet looked at by many programs.
    @property
    def _processes(self) -> int:
        return self._count

    @property
    def _pool(self) -> list[Worker]:
        return [Worker(*worker) for worker in self.workers()]

    def _repopulate_pool(self) -> None:
        """Do nothing: a worker that ends is replaced at once, or before."""
