"""A back end on asyncio."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from framewire.valkka.message import MessageObject, Returned
from framewire.valkka.process import MessageProcess

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


class Duplex:
    """A pipe's end as this module's users know it: one object for both directions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fileno(self) -> int:
        """The descriptor, for :func:`safe_select`."""
        return self._connection.fileno()

    def getReadFd(self) -> int:
        """The descriptor to read from."""
        return self._connection.fileno()

    def getWriteFd(self) -> int:
        """The descriptor to write to: the same."""
        return self._connection.fileno()

    def recv(self) -> Any:
        """The next object; waits for it."""
        return self._connection.recv()

    def send(self, obj: Any) -> None:
        """Sends an object."""
        self._connection.send(obj)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something to receive within so many seconds."""
        return self._connection.poll(timeout)

    def close(self) -> None:
        """Closes it."""
        self._connection.close()


class AsyncBackMessageProcess(MessageProcess):
    """As :class:`MessageProcess`, but what handles messages (``c__…``) is coroutines, on an event loop of the back end.

    Messages are begun in their order, and a handler that awaits lets the next begin only when it is done, as in valkka;
    start a task for what shall go on beside.
    """

    def __init__(self, name: str = "AsyncMessageProcess") -> None:
        super().__init__(name=name)
        self.front_pipe = Duplex(self.front_pipe)

    def getReadFd(self) -> int:
        """The descriptor at which the back end's messages arrive."""
        return int(self.front_pipe.getReadFd())

    def getWriteFd(self) -> int:
        """The descriptor by which messages go to the back end."""
        return int(self.front_pipe.getWriteFd())

    def run(self) -> None:
        """The back end."""
        if not self.sigint:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.preRun__()
        asyncio.run(self.async_run__())
        self.postRun__()

    async def asyncPre__(self) -> None:
        """Done first on the event loop."""

    async def asyncPost__(self) -> None:
        """Done last on the event loop."""

    async def async_run__(self) -> None:
        """The back end's loop."""
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        # A message that arrives slowly shouldn't hold up the loop, so a thread takes them in.
        reader = threading.Thread(target=self._take_in, args=(loop, arrived), name="messages", daemon=True)
        self._outgoing = asyncio.Lock()
        try:
            await self.asyncPre__()
        except Exception as error:
            self.logger.critical("asyncPre__ failed: %s", error, exc_info=error)
        reader.start()
        while self.loop:
            message = await arrived.get()
            if message is None:
                break
            await self.routeMainPipe__(self._take(message))
        await self.send_out__(None)
        await self.asyncPost__()
        self.logger.debug("bye!")

    def _take_in(self, loop: asyncio.AbstractEventLoop, arrived: asyncio.Queue[Any]) -> None:
        while True:
            try:
                message = self.back_pipe.recv()
            except EOFError:
                message = None
            except Exception as error:
                self.logger.critical("a message could not be read: %s", error)
                continue
            try:
                loop.call_soon_threadsafe(arrived.put_nowait, message)
            except RuntimeError:
                return  # the loop has ended
            if message is None:
                return

    async def routeMainPipe__(self, obj: MessageObject | None) -> None:  # type: ignore[override]
        """Finds the coroutine for a message and awaits it."""
        if obj is None:
            self.loop = False
            return
        method = getattr(self, f"c__{obj.command}", None)
        if method is None:
            self._failed(AttributeError(f"{self} has no method c__{obj.command} for the message {obj}"))
            return
        try:
            await method(**obj.kwargs)
        except Exception as error:
            self._failed(error)

    async def send_out__(self, obj: Any) -> None:
        """Sends an object to the front end. The loop goes on meanwhile; objects keep their order."""
        async with self._outgoing:
            await asyncio.to_thread(self.back_pipe.send, obj)

    async def return_out__(self, obj: Any) -> None:
        """Sends what :meth:`returnFromBack` waits for."""
        returned = Returned(self._handling, obj)
        async with self._outgoing:
            await asyncio.to_thread(self.back_pipe_internal.send, returned)

    async def c__ping(self, lis: Any = None) -> None:
        """For trying: answers a ``ping`` with a ``pong``."""
        print("c__ping:", lis)
        await self.send_out__(MessageObject("pong", lis=[1, 2, 3]))


def exclog(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """For a coroutine: its exceptions are logged before they go on."""

    @functools.wraps(function)
    async def logged(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except Exception:
            logger.exception("%s failed", function)
            raise

    return logged


def exclogmsg(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """As :func:`exclog`."""
    return exclog(function)
