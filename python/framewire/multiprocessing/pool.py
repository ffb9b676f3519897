"""As :mod:`multiprocessing.pool`: its `Pool` is Framewire's, and threads are the standard library's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from multiprocessing.pool import CLOSE, RUN, TERMINATE, ThreadPool
from typing import Any, NamedTuple

from framewire._failures import RemoteTraceback
from framewire._imap import IMapIterator
from framewire._results import AsyncResult
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
        # As there: also what an `imap` has yet to read whose iterator was dropped is done.
        self._reading: set[IMapIterator[Any]] = set()

    # Private there too, and yet looked at by many programs.
    @property
    def _processes(self) -> int:
        return self._count

    @property
    def _pool(self) -> list[Worker]:
        return [Worker(*worker) for worker in self.workers()]

    def _repopulate_pool(self) -> None:
        """Do nothing: a worker that ends is replaced at once, or before."""
