"""How a process of the standard library's kind comes to be, as a process of Framewire's."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
from multiprocessing import process, spawn, util
from multiprocessing.connection import wait
from typing import Any

import framewire
from framewire import _core
from framewire.process import GRACE, Handle, Process, default_system

__all__ = ["Popen"]

_numbers = itertools.count(1)

# What Framewire has prepared already, or has no use for.
_NOT_NEEDED = ("init_main_from_name", "init_main_from_path", "start_method", "sys_argv", "sys_path")


class Runner(Process):
    """Does what a process object says, and ends with its exit code."""

    def start(
        self,
        process_object: process.BaseProcess,
        preparation: dict[str, Any],
        parent: int,
        streams: tuple[_core.Descriptor | None, _core.Descriptor | None],
        sentinel: _core.Descriptor,
    ) -> None:
        """Take everything along; it begins as soon as the parent knows that it can."""
        for stream, number in zip(streams, (1, 2), strict=True):
            if stream is not None:
                copy = stream.detach()
                os.dup2(copy, number)
                os.close(copy)
        process.current_process()._inheriting = True  # type: ignore[attr-defined]
        try:
            spawn.prepare(preparation)
        finally:
            del process.current_process()._inheriting  # type: ignore[attr-defined]
        self._object, self._parent = process_object, parent
        # Open as long as this process lives, and nowhere else.
        self._sentinel = sentinel
        self._now = os.eventfd(1)
        self.context.watch(self._now, self._run)

    def _run(self) -> None:
        # What follows is the program's, as if it were the main thread's only work.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            parent = os.pidfd_open(self._parent)
        except OSError:
            os._exit(1)  # it is gone, and we are about to be
        code: Any = 1
        try:
            code = self._object._bootstrap(parent_sentinel=parent)  # type: ignore[attr-defined]
        finally:
            with contextlib.suppress(Exception):
                util._flush_std_streams()  # type: ignore[attr-defined]
            os._exit(code if isinstance(code, int) else 1)


class Popen:
    """A started process, as `multiprocessing.process.BaseProcess` wants it."""

    method = "framewire"

    def __init__(self, process_object: process.BaseProcess) -> None:
        util._flush_std_streams()  # type: ignore[attr-defined]
        self.returncode: int | None = None
        self._lock = threading.Lock()
        self._handle: Handle[Any] | None = None
        preparation = spawn.get_preparation_data(process_object._name)  # type: ignore[attr-defined]
        preparation = {key: value for key, value in preparation.items() if key not in _NOT_NEEDED}
        self.sentinel, child_end = os.pipe()
        try:
            streams = (_copy(1), _copy(2))
            config = (process_object, preparation, os.getpid(), streams, _core.Descriptor(child_end))
            self._starting = default_system()._start(Runner, config, {}, _name(process_object), {})
        except BaseException:
            os.close(self.sentinel)
            raise
        finally:
            os.close(child_end)
        self.finalizer = util.Finalize(self, os.close, (self.sentinel,))

    @property
    def handle(self) -> Handle[Any] | None:
        """The process, once it has come to be; None if it hasn't, which was told."""
        with self._lock:
            if self._handle is None and self.returncode is None:
                try:
                    self._handle = self._starting()
                except framewire.Error as error:
                    self.returncode = 1
                    print(error, file=sys.stderr)
            return self._handle

    @property
    def pid(self) -> int | None:
        """Its number, for as long as it lives; afterwards the last one."""
        handle = self.handle
        if handle is not None and handle.pid is not None:
            self._pid = handle.pid
        return getattr(self, "_pid", None)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Look whether it has ended; gives its exit code, or the negative number of a signal."""
        return self.wait(0 if flag == os.WNOHANG else None)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end, `timeout` seconds at most."""
        if self.returncode is None:
            # Its end of the pipe is the first to know; how it ended follows within a moment.
            if timeout is not None and not wait([self.sentinel], max(timeout, 0.0)):
                return None
            handle = self.handle
            if handle is None:
                return self.returncode
            exit = handle.join()
            self.returncode = exit.code if exit is not None and exit.code is not None else 255
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM to it and what it has started."""
        self._signal(Handle.terminate)

    def kill(self) -> None:
        """Send SIGKILL to it and what it has started."""
        self._signal(Handle.kill)

    def interrupt(self) -> None:
        """Send SIGINT to it."""
        self._signal(Handle.interrupt)

    def _signal(self, send: Any) -> None:
        if self.returncode is None and (handle := self.handle) is not None:
            send(handle)

    def close(self) -> None:
        """Let go of it."""
        self.finalizer()
        if self._handle is not None and self.returncode is None:
            self._handle.stop(GRACE)


def _name(process_object: process.BaseProcess) -> str:
    # Names are unique in a system; those of the standard library needn't be.
    return f"{process_object.name}.{next(_numbers)}"


def _copy(number: int) -> _core.Descriptor | None:
    """What the child shall write to: where this process does."""
    try:
        return _core.Descriptor(number)
    except OSError:
        return None  # it is closed here too
