"""CPython's own processes, for `framewire-bench-process`.

Each line of standard input is a turn, `{"count": 500, "writer": 0, "reader": 1}`; each gets one line of answer,
`{"samples": [...], "cpu_ns": 1, "operations": 500}`.
"""

import ctypes
import json
import multiprocessing as mp
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
WORKERS = 2
ALL_CORES = os.sched_getaffinity(0)

now_ns = time.monotonic_ns


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pin(core, pid=0):
    os.sched_setaffinity(pid, ALL_CORES if core is None else {core})


def echo(line):
    die_with_parent()
    while True:
        line.send(line.recv())


def pipe():
    ours, theirs = mp.get_context("fork").Pipe()
    process = mp.get_context("fork").Process(target=echo, args=(theirs,), daemon=True)
    process.start()

    def turn(order):
        pin(order["writer"])
        pin(order["reader"], process.pid)
        samples, before = [], time.process_time_ns()
        for number in range(order["count"]):
            start = now_ns()
            ours.send(number)
            answer = ours.recv()
            samples.append(now_ns() - start)
            assert answer == number
        return samples, time.process_time_ns() - before, order["count"]

    return turn


def square(number):
    return number * number


def pool():
    workers = mp.get_context("fork").Pool(WORKERS, initializer=die_with_parent)
    workers.map(square, range(1000), chunksize=1)

    def turn(order):
        count = order["count"]
        start = now_ns()
        results = workers.map(square, range(count), chunksize=1)
        took = now_ns() - start
        assert results[-1] == (count - 1) ** 2
        return [count / took * 1e9], 0, count

    return turn


def say_ready(line):
    die_with_parent()
    line.send_bytes(b"!")
    signal.pause()


def spawn(method):
    context = mp.get_context(method)

    def turn(order):
        count, processes, lines = order["count"], [], []
        start = now_ns()
        for _ in range(count):
            ours, theirs = context.Pipe()
            # "spawn" finds no function of a script that has no file; and what it starts ends by itself then.
            target, arguments = (say_ready, (theirs,)) if method == "fork" else (theirs.send_bytes, (b"!",))
            process = context.Process(target=target, args=arguments, daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            lines.append(ours)
        for line in lines:
            assert line.recv_bytes() == b"!"
        took = now_ns() - start
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        return [took / 1e6 / count * 1000], 0, count

    return turn


def memory():
    ours, theirs = mp.get_context("fork").Pipe()
    process = mp.get_context("fork").Process(target=say_ready, args=(theirs,), daemon=True)
    process.start()
    ours.recv_bytes()

    def turn(_order):
        with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as rollup:
            private = [int(line.split()[1]) for line in rollup if line.startswith("Private_")]
        return [sum(private)], 0, 1

    return turn


PARTS = {
    "pipe": pipe,
    "pool": pool,
    "fork": lambda: spawn("fork"),
    "spawn": lambda: spawn("spawn"),
    "memory": memory,
}


def main():
    die_with_parent()
    turn = PARTS[sys.argv[1]]()
    for line in sys.stdin:
        samples, cpu_ns, operations = turn(json.loads(line))
        print(json.dumps({"samples": samples, "cpu_ns": cpu_ns, "operations": operations}), flush=True)


if __name__ == "__main__":
    main()
