"""Waiting in asyncio: one descriptor for each event loop, and no thread.

Everything here is cancel-safe: an operation takes something only in the very step in which its task gets it.
"""

import asyncio
import itertools
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from framewire._core import Bell, Frame, Reader
from framewire.errors import ClosedError

__all__ = ["iterate_frames", "next_frame", "readable", "run"]


class _Awaited(Protocol):
    """A wait under way: an `Operation` or a `Pending` of the engine's, or what acts as one."""

    def poll(self, bell: Bell, key: int) -> tuple[Any] | None: ...
    def cancel(self) -> None: ...


class _Readable(Protocol):
    def fileno(self) -> int: ...


class _Watch:
    """What one loop watches for all its operations."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.bell = Bell()
        self.keys = itertools.count()
        self.sleeping: dict[int, asyncio.Future[None]] = {}
        loop.add_reader(self.bell.fileno(), self.wake)

    def wake(self) -> None:
        for key in self.bell.take():
            sleeper = self.sleeping.get(key)
            if sleeper is not None and not sleeper.done():
                sleeper.set_result(None)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


async def run(operation: _Awaited) -> Any:
    """Wait for an operation."""
    loop = asyncio.get_running_loop()
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = _Watch(loop)
    key = next(watch.keys)
    try:
        while True:
            # First, so that no wake-up falls between the look and the sleep.
            watch.sleeping[key] = loop.create_future()
            done = operation.poll(watch.bell, key)
            if done is not None:
                return done[0]
            await watch.sleeping[key]
    finally:
        watch.sleeping.pop(key, None)
        operation.cancel()


async def readable(what: _Readable | int) -> None:
    """Wait until a descriptor, or something that has one, is readable. One task at a time for each descriptor."""
    loop = asyncio.get_running_loop()
    descriptor = what if isinstance(what, int) else what.fileno()
    ready = loop.create_future()

    def is_readable() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, is_readable)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def next_frame(reader: Reader) -> Frame:
    """Wait for a reader's next frame."""
    while True:
        frame = reader.poll()
        if frame is not None:
            return frame
        await readable(reader)


async def iterate_frames(reader: Reader) -> Frame:
    """As `next_frame`, for `async for`."""
    try:
        return await next_frame(reader)
    except ClosedError:
        raise StopAsyncIteration from None
