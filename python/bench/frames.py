"""Measures frames and queues to another process, beside CPython's own: `python bench/frames.py [seconds]`.

Each pair has the same two processes; latencies are medians. The reader sleeps when something comes.
"""

import multiprocessing
import os
import statistics
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
    small, latency = ring_latency((8,)), ring_latency(SHAPE)
    print(f"ring, wake-up, 8 bytes                      {small:10.1f} us")
    print(f"ring, wake-up, 1080p rgb24                  {latency:10.1f} us")
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


def read_latencies(reader: framewire.Reader) -> list[float]:
    """In the other process: from the publication's begin to the frame in hand, in microseconds."""
    say(reader.next(0.01) is None)
    took = []
    for frame in reader:
        with frame:
            took.append((time.monotonic_ns() - frame.captured_ns) / 1000)
    return took


def ring_latency(shape: tuple[int, ...]) -> float:
    """Frames every 10 ms to a sleeping reader."""
    writer = framewire.Writer(4, int(np.prod(shape)))
    with Peer(read_latencies, writer.reader("drop-oldest")) as peer:
        peer.says()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.01)
            # Its time of capture is taken after the fill.
            with writer.reserve(shape) as array:
                array.flat[0] = 1
        writer.close()
        return statistics.median(peer.result())


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
