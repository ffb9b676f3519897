"""What the processes of test_multiprocessing and test_valkka do: importable by a child."""

import asyncio
import os
import signal
import sys
import time

from framewire import valkka
from framewire.multiprocessing import managers


def tell(queue, event, value):
    queue.put((os.getpid(), value))
    event.set()


def double(connection):
    connection.send(connection.recv() * 2)


def leave(code):
    sys.exit(code)


def hold_and_wait(lock, held):
    lock.acquire()
    held.set()
    time.sleep(1000)


def hold_in_block(semaphore, held):
    with semaphore:
        held.set()
        time.sleep(1000)


def produce(empty, full):
    for _ in range(5):
        empty.acquire()
        full.release()


def consume(empty, full):
    for _ in range(5):
        full.acquire()
        empty.release()


def take(semaphore):
    semaphore.acquire()


def get_and_wait(queue, got):
    queue.get()
    got.set()
    time.sleep(1000)


def nest(queue):
    from framewire import multiprocessing as mp

    child = mp.Process(target=tell, args=(queue, mp.Event(), "inner"))
    child.start()
    child.join()
    queue.put(child.exitcode)


def set_values(raw, numbers, value, queue):
    raw.value, numbers[1], value.value = 7, 8, 9
    queue.put("set")


def attach(name, queue):
    from multiprocessing import resource_tracker

    from framewire.multiprocessing import shared_memory

    block = shared_memory.SharedMemory(name=name)
    block.buf[0] = 7
    block.close()
    queue.put(resource_tracker._resource_tracker._pid)


def sum_up(tasks, results):
    results.put(list(iter(tasks.get, None)))


def put_many(queue, count, forsakes=False):
    for number in range(count):
        queue.put(number)
    if forsakes:
        queue.cancel_join_thread()


def put_and_close(queue):
    queue.put(0)
    queue.close()
    queue.join_thread()


def tell_class(given, results):
    results.put(f"{type(given).__module__}.{type(given).__qualname__}")


def get_and_fail(queue):
    queue.get()
    sys.stderr.close()  # its traceback is of no interest
    raise LookupError


def put_in_each(queues):
    for number, queue in enumerate(queues):
        queue.put(number)


def square_and_pid(number):
    return number * number, os.getpid()


def invert(number):
    return 1 / number


def keep(queue):
    global kept
    kept = queue


def put_kept(item):
    kept.put(item)


def put_many_kept(count):
    put_many(kept, count)


def die_at(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def wait_for_interrupt(ready):
    try:
        ready.set()
        time.sleep(1000)
    except KeyboardInterrupt:
        sys.exit(42)


class Counter:
    def __init__(self, first):
        self._total = first

    def add(self, more):
        self._total += more

    def total(self):
        return self._total


class OwnManager(managers.BaseManager):
    pass


OwnManager.register("Counter", Counter)


class Worker(valkka.MessageProcess):
    def __init__(self, group):
        super().__init__(name="worker")
        self.group = group

    def preRun__(self):
        self.count = 0

    def c__work(self, sync, seconds=0.0):
        time.sleep(seconds)
        self.count += 1
        self.group.set(sync)

    def c__count(self):
        self.return_out__(self.count)

    def c__fail(self, sync=None):
        raise LookupError("there is no such thing")

    def c__die(self, sync=None):
        os.kill(os.getpid(), signal.SIGKILL)

    def work(self, **kwargs):
        with valkka.SyncIndex(self.group) as i:
            self.sendMessageToBack(valkka.MessageObject("work", sync=i, **kwargs))

    def ask(self, command):
        with valkka.SyncIndex(self.group) as i:
            self.sendMessageToBack(valkka.MessageObject(command, sync=i))

    def counted(self):
        self.sendMessageToBack(valkka.MessageObject("count"))
        return self.returnFromBack(timeout=30)


class Echoes(valkka.MessageProcess):
    def c__echo(self, number, after=0.0):
        time.sleep(after)
        self.return_out__(number)


class AsyncEchoes(valkka.AsyncBackMessageProcess):
    async def c__echo(self, number, after=0.0):
        await asyncio.sleep(after)
        await self.return_out__(number)


class AsyncWorker(valkka.AsyncBackMessageProcess):
    async def asyncPre__(self):
        await self.send_out__(valkka.MessageObject("ready"))

    async def c__large(self, size):
        await self.send_out__(valkka.MessageObject("large", data=b"x" * size))


def describe(queue):
    """Whether this process is a copy, and how it would start others."""
    from framewire import multiprocessing as mp

    with open("/proc/self/cmdline") as line:
        told = line.read().startswith("framewire\0__process"), mp.get_start_method()
    if queue is not None:
        queue.put(told)
    return told
