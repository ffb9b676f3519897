"""A process with a front end, where it was made, and a back end, where it runs."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any, ClassVar

import framewire
from framewire import multiprocessing as mp
from framewire.valkka.logs import Logged
from framewire.valkka.message import BackendDied, MessageObject, Raised, Returned
from framewire.valkka.select import safe_select
from framewire.valkka.sync import starting


class MessageProcess(Logged, mp.Process):
    """A process that does what it is sent: a message ``"work"`` is handled by its method ``c__work``.

    A handler that fails doesn't end the process: it is logged, and raises in the front end if that waits
    (:meth:`returnFromBack`, :class:`~framewire.valkka.SyncIndex`).

    Call ``super().__init__()`` in your own ``__init__``. What that leaves in ``self`` is pickled for the back end.
    """

    #: How long the back end sleeps at most, in seconds, before it looks at :attr:`loop` again.
    timeout: ClassVar[float] = 1.0

    def __init__(self, name: str = "MessageProcess") -> None:
        super().__init__(name=name)
        self.pre = f"{type(self).__name__}.{name}"
        self.logger = logging.getLogger(self.pre)
        self.front_pipe: Any
        self.back_pipe: Any
        self.front_pipe, self.back_pipe = mp.Pipe()
        self.front_pipe_internal, self.back_pipe_internal = mp.Pipe()
        self.loop = True
        self.listening = False
        self.sigint = True
        self._sent = 0
        self._given_up = 0
        self._handling = 0
        self._returned: deque[Any] = deque()
        self._sending = threading.Lock()

    def __str__(self) -> str:
        return f"<{self.pre}>"

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        # The front end's own.
        for name in ("front_pipe", "front_pipe_internal", "_sending", "_returned"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # In the back end.

    def preRun__(self) -> None:
        """Done first in the back end: import what is heavy, load the model."""

    def postRun__(self) -> None:
        """Done last in the back end."""

    def run(self) -> None:
        """The back end's loop."""
        if not self.sigint:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.preRun__()
        while self.loop:
            self.readPipes__(timeout=0 if self.listening else self.timeout)
        # Tells a thread that reads at the front end to end.
        self.back_pipe.send(None)
        self.logger.debug("bye!")
        self.postRun__()

    def readPipes__(self, timeout: float) -> None:
        """Waits for messages; a subclass waits for more here.

        :param timeout: in seconds; 0 only looks
        """
        readable, _, _ = safe_select([self.back_pipe], [], [], timeout=timeout)
        if self.back_pipe in readable:
            self.handleBackPipe__(self.back_pipe)

    def handleBackPipe__(self, p: Connection) -> None:
        """Takes one message, and has it handled."""
        try:
            message = p.recv()
        except EOFError:
            self.loop = False  # nobody can send anything any more
            return
        except Exception as error:
            self.logger.critical("a message could not be read: %s", error)
            return
        self.routeMainPipe__(self._take(message))

    def _take(self, message: Any) -> Any:
        """Takes the number off a message."""
        self._handling, message = message
        return message

    def routeMainPipe__(self, obj: MessageObject | None) -> None:
        """Finds the method for a message and calls it."""
        if obj is None:
            self.loop = False
            return
        method = getattr(self, f"c__{obj.command}", None)
        if method is None:
            self._failed(AttributeError(f"{self} has no method c__{obj.command} for the message {obj}"))
            return
        try:
            method(**obj.kwargs)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.logger.error("a message could not be handled: %s", error, exc_info=error)
        raised = Raised(self._handling, error)
        try:
            self.back_pipe_internal.send(raised)
        except Exception:
            # The exception has no pickle: its text is what can be told.
            text = f"{type(error).__name__}: {error}"
            told = Raised(self._handling, RuntimeError(text))
            told.trace = raised.trace
            self.back_pipe_internal.send(told)

    def send_out__(self, obj: Any) -> Any:
        """Sends an object, best a :class:`MessageObject`, to the front end's :meth:`getPipe`."""
        self.back_pipe.send(obj)

    def return_out__(self, obj: Any) -> Any:
        """Sends what :meth:`returnFromBack` waits for."""
        self.back_pipe_internal.send(Returned(self._handling, obj))

    def c__ping(self, lis: Any = None) -> Any:
        """For trying: answers a ``ping`` with a ``pong``."""
        print("c__ping:", lis)
        return self.send_out__(MessageObject("pong", lis=[1, 2, 3]))

    # At the front end.

    def start(self) -> None:
        """Starts the back end."""
        with starting(self):
            super().start()
        # Theirs alone now: so the end of a back end is the end of its pipes.
        self.back_pipe.close()
        self.back_pipe_internal.close()

    def ignoreSIGINT(self) -> None:
        """Called before the start: the back end leaves Ctrl-C to the front end."""
        self.sigint = False

    def getPipe(self) -> Any:
        """Where the back end's messages arrive: `recv()`, `fileno()`."""
        return self.front_pipe

    def sendMessageToBack(self, message: MessageObject | None) -> None:
        """Sends a message to the back end, which handles messages in their order.

        :raises BackendDied: if there is no back end any more.
        :raises NotRunningError: if there is none yet.
        """
        if self.pid is None:
            raise framewire.NotRunningError(
                f"could not send {message} to {self}: it wasn't started; call start() before"
            )
        with self._sending:
            self._sent += 1
            try:
                self.front_pipe.send((self._sent, message))
            except (BrokenPipeError, ConnectionResetError):
                raise BackendDied(f"could not send {message} to {self}: {self._how()}") from None

    def returnFromBack(self, timeout: float | None = None) -> Any:
        """What the back end returned (:meth:`return_out__`) to the last message.

        What comes too late, after a ``TimeoutError`` and a new message, is dropped: it is no answer to that one.

        :param timeout: in seconds; ``None`` waits as long as the back end lives
        :raises BackendDied: if it ends before.
        :raises TimeoutError: if it takes longer.
        :raises Exception: what the handler raised, with the back end's traceback as a note.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            while self._returned:
                returned = self._returned.popleft()
                if isinstance(returned, Returned):
                    if returned.number > self._given_up or self._given_up == self._sent:
                        return returned.value
                    continue  # it came too late
                if not isinstance(returned, Raised):
                    return returned  # from the program's own use of the pipe
                if returned.number == self._sent:
                    returned.raise_it()
                # An earlier message's, whose answer nobody waited for: it is in the log.
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self._given_up = self._sent
                raise TimeoutError(f"{self} returned nothing within {timeout} s")
            self._listen(left)

    def _listen(self, timeout: float | None) -> None:
        """Waits for something returned, and keeps it."""
        ready = wait([self.front_pipe_internal, self.sentinel], timeout)
        if self.front_pipe_internal in ready:
            try:
                self._returned.append(self.front_pipe_internal.recv())
                return
            except EOFError:
                pass
        elif not ready:
            return
        raise BackendDied(f"{self} has returned nothing: {self._how()}")

    def failure_since(self, number: int) -> BaseException | None:
        """What a message after that one has met, if it failed; or the back end's end. Takes no returned values."""
        try:
            while self.front_pipe_internal.poll(0):
                self._returned.append(self.front_pipe_internal.recv())
        except (EOFError, OSError):
            return BackendDied(f"{self} has ended: {self._how()}")
        for returned in self._returned:
            if isinstance(returned, Raised) and returned.number > number:
                self._returned.remove(returned)
                returned.error.add_note(f"in the back end:\n{returned.trace}")
                return returned.error
        return None

    @property
    def sent(self) -> int:
        """How many messages were sent."""
        return self._sent

    def _how(self) -> str:
        self.join(1.0)
        return f"it ended with exit code {self.exitcode}" if self.exitcode is not None else "its pipe is closed"

    def go(self) -> None:
        """As :meth:`start`."""
        self.start()

    def requestStop(self) -> None:
        """Asks the back end to stop after what was sent before."""
        try:
            self.sendMessageToBack(None)
        except (BackendDied, framewire.NotRunningError):
            self.logger.debug("it has ended already, or wasn't started")

    def waitStop(self) -> None:
        """Waits until the back end is gone."""
        self.join()

    def stop(self) -> None:
        """Stops the back end, and waits until it is gone."""
        self.requestStop()
        self.waitStop()

    def sendPing(self, lis: Any) -> None:
        """For trying: sends a ``ping``."""
        self.sendMessageToBack(MessageObject("ping", lis=lis))
