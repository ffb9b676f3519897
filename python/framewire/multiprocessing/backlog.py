"""What a process has put into a queue that has no room for it yet."""

from __future__ import annotations

import collections
import threading
import weakref
from collections.abc import Callable
from multiprocessing import process, util
from typing import Any

__all__ = ["Backlog"]


class Backlog:
    """Objects that wait, in order, and a thread that puts them as there is room. It lives while there are any."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._changed = threading.Condition()
        self._waiting: collections.deque[tuple[Any, Callable[[Exception, Any], None]]] = collections.deque()
        self._thread: threading.Thread | None = None
        self._is_forsaken = False
        self._is_watched = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, obj: Any, failed: Callable[[Exception, Any], None]) -> None:
        """Put an object behind the others; `failed` is called if it can't be."""
        with self._changed:
            self._waiting.append((obj, failed))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="framewire queue", daemon=True)
                self._thread.start()
            if not self._is_watched:
                self._is_watched = True
                util.Finalize(self, _flush, (weakref.ref(self),), exitpriority=-5)

    def wait(self, timeout: float) -> None:
        """Wait until some have gone, for so many seconds at most."""
        with self._changed:
            self._changed.wait(timeout)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all have gone, for so many seconds at most; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting or self._is_forsaken, timeout)

    def forsake(self) -> None:
        """Wait for nothing at the process's end."""
        with self._changed:
            self._is_forsaken = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    return
                obj, failed = self._waiting[0]
            try:
                self._queue.put(obj)
            except Exception as error:
                failed(error, obj)
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()
            del obj, failed


def _flush(reference: weakref.ref[Backlog]) -> None:
    """Have a process end only when all is on its way, as there.

    The first process has no one left then: its children have ended before, and it would wait for ever.
    """
    backlog = reference()
    if backlog is not None and process.parent_process() is not None:
        backlog.join()
