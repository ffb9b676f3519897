"""Measures frames and queues to another process, beside CPython's own: `python bench/frames.py [seconds]`.

Each pair has the same two processes. The reader sleeps when something comes. Latencies are from the writer's call that
publishes to the reader having the array; they come in rounds, a reader in Python and one in Rust of the same ring by
turns, since a machine that others use is another one each second. For that one, build it first: `cargo build --release
-p framewire-python --example follow`; it is looked for in `$CARGO_TARGET_DIR`, or where `$FRAMEWIRE_FOLLOW` says.
"""

import itertools
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import framewire

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peer import Peer, say

SHAPE = (1080, 1920, 3)
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 2.0


def main() -> None:
    """Prints a table."""
    for shape, every in (((8,), 0.01), (SHAPE, 0.01), (SHAPE, 0.001)):
        what = f"{'1080p' if shape == SHAPE else '8 bytes'} every {every * 1000:.0f} ms"
        ours, theirs = latencies(shape, every)
        print_latency(f"ring, {what}, Python", ours)
        if theirs:
            print_latency(f"ring, {what}, Rust", theirs)
            print(f"  1.3 of it and 20 us                       {1.3 * statistics.median(theirs) + 20:10.1f} us")
    print(f"memcpy of a 1080p frame, nothing else       {memcpy_rate():10.0f} frames/s")
    ring, ring_copied = ring_rate(copied=False), ring_rate(copied=True)
    print(f"ring, 1080p, filled in place and read       {ring:10.0f} frames/s")
    print(f"ring, 1080p, writer.write (a copy) and read {ring_copied:10.0f} frames/s")
    ours, theirs = (
        queue_rate(framewire.Queue(8), SHAPE),
        queue_rate(multiprocessing.get_context("spawn").Queue(8), SHAPE),
    )
    print(f"framewire.Queue, 1080p                      {ours:10.0f} frames/s")
    print(f"multiprocessing.Queue, 1080p                {theirs:10.0f} frames/s")
    print(f"ring in place / multiprocessing.Queue       {ring / theirs:10.1f}")
    print(f"ring with a copy / multiprocessing.Queue    {ring_copied / theirs:10.1f}")
    ours, theirs = (
        queue_rate(framewire.Queue(1000), None),
        queue_rate(multiprocessing.get_context("spawn").Queue(1000), None),
    )
    print(f"framewire.Queue, small items                {ours:10.0f} items/s")
    print(f"multiprocessing.Queue, small items          {theirs:10.0f} items/s")


def print_latency(what: str, late: list[float]) -> None:
    """Print median and tail."""
    ordered = sorted(late)
    tail = ordered[len(ordered) * 99 // 100]
    print(f"{what:40}    {statistics.median(ordered):10.1f} us (99 %: {tail:.1f}, least: {ordered[0]:.1f})")


ROUNDS = 4


def latencies(shape: tuple[int, ...], every: float) -> tuple[list[float], list[float]]:
    """Of a reader in Python and of one in Rust, in microseconds."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours += latency_in_python(shape, every)
        theirs += latency_in_rust(shape, every)
    return ours, theirs


def read_latencies(reader: framewire.Reader) -> list[float]:
    """In the other process: until the array is there."""
    say(reader.next(0.01) is None)
    took, now = [], time.monotonic_ns
    for frame in reader:
        array = np.asarray(frame)
        arrived = now()
        took.append((arrived - frame.captured_ns) / 1000)
        del array, frame
    return took


def latency_in_python(shape: tuple[int, ...], every: float) -> list[float]:
    """Frames to a sleeping reader."""
    writer = framewire.Writer(4, int(np.prod(shape)))
    with Peer(read_latencies, writer.reader("drop-oldest")) as peer:
        peer.says()
        publish(writer, shape, every)
        return peer.result()


def latency_in_rust(shape: tuple[int, ...], every: float) -> list[float]:
    """The same writer, and another reader; nothing if that isn't built."""
    folder = os.environ.get("CARGO_TARGET_DIR", str(Path(__file__).parents[2] / "target"))
    program = os.environ.get("FRAMEWIRE_FOLLOW", f"{folder}/release/examples/follow")
    if not os.path.exists(program):
        return []
    writer, address = framewire.Writer(4, int(np.prod(shape))), f"@framewire-bench-{os.getpid()}-{next(_numbers)}"
    writer.serve(address)
    with subprocess.Popen([program, address], stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "joined\n"
        publish(writer, shape, every)
        return [float(line) for line in follower.stdout]


_numbers = itertools.count()


def publish(writer: framewire.Writer, shape: tuple[int, ...], every: float) -> None:
    """Frames for a round, and the end. The longer the pause, the less of the reader's code is still in the caches."""
    end = time.monotonic() + SECONDS / ROUNDS
    while time.monotonic() < end:
        time.sleep(every)
        # Its time of capture is taken after the fill.
        with writer.reserve(shape) as array:
            array.flat[0] = 1
    writer.close()


def memcpy_rate() -> float:
    """What this machine can copy at most, from and to memory that is there already."""
    source, target = np.ones(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)
    began, count = time.monotonic(), 0
    while time.monotonic() < began + SECONDS / 2:
        np.copyto(target, source)
        count += 1
    return count / (time.monotonic() - began)


def read_all(reader: framewire.Reader) -> int:
    """In the other process: touches each frame."""
    say(reader.next(0.01) is None)
    total = 0
    for frame in reader:
        with frame:
            total += int(np.asarray(frame)[0, 0, 0])
    return total


def ring_rate(*, copied: bool) -> float:
    """As many frames a second as both can, none lost."""
    writer, picture = framewire.Writer(4, int(np.prod(SHAPE))), np.ones(SHAPE, np.uint8)
    with Peer(read_all, writer.reader("block", block_timeout=10)) as peer:
        peer.says()
        began, count = time.monotonic(), 0
        while time.monotonic() < began + SECONDS:
            if copied:
                writer.write(picture)
            else:
                with writer.reserve(SHAPE) as array:
                    array[0, 0] = 1
            count += 1
        took = time.monotonic() - began
        writer.close()
        assert peer.result() == count
        return count / took


def consume(queue: Any, connected: Any) -> None:
    """In the other process: takes until None."""
    connected.set()
    while (item := queue.get()) is not None:
        if not isinstance(item, int):
            item[0, 0, 0]


def queue_rate(queue: Any, shape: tuple[int, ...] | None) -> float:
    """As many items a second as both can."""
    item = 7 if shape is None else np.ones(shape, np.uint8)
    if isinstance(queue, framewire.Queue):
        started = framewire.Event()
        peer: Any = Peer(consume, queue, started)
    else:
        context = multiprocessing.get_context("spawn")
        started = context.Event()
        peer = context.Process(target=consume, args=(queue, started), daemon=True)
        peer.start()
    started.wait()
    began, count = time.monotonic(), 0
    while time.monotonic() < began + SECONDS:
        for _ in range(100 if shape is None else 1):
            queue.put(item)
            count += 1
    queue.put(None)
    peer.result() if isinstance(peer, Peer) else peer.join()
    return count / (time.monotonic() - began)


if __name__ == "__main__":
    sys.modules["frames"] = sys.modules["__main__"]
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    for function in (read_latencies, read_all, consume):
        function.__module__ = "frames"
    main()
