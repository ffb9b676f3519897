"""Processes for the tests. A module of its own: children import it by its name."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from typing import Any

import framewire

LIMIT = 60.0  # seconds: generous, the machine may be busy


def wait_until(condition, what: str, limit: float = LIMIT) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {limit} s"
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Unpicklable(Exception):
    """Can be pickled and not be unpickled."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


class RefusesToLoad:
    def __reduce__(self):
        return (_refuse, ())


def _refuse():
    raise LookupError("not in this process")


class Subject(framewire.Process):
    """Does what tests want."""

    concurrent_calls = 3

    def start(self, base: int = 0, *, fail: str | None = None, log: str | None = None) -> None:
        if fail is not None:
            raise ValueError(fail)
        self.base = base
        self.log = log
        self.running = self.most = 0
        self.order: list[Any] = []
        self.child: framewire.Handle | None = None

    def stop(self) -> None:
        if self.log is not None:
            with open(self.log, "a") as log:
                log.write("stopped\n")

    @framewire.command
    def add(self, one: int, other: int = 1) -> int:
        """Adds."""
        return self.base + one + other

    @framewire.command
    def echo(self, thing: Any) -> Any:
        return thing

    @framewire.command
    def where(self) -> int:
        return os.getpid()

    @framewire.command
    def surroundings(self) -> dict[str, Any]:
        return {
            "argv": sys.argv,
            "path": sys.path,
            "cwd": os.getcwd(),
            "nice": os.nice(0),
            "cpus": os.sched_getaffinity(0),
            "env": dict(os.environ),
            "name": self.context.name,
        }

    @framewire.command
    def fail(self, error: BaseException) -> None:
        raise error

    @framewire.command
    def fail_unpicklably(self) -> None:
        raise Unpicklable(1, 2)

    @framewire.command
    def unpicklable_answer(self) -> Any:
        return lambda: None

    @framewire.command
    def leave(self, code: int) -> None:
        sys.exit(code)

    @framewire.command
    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @framewire.command
    def sleep(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    @framewire.command
    def say(self, *things: Any) -> None:
        for thing in things:
            self.emit(thing)

    @framewire.command
    def write(self, out: str, err: str) -> None:
        print(out)
        print(err, file=sys.stderr)

    @framewire.command
    def wait_for_cancel(self) -> None:
        end = time.monotonic() + LIMIT
        while not self.context.is_cancelled() and time.monotonic() < end:
            time.sleep(0.005)
        self.order.append("cancelled" if self.context.is_cancelled() else "not cancelled")

    @framewire.command
    async def nap(self, seconds: float) -> float:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.order.append("cancelled")
            raise
        finally:
            self.running -= 1
        return seconds

    @framewire.command
    async def fail_later(self, error: BaseException) -> None:
        await asyncio.sleep(0)
        raise error

    @framewire.command
    async def spin(self, seconds: float) -> int:
        end, turns = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            turns += 1
            await asyncio.sleep(0)
        return turns

    @framewire.command
    def seen(self) -> tuple[int, list[Any]]:
        return self.most, self.order

    @framewire.command
    def watch_a_socket(self) -> int:
        self.ours, theirs = socket.socketpair()
        self.theirs = theirs

        def readable() -> None:
            self.emit(self.ours.recv(100))
            self.context.unwatch(watch)

        watch = self.context.watch(self.ours.fileno(), readable)
        return watch

    @framewire.command
    def write_to_the_socket(self, data: bytes) -> None:
        self.theirs.send(data)

    @framewire.command
    def watch_a_number(self, fileno: int) -> None:
        self.context.watch(fileno, lambda: None)

    @framewire.command
    def spawn_a_child(self) -> int:
        self.child = Subject.spawn(base=self.base + 1)
        assert self.child.pid is not None
        return self.child.pid

    @framewire.command
    def ask_the_child(self, number: int) -> int:
        assert self.child is not None
        return self.child.add(number).wait(LIMIT)

    @framewire.command
    def take_memory(self, count: int) -> None:
        hoard = []
        for _ in range(count):
            hoard.append(bytearray(b"x" * (1 << 20)))
            time.sleep(0.005)  # slowly: it is looked at a few times a second

    @framewire.command
    def multiply(self, size: int) -> float:
        import numpy as np

        one = np.ones((size, size))
        return float((one @ one)[0, 0])

    @framewire.command
    def hold_the_lock(self) -> None:
        """Computes for ever in one C call that never lets the interpreter go."""
        with contextlib.suppress(OverflowError):
            sum(range(1 << 60))


class NeverReady(framewire.Process):
    def start(self) -> None:
        time.sleep(1000)  # it is killed before


class Leaves(framewire.Process):
    """Leaves things behind, in a folder, that are written only at its end."""

    def start(self, folder: str) -> None:
        self.folder = folder
        self.me = self  # only a collection finds it
        self.file = open(f"{folder}/file", "w")  # noqa: SIM115 - that it isn't closed is the point
        self.temporary = tempfile.TemporaryDirectory(dir=folder)
        atexit.register(self._say, folder, "atexit")

    @staticmethod
    def _say(folder: str, what: str) -> None:
        with open(f"{folder}/said", "a") as said:
            said.write(f"{what}\n")

    def __del__(self) -> None:
        self._say(self.folder, "del")

    @framewire.command
    def write(self, text: str = "") -> None:
        self.file.write(text)

    @framewire.command
    def leave(self) -> None:
        self.file.write("left")
        sys.exit(3)

    @framewire.command
    async def leave_later(self) -> None:
        await asyncio.sleep(0)
        self.leave()
