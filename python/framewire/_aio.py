"""Things to come, as futures of an asyncio loop: one descriptor a loop, and no thread."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from weakref import WeakKeyDictionary

from framewire import _core

__all__ = ["future"]


class _Bridge:
    """What a loop waits for. It doesn't know its loop: that would keep it for ever."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.notifier = _core.Notifier()
        self.waiting: dict[int, tuple[asyncio.Future[Any], _core.Pending]] = {}
        self.tokens = itertools.count()
        loop.add_reader(self.notifier.fileno(), self._look)

    def future(self, loop: asyncio.AbstractEventLoop, pending: _core.Pending) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = loop.create_future()
        token = next(self.tokens)
        if pending.poll(self.notifier, token):
            _settle(future, pending)
            return future
        self.waiting[token] = (future, pending)

        def done(future: asyncio.Future[Any]) -> None:
            self.waiting.pop(token, None)
            if future.cancelled():
                pending.cancel()

        future.add_done_callback(done)
        return future

    def _look(self) -> None:
        for token in self.notifier.take():
            known = self.waiting.get(token)
            if known is not None and not known[0].done() and known[1].poll(self.notifier, token):
                _settle(*known)


def _settle(future: asyncio.Future[Any], pending: _core.Pending) -> None:
    try:
        future.set_result(pending.result())
    except StopIteration as error:
        # A future can't carry it.
        future.set_exception(RuntimeError(f"a handler raised {error!r}"))
    except Exception as error:
        future.set_exception(error)


_bridges: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bridge] = WeakKeyDictionary()


def future(pending: _core.Pending) -> asyncio.Future[Any]:
    """A future of the running loop; cancelling it gives up what is to come."""
    loop = asyncio.get_running_loop()
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _Bridge(loop)
    return bridge.future(loop, pending)
