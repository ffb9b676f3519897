"""What `apply_async` and its kin give, and who calls back when it is there."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from framewire import _core
from framewire._failures import forked, task_timed_out

if TYPE_CHECKING:
    from framewire.pool import Pool

__all__ = ["AsyncResult", "Callbacks"]

R = TypeVar("R")

# So long the thread that calls back stays when it has nothing to do: the next one needn't start it again.
_LINGER_MS = 1000
# The token of no result.
_NOBODY = 0


class AsyncResult(Generic[R]):
    """The result of `apply_async`, `map_async` or `starmap_async`, to come.

    It is there when its callback, if it has one, has returned or failed. A task awaits it: `await result`.
    """

    def __init__(
        self,
        pool: Pool,
        group: _core.Group,
        single: bool,
        callback: Callable[[R], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        return_exceptions: bool = False,
        in_chunks: bool = False,
    ) -> None:
        self._home = os.getpid()
        self._pool = pool  # a pool whose results are wanted isn't dropped
        self._group = group
        self._single = single
        self._callback = callback
        self._error_callback = error_callback
        self._return_exceptions = return_exceptions
        self._in_chunks = in_chunks
        self._lock = threading.Lock()
        self._came: list[tuple[int, bool, Any]] = []
        self._outcome: tuple[bool, Any] | None = None
        self._bells: list[tuple[_core.Bell, int]] = []
        self._called = threading.Event() if callback is not None or error_callback is not None else None

    def ready(self) -> bool:
        """Whether it is there."""
        self._check()
        called = self._to_be_called()
        return (called is None or called.is_set()) and self._has_come()

    def successful(self) -> bool:
        """Whether it is there and no exception.

        Raises:
            ValueError: It isn't there yet.

        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._gather()[0]

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is there, `timeout` seconds at most."""
        self._check()
        end = None if timeout is None else time.monotonic() + timeout
        if not self._has_come() and not self._group.wait(timeout):
            return
        called = self._to_be_called()
        if called is not None:
            called.wait(None if end is None else max(0.0, end - time.monotonic()))

    def get(self, timeout: float | None = None) -> R:
        """Wait for it, `timeout` seconds at most.

        Raises:
            CallTimeoutError: It isn't there within the limit; the task goes on. It is a `TimeoutError`, and, where that
                is in use, a `multiprocessing.TimeoutError`.
            WorkerLostError: The worker died at it.
            Exception: What the function raised; of many, the first in the order of the items.

        """
        self.wait(timeout)
        if not self.ready():
            raise task_timed_out(timeout)
        success, value = self._gather()
        if not success:
            raise value
        return cast(R, value)

    def __await__(self) -> Generator[Any, None, R]:
        """Await it, as `get`. To cancel that cancels nothing of the pool's."""
        from framewire import aio  # asyncio takes some milliseconds

        yield from aio.run(_Arrival(self)).__await__()
        return self.get(0)

    def _check(self) -> None:
        # A forked child has a copy, to which nothing comes.
        if self._home != os.getpid():
            raise forked()

    def _notify(self, bell: _core.Bell, key: int) -> None:
        """Has `bell` name `key` when it is there."""
        called = self._to_be_called()
        if called is None:
            self._group.notify(bell, key)
            return
        with self._lock:
            if not called.is_set():
                self._bells.append((bell, key))
                return
        _core.Group().notify(bell, key)  # which is done already, so it rings now

    def _has_come(self) -> bool:
        return self._outcome is not None or self._group.is_done()

    def _to_be_called(self) -> threading.Event | None:
        # A callback that asks for a result mustn't wait for itself, nor for one that is called after it.
        return None if self._called is None or self._pool._callbacks.is_here() else self._called

    def _gather(self) -> tuple[bool, Any]:
        with self._lock:
            if self._outcome is None:
                self._group.take(self._came, None, sys.maxsize, None)  # the rest, if it was interrupted before
                outcomes = sorted(self._came, key=lambda outcome: outcome[0])
                failed = next((value for _, success, value in outcomes if not success), None)
                if failed is not None and not self._return_exceptions:
                    self._outcome = (False, failed)
                elif self._single:
                    self._outcome = (True, outcomes[0][2])
                else:
                    values = [value for _, _, value in outcomes]
                    self._outcome = (True, list(itertools.chain.from_iterable(values)) if self._in_chunks else values)
                self._came = []
            return self._outcome

    def _call_back(self) -> None:
        try:
            success, value = self._gather()
            callback = self._callback if success else self._error_callback
            if callback is not None:
                callback(value)
        except BaseException:  # a sys.exit too: it would end the thread, and with it all later callbacks
            _log_failure()
        finally:
            self._callback = self._error_callback = None
            assert self._called is not None, "it is called only if there is something to call"
            with self._lock:
                self._called.set()
                bells, self._bells = self._bells, []
            for bell, key in bells:
                _core.Group().notify(bell, key)


