"""CPython's own means of talking to another process, for `framewire-bench-shm`.

Each line of standard input is a turn, `{"count": 500, "writer": 0, "reader": 1}`; each gets one line of answer,
`{"samples": [...], "cpu_ns": 1, "operations": 500}`. The other process is a fork of this one.
"""

import ctypes
import json
import multiprocessing as mp
import os
import signal
import sys
import time
import zlib
from multiprocessing.shared_memory import SharedMemory

PR_SET_PDEATHSIG = 1
FRAME_BYTES = 1920 * 1080 * 3
READERS = 8
WARM_UP = 3
ALL_CORES = os.sched_getaffinity(0)

now_ns = time.monotonic_ns
fork = mp.get_context("fork")


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pin(core):
    os.sched_setaffinity(0, ALL_CORES if core is None else {core})


class Peer:
    """The other process: it runs `side(control, count)` for each turn."""

    def __init__(self, side, *arguments):
        self.control, theirs = fork.Pipe()

        def serve():
            die_with_parent()
            while True:
                core, count = theirs.recv()
                pin(core)
                before = time.process_time_ns()
                side(theirs, count, *arguments)
                theirs.send(("end", time.process_time_ns() - before))

        self.process = fork.Process(target=serve, daemon=True)
        self.process.start()

    def begin(self, order, count):
        self.control.send((order["reader"], count))

    def end(self):
        return self.control.recv()[1]

    def is_asleep(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(") ")[2][0] == "S"


def pipe():
    ours, theirs = fork.Pipe()
    payload = bytes(range(64))

    def echo(_control, count):
        for _ in range(count):
            message = theirs.recv_bytes()
            assert message == payload
            theirs.send_bytes(message)

    peer = Peer(echo)

    def turn(order):
        pin(order["writer"])
        count, samples = order["count"], []
        peer.begin(order, count)
        before = time.process_time_ns()
        for _ in range(count):
            start = now_ns()
            ours.send_bytes(payload)
            message = ours.recv_bytes()
            samples.append(now_ns() - start)
            assert message == payload
        return samples, time.process_time_ns() - before + peer.end(), count

    return turn


class Frames:
    """Two pictures, two shared buffers, and the copy into them."""

    def __init__(self):
        self.pictures = [os.urandom(FRAME_BYTES) for _ in range(2)]
        self.sums = [zlib.adler32(picture) for picture in self.pictures]
        self.memory = [SharedMemory(create=True, size=FRAME_BYTES) for _ in range(2)]
        for memory in self.memory:
            memory.unlink()  # Mapped all the same, and nothing stays behind when we are killed.

    def write(self, index):
        self.memory[index].buf[:FRAME_BYTES] = self.pictures[index]

    def scan(self, index):
        return zlib.adler32(self.memory[index].buf[:FRAME_BYTES])


def frame():
    frames = Frames()
    ours, theirs = fork.Pipe()

    def read(_control, count):
        for _ in range(count):
            index = theirs.recv_bytes()[0]
            scanned = frames.scan(index)
            theirs.send((now_ns(), scanned))

    peer = Peer(read)

    def turn(order):
        pin(order["writer"])
        count, samples = order["count"] + WARM_UP, []
        peer.begin(order, count)
        before = time.process_time_ns()
        for index in range(count):
            start = now_ns()
            frames.write(index % 2)
            ours.send_bytes(bytes([index % 2]))
            end, scanned = ours.recv()
            assert scanned == frames.sums[index % 2]
            samples.append(end - start)
        return samples[WARM_UP:], time.process_time_ns() - before + peer.end(), count

    return turn


def fan_out():
    frames = Frames()
    pipes = [fork.Pipe() for _ in range(READERS)]

    def read(control, count, theirs):
        for _ in range(count):
            control.send(frames.scan(theirs.recv_bytes()[0]))

    peers = [Peer(read, theirs) for _, theirs in pipes]

    def turn(order):
        pin(order["writer"])
        count, samples = order["count"] + WARM_UP, []
        for peer in peers:
            peer.begin(order, count)
        worked = 0
        for index in range(count):
            while not all(peer.is_asleep() for peer in peers):
                os.sched_yield()
            before, start = time.process_time_ns(), now_ns()
            frames.write(index % 2)
            for ours, _ in pipes:
                ours.send_bytes(bytes([index % 2]))
            samples.append(now_ns() - start)
            worked += time.process_time_ns() - before
            assert all(peer.control.recv() == frames.sums[index % 2] for peer in peers)
        for peer in peers:
            peer.end()
        return samples[WARM_UP:], worked, count

    return turn


def through(items):
    def take(control, count):
        control.send("begins")
        for expected in range(count):
            assert items.get() == expected
        control.send(now_ns())

    peer = Peer(take)

    def turn(order):
        pin(order["writer"])
        count = order["count"]
        peer.begin(order, count)
        peer.control.recv()
        before, start = time.process_time_ns(), now_ns()
        for item in range(count):
            items.put(item)
        end = peer.control.recv()
        worked = time.process_time_ns() - before + peer.end()
        return [count * 1e9 / (end - start)], worked, count

    return turn


def lock():
    held, in_a_row = fork.Lock(), 1000

    def turn(order):
        pin(order["writer"])
        samples = []
        for _ in range(order["count"]):
            start = now_ns()
            for _ in range(in_a_row):
                held.acquire()
                held.release()
            samples.append((now_ns() - start) / in_a_row)
        return samples, 0, order["count"]

    return turn


PARTS = {
    "pipe": pipe,
    "frame": frame,
    "fan-out": fan_out,
    "queue": lambda: through(fork.Queue()),
    "simple-queue": lambda: through(fork.SimpleQueue()),
    "lock": lock,
}


def main():
    die_with_parent()
    turn = PARTS[sys.argv[1]]()
    for line in sys.stdin:
        samples, cpu_ns, operations = turn(json.loads(line))
        print(json.dumps({"samples": samples, "cpu_ns": cpu_ns, "operations": operations}), flush=True)


main()
