"""How a process of the standard library's kind comes to be, as a process of Framewire's."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import time
from multiprocessing import process, resource_tracker, spawn, util
from types import FrameType
from typing import Any

from framewire import _core
from framewire._failures import StartError
from framewire._spawning import GRACE
from framewire.handle import Handle, Starting
from framewire.multiprocessing import interrupts, pickling
from framewire.multiprocessing.chosen import READY_WITHIN, Choice, chosen
from framewire.process import Process
from framewire.system import default_system

__all__ = ["Popen"]

_numbers = itertools.count(1)

# What Framewire has prepared already, or has no use for.
_NOT_NEEDED = ("init_main_from_name", "init_main_from_path", "start_method", "sys_argv", "sys_path")

# How a process ends whose work hasn't begun.
_NEVER_BEGAN = ("failed", "lost_before_ready", "not_ready_in_time")

# A child is sent 253 descriptors at most; a queue has five.
_MANY = 48


class Runner(Process):
    """Does what a process object says, and ends with its exit code."""

    # What it logs goes where its parent writes, as all that it writes.
    _logs_by_itself = True

    def start(
        self,
        process_object: process.BaseProcess,
        preparation: dict[str, Any],
        parent: int,
        streams: tuple[_core.Descriptor | None, _core.Descriptor | None],
        tracker: _core.Descriptor | None,
        choice: Choice,
        group: int,
        ignores_interrupts: bool,
    ) -> None:
        """Take everything along; it begins as soon as the parent knows that it can."""
        self._ignores_interrupts, self._was_interrupted = ignores_interrupts, False
        signal.signal(signal.SIGINT, self._interrupted_early)
        interrupts.of_group(group)
        chosen.take(choice)
        for stream, number in zip(streams, (1, 2), strict=True):
            if stream is not None:
                copy = stream.detach()
                os.dup2(copy, number)
                os.close(copy)
        if tracker is not None:
            resource_tracker._resource_tracker._fd = tracker.detach()  # type: ignore[attr-defined]
        process.current_process()._inheriting = True  # type: ignore[attr-defined]
        try:
            spawn.prepare(preparation)
        finally:
            del process.current_process()._inheriting  # type: ignore[attr-defined]
        self._object, self._parent = process_object, parent
        self._now = os.eventfd(1)
        self.context.watch(self._now, self._run)

    def _interrupted_early(self, _number: int, _frame: FrameType | None) -> None:
        self._was_interrupted = True

    def _run(self) -> None:
        # What follows is the program's, as if it were the main thread's only work.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN if self._ignores_interrupts else signal.default_int_handler)
        try:
            parent = os.pidfd_open(self._parent)
        except OSError:
            os._exit(1)  # it is gone, and we are about to be
        code: Any = 1
        try:
            if self._was_interrupted and not self._ignores_interrupts:
                raise KeyboardInterrupt
            code = self._object._bootstrap(parent_sentinel=parent)  # type: ignore[attr-defined]
        finally:
            with contextlib.suppress(Exception):
                util._flush_std_streams()  # type: ignore[attr-defined]
            os._exit(code if isinstance(code, int) else 1)


class Popen:
    """A started process, as `multiprocessing.process.BaseProcess` wants it."""

    method = "framewire"

    def __init__(self, process_object: process.BaseProcess, method: str) -> None:
        util._flush_std_streams()  # type: ignore[attr-defined]
        self.returncode: int | None = None
        self._pid: int | None = None
        self._was_signalled = False
        preparation = spawn.get_preparation_data(process_object._name)  # type: ignore[attr-defined]
        preparation = {key: value for key, value in preparation.items() if key not in _NOT_NEEDED}
        config = (
            process_object,
            preparation,
            os.getpid(),
            (_copy(1), _copy(2)),
            _tracker(),
            chosen.choice,
            interrupts.group(),
            interrupts.are_ignored(),
        )
        options = {"preload": chosen.modules(method), "ready_within": READY_WITHIN}
        with pickling.counting() as count:
            starting = default_system()._begin(Runner, config, {}, _name(process_object), options)
            is_heavy = (count.shared or 0) >= _MANY
        self.handle: Handle[Any] = starting.handle
        if is_heavy:
            _wait(starting)
        self.sentinel = self.handle.fileno()
        interrupts.listen(self)
        _ = self.pid  # it is known from now on, however soon it ends

    @property
    def pid(self) -> int | None:
        """Its number, for as long as it lives; afterwards the last one."""
        while self._pid is None and self.returncode is None and self.handle.exit is None:
            self._pid = self.handle.pid
            if self._pid is None:
                time.sleep(0.0005)  # sleep: it is being started, which takes no longer
        return self._pid

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Look whether it has ended; gives its exit code, or the negative number of a signal."""
        return self.wait(0 if flag == os.WNOHANG else None)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end, `timeout` seconds at most."""
        if self.returncode is None:
            interrupts.listen(self)
            exit = self.handle.join(None if timeout is None else max(timeout, 0.0))
            if exit is None:
                return None
            if exit.kind in _NEVER_BEGAN and not self._was_signalled:
                print(f"could not start {self.handle.name}: {exit}", file=sys.stderr)
            self.returncode = exit.code if exit.code is not None else 1
            interrupts.is_over(self)
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM to it and what it has started."""
        self._was_signalled = True
        self.handle.terminate()

    def kill(self) -> None:
        """Send SIGKILL to it and what it has started."""
        self._was_signalled = True
        self.handle.kill()

    def interrupt(self) -> None:
        """Send SIGINT to it."""
        self._was_signalled = True
        self.handle.interrupt()

    def close(self) -> None:
        """Let go of it."""
        if self.returncode is None:
            self.handle.stop(GRACE)


def _wait(starting: Starting[Any]) -> None:
    """Wait until the child has what it is given, which is more than fits, perhaps."""
    try:
        starting.wait()
    except StartError as error:
        error.add_note("A queue has 5 descriptors, and a lock, an event and the like 1 at most: give it fewer of them.")
        raise


def _name(process_object: process.BaseProcess) -> str:
    # Names are unique in a system; those of the standard library needn't be.
    return f"{process_object.name}.{next(_numbers)}"


def _tracker() -> _core.Descriptor | None:
    """The line to the process that keeps count of shared memory with names, if there is one.

    One of the child's own would take what the child attaches for the child's, and remove it at its end.
    """
    line = resource_tracker._resource_tracker._fd  # type: ignore[attr-defined]
    return None if line is None else _core.Descriptor(line)


def _copy(number: int) -> _core.Descriptor | None:
    """What the child shall write to: where this process does."""
    try:
        return _core.Descriptor(number)
    except OSError:
        return None  # it is closed here too
