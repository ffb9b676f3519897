"""What the pools of the tests do. A module of its own: workers import it by its name."""

from __future__ import annotations

import os
import signal
import time

PREPARED: list[object] = []


def prepare(*things: object) -> None:
    PREPARED.extend(things)


def prepared(_item: object) -> list[object]:
    return PREPARED


def fail_to_prepare() -> None:
    raise ValueError("no licence")


def square(number: int) -> int:
    return number * number


def add(one: int, other: int = 100) -> int:
    return one + other


def slow_square(number: int) -> int:
    time.sleep(0.02)
    return number * number


def where(_item: object) -> int:
    return os.getpid()


def fail_at(number: int) -> int:
    if number % 10 == 7:
        raise LookupError(number)
    return number


def die_at(number: int) -> int:
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(_item: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(path: str) -> str:
    if not os.path.exists(path):
        with open(path, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def touch(path: str) -> None:
    with open(path, "w"):
        pass


def wait_for(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.005)  # sleep: the test makes the file when it was told of the step before
    return path


def unpicklable(_item: object) -> object:
    return lambda: None


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def grow(_item: object) -> int:
    PREPARED.append(bytearray(64 << 20))
    return os.getpid()


def leave(code: int) -> None:
    raise SystemExit(code)
