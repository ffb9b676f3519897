"""Events that front and back end share, and waiting for the back end by them."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import framewire

if TYPE_CHECKING:
    from framewire.valkka.process import MessageProcess

# How often a waiting front end looks whether its back end has failed.
LOOK_EVERY = 0.05

_now_starting = threading.local()


class NotEnoughEvents(framewire.Error):
    """All events of a group are reserved."""


@contextlib.contextmanager
def starting(process: MessageProcess) -> Iterator[None]:
    """While `process` is being pickled: whichever groups go along know that it has them."""
    _now_starting.process = process
    try:
        yield
    finally:
        _now_starting.process = None


class EventGroup:
    """Events made in advance, which front and back end name by their index.

    :param n: how many
    :param event_class: makes one; by default :class:`framewire.Event`
    """

    def __init__(self, n: int = 10, event_class: Callable[[], Any] = framewire.Event) -> None:
        self.events = [event_class() for _ in range(n)]
        self.index = list(range(n))
        self._holders: weakref.WeakSet[MessageProcess] = weakref.WeakSet()

    def __getstate__(self) -> dict[str, Any]:
        process = getattr(_now_starting, "process", None)
        if process is not None:
            self._holders.add(process)
        return {"events": self.events, "index": self.index}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _holders=weakref.WeakSet())

    def __str__(self) -> str:
        states = " ".join(f"{'f' if index in self.index else 'R'}{index}" for index in range(len(self.events)))
        return f"<EventGroup: {states} >"

    def __len__(self) -> int:
        return len(self.events)

    @property
    def holders(self) -> list[MessageProcess]:
        """The processes that were started with this group."""
        return list(self._holders)

    def set(self, i: int) -> None:
        """Sets an event: in the back end, when it has done what was asked."""
        self.events[i].set()

    def reserve(self) -> tuple[int, Any]:
        """Takes an event out of the group, cleared, with its index.

        :raises NotEnoughEvents: if there is none left.
        """
        if not self.index:
            raise NotEnoughEvents(f"could not reserve an event: all {len(self.events)} are reserved")
        index = self.index.pop(0)
        event = self.events[index]
        event.clear()
        return index, event

    def release(self, event: Any) -> None:
        """Gives an event back.

        :raises ValueError: if it isn't of this group.
        """
        self.release_ind(self.asIndex(event))

    def release_ind(self, index: int) -> None:
        """Gives the event of that index back."""
        self.index.append(index)

    def fromIndex(self, i: int) -> Any:
        """The event of an index: in the back end."""
        return self.events[i]

    def asIndex(self, event: Any) -> int:
        """The index of an event.

        :raises ValueError: if it isn't of this group.
        """
        for index, own in enumerate(self.events):
            if own is event:
                return index
        raise ValueError("the event isn't of this group")


class SyncIndex:
    """Sends a message inside of it and waits, at its end, until the back end has set the event.

    ::

        with SyncIndex(self.event_group) as i:
            self.sendMessageToBack(MessageObject("work", sync=i))

    :raises BackendDied: if every process that has the group ends before.
    :raises Exception: what the handler raised.
    """

    def __init__(self, event_group: EventGroup) -> None:
        self.eg = event_group
        self.event: Any = None
        self._index = 0
        self._before: dict[Any, int] = {}

    def __enter__(self) -> int:
        self._index, self.event = self.eg.reserve()
        self._before = {process: process.sent for process in self.eg.holders}
        return self._index

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._wait()
        finally:
            self.eg.release_ind(self._index)

    def _wait(self) -> None:
        while not self.event.wait(LOOK_EVERY):
            for process, before in self._before.items():
                if process.sent == before:
                    continue  # nothing was asked of this one
                failure = process.failure_since(before)
                # It may have been done just before it failed.
                if failure is not None and not self.event.is_set():
                    raise failure