class _Arrival:
    """An operation as `framewire.aio` has them."""

    def __init__(self, result: AsyncResult[Any]) -> None:
        self._result = result

    def poll(self, bell: _core.Bell, key: int) -> tuple[None] | None:
        if self._result.ready():
            return (None,)
        self._result._notify(bell, key)
        return None

    def cancel(self) -> None:
        pass


def _log_failure() -> None:
    import logging

    try:
        logging.getLogger("framewire.pool").exception("a callback of a pool failed; its task's result isn't concerned")
    except BaseException:
        import traceback

        traceback.print_exc()  # a filter of the application's that raises, say


class Callbacks:
    """Calls back, one after the other, in a thread that lives while something is to be called."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._bell: _core.Bell | None = None
        self._waiting: dict[int, AsyncResult[Any]] = {}
        self._tokens = itertools.count(_NOBODY + 1)
        self._is_over = False
        self._thread: threading.Thread | None = None

    def expect(self, result: AsyncResult[Any]) -> int:
        """Take a result whose tasks are about to be given. What can fail, fails here: before they are."""
        with self._changed:
            if self._bell is None:
                self._bell = _core.Bell()
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, args=(self._bell,), name="framewire pool callbacks", daemon=True
                )
                thread.start()
                self._thread = thread
            token = next(self._tokens)
            self._waiting[token] = result
            return token

    def listen(self, token: int, group: _core.Group) -> None:
        """Call back when all of the group, which is complete now, are done."""
        assert self._bell is not None, "something is expected"
        group.notify(self._bell, token)

    def forget(self, token: int) -> None:
        """Expect it no more: its tasks weren't given."""
        with self._changed:
            self._waiting.pop(token, None)
            self._changed.notify_all()

    def join(self, timeout: float | None) -> bool:
        """Wait until all have been called, and the thread has ended; whether that is so.

        No more will be expected. A callback may ask too: it isn't waited for.
        """
        if self.is_here():
            return True
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._is_over = True
            if not self._changed.wait_for(lambda: not self._waiting, timeout):
                return False
            thread = self._thread
        if thread is None or self._bell is None:
            return True
        _core.Group().notify(self._bell, _NOBODY)  # which is done already, so it rings now
        thread.join(None if end is None else max(0.0, end - time.monotonic()))
        return not thread.is_alive()

    def is_here(self) -> bool:
        """Whether this is the thread that calls back."""
        return self._thread is threading.current_thread()

    def _run(self, bell: _core.Bell) -> None:
        import select

        poll = select.poll()
        poll.register(bell.fileno(), select.POLLIN)
        while True:
            poll.poll(_LINGER_MS)
            tokens = bell.take()
            for token in tokens:
                self._call(token)
            with self._changed:
                if not self._waiting and (self._is_over or not tokens):
                    self._thread = None
                    return

    def _call(self, token: int) -> None:
        with self._changed:
            result = self._waiting.get(token)
        if result is not None:
            result._call_back()
        del result  # it has the pool, which this thread mustn't keep
        self.forget(token)
