"""asyncio as a guest in a child's event loop: it runs as far as it can, then says when it wants to go on."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any

from framewire import _core

__all__ = ["Guest"]

# The child's own loop (commands, a stop, watched descriptors) has its turn after so many seconds.
_SLICE = 0.001


class _Selector(selectors.EpollSelector):
    """Never waits: where it would have to, the loop stops, and the child's own loop waits for it."""

    loop: asyncio.AbstractEventLoop | None = None
    wants: float | None = None
    end = 0.0
    waits = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.waits:
            return super().select(timeout)
        ready = super().select(0)
        if self.loop is not None:
            if not ready and (timeout is None or timeout > 0):
                self.wants = timeout
                self.loop.stop()
            elif time.monotonic() >= self.end:
                self.wants = 0.0
                self.loop.stop()
        return ready


class Guest:
    """An asyncio loop that is run in turns."""

    def __init__(self, context: _core.ChildContext, concurrent: int) -> None:
        self._selector = _Selector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self._selector.loop = self.loop
        self._concurrent = concurrent
        self._room: asyncio.Semaphore | None = None
        self.tasks: set[asyncio.Task[Any]] = set()
        context.watch(self._selector.fileno(), lambda: None)
        context.invite()

    def begin(self, coroutine: Coroutine[Any, Any, Any], outcome: _core.Outcome) -> asyncio.Task[Any]:
        """Has a command run; `outcome` hears of its end."""
        task = self.loop.create_task(self._limited(coroutine))
        self.tasks.add(task)

        def done(task: asyncio.Task[Any]) -> None:
            self.tasks.discard(task)
            coroutine.close()  # one that was cancelled while it waited for room never began
            if task.cancelled():
                outcome.failed(asyncio.CancelledError("it was cancelled"))
            elif (error := task.exception()) is not None:
                outcome.failed(error)
            else:
                outcome.done(task.result())

        task.add_done_callback(done)
        return task

    async def _limited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._room is None:
            self._room = asyncio.Semaphore(self._concurrent)
        async with self._room:
            return await coroutine

    def turn(self) -> float | None:
        """Run what can run, for a moment; in how many seconds it wants to go on, `None`: when a descriptor is ready."""
        self._selector.wants, self._selector.end = None, time.monotonic() + _SLICE
        self.loop.run_forever()
        return self._selector.wants

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run one to its end, and others meanwhile."""
        self._selector.waits = True
        try:
            return self.loop.run_until_complete(coroutine)
        finally:
            self._selector.waits = False

    def cancel_all(self) -> None:
        """Cancel all commands."""
        for task in self.tasks:
            task.cancel()

    def close(self) -> None:
        """End what is left, as `asyncio.run` does."""
        self._selector.waits = True
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
