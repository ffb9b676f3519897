"""As :mod:`multiprocessing.queues`: Framewire's queues; what they have no room for waits in the putting process."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from multiprocessing import process, util
from queue import Empty, Full
from typing import Any, ClassVar

import framewire
from framewire.multiprocessing.backlog import Backlog
from framewire.multiprocessing.making import made

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]

# So many wait in shared memory, which is paid for when a queue is made: 0.4 KiB each.
_MOST = 1 << 16
# So many large arrays or shared objects wait there. Each costs every process a descriptor, and a message has 253.
_SLOTS = 4
_EXECUTOR = "concurrent.futures.process"
# A full queue is looked at so often by who waits behind a backlog, in seconds.
_LOOK_EVERY = 0.05


class _End:
    """What programs take for the pipe behind a queue: to wait for it, and to receive from it."""

    def __init__(self, queue: _Around) -> None:
        self._queue = queue

    @property
    def closed(self) -> bool:
        """Whether the queue was closed here."""
        return self._queue._closed

    def fileno(self) -> int:
        """Give a descriptor that is readable when there may be something."""
        return int(self._queue._core.fileno())

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something, within so many seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while self._queue._core.empty():
            if end is not None and time.monotonic() >= end:
                return False
            time.sleep(0.001)  # sleep: a poll of a queue is rare, and its descriptor may be readable for nothing
        return True

    def recv(self) -> Any:
        """Take the next object, and wait for one."""
        # The descriptor may be readable for nothing. An executor, which watches its workers too, must go on then; it
        # takes `None` for no news.
        if sys._getframe(1).f_globals.get("__name__") == _EXECUTOR:
            try:
                return self._queue._core.get(False)
            except Empty:
                return None
        return self._queue.get()

    def send(self, obj: Any) -> None:
        """Put an object."""
        self._queue.put(obj)

    def close(self) -> None:
        """Close the queue here."""
        self._queue.close()


class _Around:
    """What is the same around any of Framewire's queues."""

    _core: Any
    _closed: bool

    @property
    def _reader(self) -> _End:
        return _End(self)

    _writer = _reader

    def __getattr__(self, name: str) -> Any:
        """What Framewire's queue has beyond: leases, dead letters, `async` methods."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._core, name)


class SimpleQueue(_Around):
    """A queue with `get`, `put`, `empty` and `close`."""

    def __init__(self, *, ctx: Any = None) -> None:
        """Make one; `ctx` is of no use."""
        self._closed = False
        self._core: Any = made(lambda: framewire.SimpleQueue(descriptor_slots=_SLOTS))

    def put(self, obj: Any) -> None:
        """Put an object, and wait for room."""
        self._check()
        self._core.put(obj)

    def get(self) -> Any:
        """Take the next object, and wait for one."""
        self._check()
        return self._core.get()

    def empty(self) -> bool:
        """Whether nothing waits."""
        self._check()
        return bool(self._core.empty())

    def close(self) -> None:
        """Use it no more, in this process."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise OSError("handle is closed")

    def __reduce__(self) -> Any:
        return _arrived, (type(self), self._core, 0)


