"""Calls, pools and starts, beside CPython's own, in one run: `python bench/calls.py [--json]`.

Each figure is the median of the better half of several rounds, which alternate: a busy machine disturbs both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import multiprocessing.synchronize
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable

import framewire

_ROUNDS = 5
_CALLS = 2000
_TASKS = 20_000
_PROCESSES = 200


class Echo(framewire.Process):
    """Answers."""

    @framewire.command
    def echo(self, number: int) -> int:
        """Give it back."""
        return number

    @framewire.command
    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


def increment(number: int) -> int:
    """Do next to nothing."""
    return number + 1


def _answer(pipe: multiprocessing.connection.Connection) -> None:
    while (number := pipe.recv()) is not None:
        pipe.send(number)


def _timed(what: Callable[[], object]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def _beside(ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float]:
    rounds = [(ours(), theirs()) for _ in range(_ROUNDS)]
    best = (
        sorted(one for one, _ in rounds)[: _ROUNDS // 2 + 1],
        sorted(other for _, other in rounds)[: _ROUNDS // 2 + 1],
    )
    return statistics.median(best[0]), statistics.median(best[1])


def round_trip() -> tuple[float, float]:
    """Measure a call's round trip beside `Pipe`, in microseconds."""
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=_answer, args=(theirs,), daemon=True)
    other.start()

    def ask() -> None:
        for number in range(_CALLS):
            handle.echo(number).wait()

    def send() -> None:
        for number in range(_CALLS):
            ours.send(number)
            ours.recv()

    with Echo.spawn() as handle:
        ask()
        send()
        figures = _beside(lambda: _timed(ask), lambda: _timed(send))
    ours.send(None)
    other.join()
    return figures[0] / _CALLS * 1e6, figures[1] / _CALLS * 1e6


def small_tasks() -> tuple[float, float]:
    """Measure `Pool.map` of small tasks on two workers beside `mp.Pool` unchunked, in tasks a second."""
    with framewire.Pool(2) as ours, multiprocessing.get_context("spawn").Pool(2) as theirs:
        ours.map(increment, range(1000))
        theirs.map(increment, range(1000))
        figures = _beside(
            lambda: _timed(lambda: ours.map(increment, range(_TASKS))),
            lambda: _timed(lambda: theirs.map(increment, range(_TASKS), chunksize=1)),
        )
    return _TASKS / figures[0], _TASKS / figures[1]


def starts() -> tuple[float, float]:
    """Measure until 200 processes are ready, all with the main module preloaded, beside forkserver, in seconds."""
    context = multiprocessing.get_context("forkserver")

    def ours() -> float:
        begun: list[framewire.Starting[Echo]] = []

        def start() -> None:
            begun.extend(Echo.begin(system=system) for _ in range(_PROCESSES))
            for process in begun:
                process.wait()

        took = _timed(start)
        for process in begun:
            process.handle.kill()
        for process in begun:
            process.handle.join()
        return took

    def theirs() -> float:
        event = context.Event()
        ready = context.Semaphore(0)
        processes = [context.Process(target=_ready, args=(ready, event)) for _ in range(_PROCESSES)]

        def start() -> None:
            for process in processes:
                process.start()
            for _ in processes:
                ready.acquire()

        took = _timed(start)
        event.set()
        for process in processes:
            process.join()
        return took

    with framewire.System(preload=["__main__"]) as system:
        Echo.spawn(system=system)
        return _beside(ours, theirs)


def _ready(ready: multiprocessing.synchronize.Semaphore, event: multiprocessing.synchronize.Event) -> None:
    ready.release()
    event.wait()


def ctrl_c() -> float:
    """Measure from SIGINT to the exception in a waiting main thread, in milliseconds; the worst of ten."""
    late = []
    with Echo.spawn() as handle:
        for _ in range(10):
            sent: list[float] = []

            def interrupt(sent: list[float] = sent) -> None:
                sent.append(time.perf_counter())
                os.kill(os.getpid(), signal.SIGINT)

            timer = threading.Timer(0.07, interrupt)
            timer.start()
            try:
                handle.sleep(0.5).wait()
            except KeyboardInterrupt:
                late.append(time.perf_counter() - sent[0])
            timer.join()
    return max(late) * 1e3


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="as JSON")
    as_json = parser.parse_args().json
    call, pipe = round_trip()
    tasks, mp_tasks = small_tasks()
    start, mp_start = starts()
    figures = {
        "call-round-trip-us": (call, pipe, call / pipe),
        "pool-map-tasks-a-second": (tasks, mp_tasks, tasks / mp_tasks),
        "start-200-s": (start, mp_start, start / mp_start),
        "ctrl-c-ms": (ctrl_c(), None, None),
    }
    if as_json:
        print(json.dumps(figures))
        return
    print(f"{'':26}{'framewire':>12}{'CPython':>12}{'ratio':>8}")
    for name, (ours, theirs, ratio) in figures.items():
        print(f"{name:26}{ours:12.4g}" + (f"{theirs:12.4g}{ratio:8.2f}" if theirs is not None else ""))


if __name__ == "__main__":
    main()
