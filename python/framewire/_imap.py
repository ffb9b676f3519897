"""Iterating over a pool's results while its input is still being read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from framewire import _core
from framewire._failures import PoolError, forked, task_timed_out
from framewire._tasks import LOT

if TYPE_CHECKING:
    from framewire.pool import Pool

__all__ = ["IMapIterator"]

R = TypeVar("R")

# An imap reads so many items ahead for each worker: short tasks never run dry, and memory is bounded.
_AHEAD_PER_WORKER = 128


class IMapIterator(Generic[R]):
    """The results of an `imap`, as they come: `for` or `async for`.

    With `async for` the input is read on the loop's thread too: it should be at hand.
    """

    def __init__(self, pool: Pool, pickled: bytes, iterable: Iterable[Any], *, ordered: bool) -> None:
        self._home = os.getpid()
        self._pool = pool
        self._pickled = pickled
        self._input: Iterator[Any] | None = iter(iterable)
        self._ordered = ordered
        self._group = _core.Group()
        self._ahead = pool._count * _AHEAD_PER_WORKER
        self._given = 0  # to whoever iterates
        # What was read of the input and wasn't handed over, and the number of the first. Both change at once, by one
        # assignment: a KeyboardInterrupt may come between any two.
        self._lot: tuple[int, list[Any]] = (0, [])
        self._came: list[tuple[int, bool, Any]] = []
        self._arrived: dict[int, tuple[bool, Any]] = {}
        self._broken: BaseException | None = None
        # Whoever joins the pool reads on, perhaps while another thread iterates.
        self._feeding = threading.RLock()
        pool._reads(self)
        self._feed(self._ahead)

    def _feed(self, most: int) -> None:
        """Read until so many items were given, for a moment: the reading mustn't keep results that are there."""
        end = time.monotonic() + 0.01
        with self._feeding:
            while not self._is_read() and self._group.given() < most and time.monotonic() < end:
                self._give(most)

    def _give(self, most: int) -> None:
        self._read(most)
        first, lot = self._lot
        refused = False
        try:
            if lot:
                self._pool._core.submit(self._group, first, self._pickled, lot)
        except PoolError as error:
            refused, self._input, self._broken = True, None, error
        finally:
            given = self._group.given()
            self._lot = (given, [] if refused else lot[given - first :])
        if self._is_read():
            self._pool._has_read(self)

    def _is_read(self) -> bool:
        return self._input is None and not self._lot[1]

    def _read_to_end(self, end: float | None) -> bool:
        """Read whatever nobody's taking of results has read yet, for a pool that is joined; whether it was, by `end`.

        What comes is kept until it is taken, but no more items wait for a worker than else.
        """
        while not self._is_read():
            most = self._group.given() + self._ahead
            while not self._is_read() and self._group.given() < most:
                if end is not None and time.monotonic() >= end:
                    return False
                self._feed(most)
            if not self._group.wait(None if end is None else max(0.0, end - time.monotonic())):
                return False
        return True

    def __del__(self) -> None:
        if getattr(self, "_feeding", None) is not None:
            self._pool._has_read(self)

    def _read(self, most: int) -> None:
        """Read some of the input. A slow one isn't waited for: its first item is worth handing over at once."""
        begun = time.monotonic()
        first, lot = self._lot
        most = min(LOT, most - first)
        try:
            while self._input is not None and len(lot) < most:
                lot.append(next(self._input))
                if time.monotonic() - begun > 0.001:
                    return
        except StopIteration:
            self._input = None
        except Exception as error:
            # It is raised after the results of what was read before it.
            self._input, self._broken = None, error

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> R:
        return self.next()

    def next(self, timeout: float | None = None) -> R:
        """Give the next result, waited for `timeout` seconds at most.

        Raises:
            CallTimeoutError: There is none within the limit; ask again.
            StopIteration: There will never be another one.
            Exception: What the function raised for this item; the iteration goes on behind it.

        """
        outcome = self._next(timeout)
        if outcome is None:
            raise task_timed_out(timeout)
        success, value = outcome
        if not success:
            raise value
        return cast(R, value)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        from framewire import aio  # asyncio takes some milliseconds

        while True:
            try:
                outcome = self._next(0.0)
            except StopIteration:
                raise StopAsyncIteration from None
            if outcome is not None:
                break
            await aio.run(_Arrival(self._group, self._given if self._ordered else None))
        success, value = outcome
        if not success:
            raise value
        return cast(R, value)

    def _next(self, timeout: float | None) -> tuple[bool, Any] | None:
        """Give the next outcome: whether it is a result, and that or the exception; `None` if there is none in time."""
        if self._home != os.getpid():
            raise forked()  # nothing comes to a forked child's copy
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            number = self._given if self._ordered else next(iter(self._arrived), -1)
            if number in self._arrived:
                if self._group.left() <= self._ahead // 2:
                    self._feed(self._given + self._ahead)  # before it is taken: an interruption mustn't lose it
                outcome = self._arrived.pop(number)
                self._given += 1
                return outcome
            if not self._group.left():
                self._feed(self._given + self._ahead)
                if not self._group.left():
                    if self._broken is not None:
                        broken, self._broken = self._broken, None
                        raise broken
                    raise StopIteration
            left = None if end is None else max(0.0, end - time.monotonic())
            wanted = number if self._ordered else None
            count = max(1, self._group.left() // 2) if self._ordered else 1
            self._group.take(self._came, wanted, count, left)
            if not self._came and left is not None and left <= 0.0:
                return None
            while self._came:
                came, success, value = self._came[-1]
                self._arrived[came] = (success, value)
                self._came.pop()


class _Arrival:
    """An operation as `framewire.aio` has them: done when it was woken."""

    def __init__(self, group: _core.Group, number: int | None) -> None:
        self._group = group
        self._number = number
        self._was_asked = False

    def poll(self, bell: _core.Bell, key: int) -> tuple[None] | None:
        if self._was_asked:
            return (None,)
        self._was_asked = True
        self._group.notify_next(bell, key, self._number)
        return None

    def cancel(self) -> None:
        pass