class Queue(_Around):
    """A queue. `put` returns when the item is in it, unless there is no room: then it waits in this process.

    So a `put` waits only if `maxsize` says so. What waits here goes with this process if that is killed.
    """

    _kind: ClassVar[Any] = staticmethod(lambda *args, **kwargs: framewire.Queue(*args, **kwargs))

    def __init__(self, maxsize: int = 0, *, ctx: Any = None, **options: Any) -> None:
        """Make one for so many items, 0 for as many as there is memory for; `ctx` is of no use."""
        options.setdefault("descriptor_slots", _SLOTS if maxsize <= 0 else min(maxsize, _SLOTS))
        self._begin(made(lambda: self._kind(min(maxsize, _MOST), **options)), maxsize)

    def _begin(self, core: Any, maxsize: int) -> None:
        self._core: Any = core
        self._maxsize = maxsize
        self._most = maxsize if maxsize > 0 else math.inf
        self._closed = False
        self._backlog = Backlog(core)

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an object; if there are `maxsize`, wait for room if `block`, for at most `timeout` seconds.

        Raises:
            Full: There was no room.
            ValueError: It was closed here.

        """
        self._check()
        if _is_stopped_without_waiting():
            self._core.put(obj, block, timeout)
            return
        # Behind what waits here already.
        if not self._backlog:
            try:
                self._core.put(obj, False)
            except Full:
                pass
            else:
                return
        if self._has_room():
            self._backlog.put(obj, self._on_queue_feeder_error)
        elif not self._backlog:
            self._core.put(obj, block, timeout)
        else:
            self._put_behind(obj, block, timeout)

    def _put_behind(self, obj: Any, block: bool, timeout: float | None) -> None:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not self._has_room():
            left = end - time.monotonic()
            if not block or left <= 0:
                raise Full
            self._backlog.wait(min(left, _LOOK_EVERY))
        self._backlog.put(obj, self._on_queue_feeder_error)

    def _has_room(self) -> bool:
        return self.qsize() < self._most

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the next object, and wait for one if `block`, for at most `timeout` seconds.

        Raises:
            Empty: There was none.
            ValueError: It was closed here.

        """
        self._check()
        return self._core.get(block, timeout)

    def put_nowait(self, obj: Any) -> None:
        """`put` without waiting."""
        self.put(obj, False)

    def get_nowait(self) -> Any:
        """`get` without waiting."""
        return self.get(False)

    def qsize(self) -> int:
        """How many wait, with those in this process."""
        return int(self._core.qsize()) + len(self._backlog)

    def empty(self) -> bool:
        """Whether there is nothing to get."""
        return bool(self._core.empty())

    def full(self) -> bool:
        """Whether a put would have to wait."""
        return not self._has_room()

    def close(self) -> None:
        """Use it no more, in this process; what waits here still goes on."""
        self._closed = True

    def join_thread(self) -> None:
        """Wait until nothing waits here any more. It must be closed."""
        assert self._closed, f"Queue {self!r} not closed"
        self._backlog.join()

    def cancel_join_thread(self) -> None:
        """Let this process end though something waits here: that is lost."""
        self._backlog.forsake()

    def _on_queue_feeder_error(self, error: Exception, obj: Any) -> None:
        import traceback

        traceback.print_exception(error)

    def _check(self) -> None:
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")

    def __reduce__(self) -> Any:
        return _arrived, (type(self), self._core, self._maxsize)


class JoinableQueue(Queue):
    """A queue whose `join` waits until each item is done. A killed consumer's come back.

    What a process has got and not acknowledged when it ends by itself counts as done, but if an exception ends it.
    """

    _kind: ClassVar[Any] = staticmethod(lambda *args, **kwargs: framewire.JoinableQueue(*args, **kwargs))

    def _begin(self, core: Any, maxsize: int) -> None:
        super()._begin(core, maxsize)
        self._is_watched = False

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As `Queue.get`; it is to be followed by `task_done`."""
        if not self._is_watched:
            # Not before: what is registered while a process is being prepared is forgotten when it begins.
            self._is_watched = True
            util.Finalize(self, _acknowledge, (self._core,), exitpriority=-4)
        return super().get(block, timeout)

    def task_done(self) -> None:
        """Acknowledge the object that this process got first of those it hasn't acknowledged."""
        self._core.task_done()

    def join(self, timeout: float | None = None) -> None:
        """Wait until everything that was put is acknowledged, for at most `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        self._backlog.join(timeout)
        self._core.join(None if end is None else max(0.0, end - time.monotonic()))


def _acknowledge(core: Any) -> None:
    """Acknowledge what this process has, since it ends by itself."""
    error = sys.exc_info()[1]
    if not util.is_exiting() or not (error is None or isinstance(error, SystemExit)):
        return
    with contextlib.suppress(Exception):
        while True:
            core.task_done()  # a ValueError, when there is nothing more


def _is_stopped_without_waiting() -> bool:
    """Whether this is a pool's worker or another process of Framewire's own: what waits there would be lost."""
    return "framewire.worker" in sys.modules and process.parent_process() is None


def _arrived(kind: type[SimpleQueue | Queue], core: Any, maxsize: int) -> Any:
    queue = kind.__new__(kind)
    if isinstance(queue, Queue):
        queue._begin(core, maxsize)
    else:
        queue._core, queue._closed = core, False
    return queue
