"""What goes wrong with processes and pools. The functions below are called by `framewire._core`."""

from __future__ import annotations

import builtins
import functools
import pickle
import sys
from typing import Any, cast

from framewire.errors import Error, ForkedError
from framewire.exit import Exit

__all__ = [
    "CallError",
    "CallTimeoutError",
    "DiedError",
    "HandlerError",
    "NotRunningError",
    "PoolError",
    "PoolFailedError",
    "PoolNotRunningError",
    "RemoteTraceback",
    "SpawnError",
    "StartError",
    "WorkerLostError",
]


class SpawnError(Error, RuntimeError):
    """A process can't be spawned from here, or not with this: the text says why, and what to do."""


class StartError(Error, RuntimeError):
    """A process was started and didn't become ready. None of it is left.

    Attributes:
        name: The process.
        exit: How it ended, if it came to be.

    """

    name: str | None = None
    exit: Exit | None = None


class CallError(Error, RuntimeError):
    """A call has no answer.

    Attributes:
        name: The process.

    """

    name: str | None = None


class DiedError(CallError, ConnectionError):
    """The process ended before it answered.

    Attributes:
        how: How it ended.

    """

    how: Exit


class NotRunningError(CallError):
    """The process isn't ready yet, or isn't running any more."""


class CallTimeoutError(CallError, builtins.TimeoutError):
    """The limit was over before it answered. The call is cancelled; a late answer is dropped."""


def task_timed_out(timeout: float | None) -> CallTimeoutError:
    """Say that a pool has no result yet; where `multiprocessing` is in use, its `TimeoutError` catches that too."""
    text = f"could not wait for a task: no result within {timeout} s"
    return _standard_timeout(text) if "multiprocessing.context" in sys.modules else CallTimeoutError(text)


def _standard_timeout(text: str) -> CallTimeoutError:
    return cast(CallTimeoutError, _standard_timeout_class()(text))


@functools.cache
def _standard_timeout_class() -> type:
    from multiprocessing.context import TimeoutError as Standard

    def reduce(error: BaseException) -> tuple[Any, ...]:
        return _standard_timeout, error.args  # wherever it is sent, as a manager does

    members = {"__module__": __name__, "__reduce__": reduce}
    return type("CallTimeoutError", (CallTimeoutError, Standard), members)


class HandlerError(CallError):
    """The handler failed in a way that can't be raised here as it is: text, and where it was, are all there is.

    Attributes:
        trace: Where in the process it was.

    """

    trace: str | None = None


class PoolError(Error, RuntimeError):
    """A pool can't do a task."""


class WorkerLostError(PoolError, ConnectionError):
    """The worker died at this task. It may have had an effect. No other task is concerned.

    Attributes:
        worker: The worker's name.
        how: How it ended.

    """

    worker: str | None = None
    how: Exit


class PoolFailedError(PoolError):
    """The pool's workers can't be started any more, or die without having done anything."""


class PoolNotRunningError(PoolError, ValueError):
    """The pool was closed or terminated, or, for `join`, wasn't."""


class RemoteTraceback(Exception):
    """The traceback in the process where an exception was raised; its `__cause__` here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def tb(self) -> str:
        """The same, as `multiprocessing` calls it."""
        return self.text

    def __str__(self) -> str:
        return f"\n{self.text}"


def died(text: str, name: str, how: tuple[Any, str, int | None]) -> DiedError:
    error = DiedError(text)
    error.name, error.how = name, Exit(*how)
    return error


def not_running(text: str, name: str) -> NotRunningError:
    error = NotRunningError(text)
    error.name = name
    return error


def timed_out(text: str, name: str | None) -> CallTimeoutError:
    error = CallTimeoutError(text)
    error.name = name
    return error


def handler_failed(text: str, name: str, why: str, trace: str | None) -> HandlerError:
    error = HandlerError(text)
    error.name, error.trace = name, trace
    if trace is not None:
        error.__cause__ = RemoteTraceback(trace)
    return error


def not_sent(text: str, name: str | None) -> CallError:
    error = CallError(text)
    error.name = name
    return error


def not_started(text: str, name: str, how: tuple[Any, str, int | None] | None) -> StartError:
    error = StartError(text)
    error.name, error.exit = name, Exit(*how) if how is not None else None
    return error


def worker_lost(text: str, worker: str | None, how: tuple[Any, str, int | None]) -> WorkerLostError:
    error = WorkerLostError(text)
    error.worker, error.how = worker, Exit(*how)
    return error


def pool_failed(text: str) -> PoolFailedError:
    return PoolFailedError(text)


def pool_not_running(text: str) -> PoolNotRunningError:
    return PoolNotRunningError(text)


def forked() -> ForkedError:
    return ForkedError(
        "could not use this here: it belongs to the process that this one was forked from; start processes by "
        "framewire.Process, or make it after the fork"
    )


def raised(pickled: bytes) -> BaseException:
    """Give the exception that was raised in another process, with its traceback there as its cause."""
    try:
        error, trace = pickle.loads(pickled)
    except Exception as why:
        refused = HandlerError(f"could not read the exception that a handler raised: {why!r}")
        refused.__cause__ = why
        return refused
    if isinstance(error, HandlerError):
        error.trace = trace
    cause: BaseException = RemoteTraceback(trace)
    error.__cause__ = cause
    return error  # type: ignore[no-any-return]
