"""Locks and their kin, between threads, processes, the living and the dead."""

import asyncio
import ctypes
import gc
import os
import pickle
import select
import signal
import threading
import time

import numpy as np
import pytest
from peer import Peer, say

import framewire

LIMIT = 30


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def test_a_lock_is_had_by_one_and_released_by_anybody():
    lock = framewire.Lock()
    assert lock.acquire()
    assert not lock.acquire(False)
    assert not lock.acquire(timeout=0.01)
    assert not lock.acquire(True, -1)
    assert lock.locked()
    in_thread(lock.release).join()
    assert not lock.locked()
    with pytest.raises(ValueError, match="nobody holds it"):
        lock.release()
    with lock as had:
        assert had
        assert "held here" in repr(lock)


def test_an_rlock_is_its_threads():
    lock = framewire.RLock()
    with lock, lock:
        refused = []
        in_thread(lambda: refused.append(lock.acquire(False))).join()
        assert refused == [False]
    with pytest.raises(AssertionError, match="isn't the one that holds it"):
        lock.release()


def test_objects_say_how_they_can_be_passed_on():
    things = [framewire.Lock(), framewire.RLock(), framewire.Condition(), framewire.Semaphore(), framewire.Event()]
    things += [
        framewire.Barrier(1),
        framewire.RWLock(),
        framewire.Queue(1),
        framewire.Value("i"),
        framewire.SharedMemory(1),
    ]
    for thing in things:
        with pytest.raises(framewire.PassingError, match=r"could not pickle a .* put it into a framewire queue"):
            pickle.dumps(thing)


def hold(lock):
    lock.acquire()
    say("held")
    time.sleep(LIMIT)


@pytest.mark.parametrize("kind", [framewire.Lock, framewire.RLock])
def test_the_lock_of_a_killed_owner_goes_to_the_next_one(kind):
    lock = kind()
    with Peer(hold, lock) as peer:
        assert peer.says() == "held"
        assert not lock.acquire(timeout=0.05)
        threading.Timer(0.05, peer.process.kill).start()
        assert lock.acquire(timeout=LIMIT)
    assert lock.recovered
    lock.release()
    with lock:
        assert lock.recovered, "nobody has put things in order"
        lock.mark_consistent()
        assert not lock.recovered
    with lock:
        assert not lock.recovered


def test_a_lock_can_raise_instead():
    lock = framewire.Lock(robust="raise")
    with Peer(hold, lock) as peer:
        assert peer.says() == "held"
    with pytest.raises(framewire.OwnerDiedError, match="mark_consistent"), lock:
        pytest.fail("it was entered")
    assert not lock.locked()
    with pytest.raises(framewire.OwnerDiedError):
        lock.acquire()
    assert lock.locked()
    lock.mark_consistent()
    lock.release()
    with lock:
        pass
    with pytest.raises(ValueError, match="recover"):
        framewire.Lock(robust="maybe")


def count(lock, value, times):
    for _ in range(times):
        with lock:
            value.get_obj().value += 1


def test_processes_count_under_one_lock():
    lock, value = framewire.Lock(), framewire.Value("l", 0)
    peers = [Peer(count, lock, value, 2000) for _ in range(2)]
    count(lock, value, 2000)
    for peer in peers:
        peer.result()
    assert value.value == 6000


@pytest.mark.parametrize("lock", [None, framewire.Lock, framewire.RLock])
def test_a_condition_between_threads(lock):
    condition = framewire.Condition(lock and lock())
    ready = []

    def waits():
        with condition:
            ready.append(condition.wait_for(lambda: ready, LIMIT))

    threads = [in_thread(waits) for _ in range(3)]
    with condition:
        ready.append("go")
        condition.notify_all()
    for thread in threads:
        thread.join(LIMIT)
    assert len(ready) == 4
    with condition:
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: 0, 0.05) == 0
    for use in (condition.wait, condition.notify):
        with pytest.raises(AssertionError, match="acquire"):
            use()


def notified(condition):
    with condition:
        say("waits")
        return condition.wait(LIMIT)


def test_a_condition_between_processes_also_with_a_dead_waiter():
    condition = framewire.Condition()
    with Peer(notified, condition) as dead, Peer(notified, condition) as alive:
        assert (dead.says(), alive.says()) == ("waits", "waits")
        with condition:
            pass  # each gave the lock up, so each waits
        dead.kill()
        with condition:
            condition.notify()
        assert alive.result() is True


def test_a_semaphore_gets_the_permits_of_the_dead_back():
    semaphore, counter = framewire.BoundedSemaphore(1), framewire.Semaphore(1, robust=False)
    for each, after in ((semaphore, 1), (counter, 0)):
        with Peer(hold, each) as peer:
            assert peer.says() == "held"
            assert not each.acquire(timeout=0.01)
        assert each.acquire(timeout=0.5) is bool(after)
    semaphore.release()
    with pytest.raises(ValueError, match="all 1 permits"):
        semaphore.release()
    with pytest.raises(ValueError, match="-1"):
        framewire.Semaphore(-1)


def test_an_event_wakes_threads_select_and_tasks():
    event = framewire.Event()
    assert event.wait(0.01) is False
    assert select.select([event], [], [], 0)[0] == []
    waited = []
    thread = in_thread(lambda: waited.append(event.wait(LIMIT)))
    event.set()
    thread.join(LIMIT)
    assert waited == [True]
    assert select.select([event], [], [], LIMIT)[0] == [event]
    event.clear()
    assert select.select([event], [], [], 0)[0] == []

    async def main():
        tasks = [asyncio.create_task(event.wait_async()) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        event.set()
        assert await asyncio.gather(*tasks[1:]) == [True] * 4
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_a_barrier():
    acted = []
    barrier = framewire.Barrier(3, lambda: acted.append(barrier.n_waiting))
    for _ in range(3):
        places = []
        threads = [in_thread(lambda places=places: places.append(barrier.wait(LIMIT))) for _ in range(3)]
        for thread in threads:
            thread.join(LIMIT)
        assert sorted(places) == [0, 1, 2]
    assert acted == [2, 2, 2]
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken
    barrier.reset()
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
    alone = framewire.Barrier(1, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        alone.wait()
    assert alone.broken


def meet(barrier):
    say("comes")
    barrier.wait(LIMIT)


def test_a_party_that_is_killed_breaks_the_barrier():
    barrier = framewire.Barrier(3)
    with Peer(meet, barrier) as peer:
        assert peer.says() == "comes"
        until = time.monotonic() + LIMIT
        while barrier.n_waiting == 0 and time.monotonic() < until:
            barrier.n_waiting  # noqa: B018
        broke = []

        def waits():
            try:
                barrier.wait(LIMIT)
            except threading.BrokenBarrierError:
                broke.append(True)

        thread = in_thread(waits)
        peer.kill()
        thread.join(LIMIT)
        assert broke == [True]


def write(lock):
    lock.acquire_write()
    say("held")
    time.sleep(LIMIT)


def test_a_rwlock():
    lock = framewire.RWLock()
    assert lock.acquire_read() == lock.acquire_read() == "clean"
    assert lock.acquire_write(False) is None
    lock.release_read()
    lock.release_read()
    with pytest.raises(ValueError, match="release"):
        lock.release_read()
    with Peer(write, lock) as peer:
        assert peer.says() == "held"
        assert lock.acquire_read(timeout=0.01) is None
    assert lock.acquire_read(timeout=LIMIT) == "recovered"
    lock.release_read()
    assert lock.acquire_write(timeout=LIMIT) == "recovered"
    lock.mark_consistent()
    lock.release_write()
    assert lock.acquire_write() == "clean"
    lock.release_write()


def test_value_and_array_are_ctypes_in_shared_memory():
    value = framewire.Value(ctypes.c_double, 1.5)
    with value:
        value.value += 1
    assert value.value == 2.5
    text = framewire.Array("c", 10)
    text.value = b"hello"
    assert (text.value, len(text), text.raw) == (b"hello", 10, b"hello\0\0\0\0\0")
    array = framewire.Array("i", [1, 2, 3])
    seen = np.frombuffer(array.get_obj(), np.int32)
    array[1] = 7
    assert list(seen) == array[:] == [1, 7, 3]
    assert framewire.Value("i", 3, lock=False).value == 3
    assert list(framewire.Array("d", 2, lock=False)) == [0, 0]
    with pytest.raises(TypeError, match="'x'"):
        framewire.Value("x")


def change(value, array, memory):
    value.value = 8
    array[:] = [1.5] * 4
    memory.buf[:3] = b"abc"


def test_what_one_process_writes_the_other_sees():
    value, array, memory = framewire.Value("i"), framewire.Array("d", 4), framewire.SharedMemory(1000)
    with Peer(change, value, array, memory) as peer:
        peer.result()
    assert (value.value, array[:], bytes(memory.buf[:4]), memory.size) == (8, [1.5] * 4, b"abc\0", 1000)


def waits_of_every_kind():
    def barrier():
        framewire.Barrier(2).wait()

    def condition():
        condition = framewire.Condition()
        with condition:
            condition.wait()

    def lock():
        lock = framewire.Lock()
        lock.acquire()
        lock.acquire()

    def rwlock():
        lock = framewire.RWLock()
        lock.acquire_read()
        lock.acquire_write()

    def full():
        queue = framewire.Queue(1)
        queue.put(1)
        queue.put(1)

    def join():
        queue = framewire.JoinableQueue()
        queue.put(1)
        queue.join()

    def blocked(write):
        writer = framewire.Writer(1, 10)
        reader = writer.reader("block", block_timeout=1000.0)
        assert reader.next(0.01) is None  # it has joined
        writer.write(b"x")
        write(writer)
        return reader

    def reserve(writer):
        with writer.reserve(10):
            pytest.fail("there is no room")

    writer = framewire.Writer(frame_bytes=10)
    return {
        "lock": lock,
        "rwlock": rwlock,
        "condition": condition,
        "barrier": barrier,
        "semaphore": lambda: framewire.Semaphore(0).acquire(),
        "event": lambda: framewire.Event().wait(),
        "get": lambda: framewire.Queue().get(),
        "lease": lambda: framewire.Queue().lease(),
        "put": full,
        "join": join,
        "ring": lambda: (writer, writer.reader().next()),
        "ring_write": lambda: blocked(lambda writer: writer.write(b"y")),
        "ring_reserve": lambda: blocked(reserve),
        "connect": lambda: framewire.Reader.connect(f"@nobody-{os.getpid()}", timeout=None),
    }


@pytest.mark.parametrize("kind", waits_of_every_kind())
def test_ctrl_c_is_heard_within_100_ms_and_others_run_meanwhile(kind):
    wait = waits_of_every_kind()[kind]
    took = []
    for _ in range(5):
        counted, sent = [0], []

        def interrupt(counted=counted, sent=sent):
            until = time.monotonic() + 0.06
            while time.monotonic() < until:
                counted[0] += 1
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        thread = in_thread(interrupt)
        with pytest.raises(KeyboardInterrupt):
            wait()
        took.append(time.monotonic() - sent[0])
        thread.join(LIMIT)
        assert counted[0] > 100, "the GIL wasn't released"
    assert sorted(took)[2] < 0.1


def uses(thing):
    return {
        framewire.Lock: lambda: thing.acquire(False),
        framewire.RLock: lambda: thing.acquire(False),
        framewire.Condition: lambda: thing.acquire(False),
        framewire.Semaphore: lambda: thing.acquire(False),
        framewire.Event: lambda: thing.set(),
        framewire.Barrier: lambda: thing.wait(0),
        framewire.RWLock: lambda: thing.acquire_read(False),
        framewire.Queue: lambda: thing.put(1),
        framewire.JoinableQueue: lambda: thing.qsize(),
        framewire.Writer: lambda: thing.write(b"x"),
        framewire.Reader: lambda: thing.try_next(),
        framewire.Frame: lambda: memoryview(thing),
    }[type(thing)]


def test_a_forked_child_is_told():
    writer = framewire.Writer(frame_bytes=10)
    reader = writer.reader(leases=4)
    assert reader.next(0.05) is None
    writer.write(b"x")
    frame = reader.next(LIMIT)
    things = [framewire.Lock(), framewire.RLock(), framewire.Condition(), framewire.Semaphore(), framewire.Event()]
    things += [
        framewire.Barrier(1),
        framewire.RWLock(),
        framewire.Queue(),
        framewire.JoinableQueue(),
        writer,
        reader,
        frame,
    ]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = b""
        try:
            for thing in things:
                try:
                    uses(thing)()
                    told += f"{type(thing)} did; ".encode()
                except framewire.ForkedError:
                    pass
                except BaseException as error:
                    told += f"{type(thing)} raised {error!r}; ".encode()
            framewire.Lock().acquire()  # what is made here works here
            told += b"end"
        finally:
            os.write(writing, told)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"end"
    os.waitpid(child, 0)
    for thing in things:
        uses(thing)()


def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def make_all():
    queue, event, writer = framewire.Queue(2), framewire.Event(), framewire.Writer(2, 100)
    queue.put([framewire.Lock(), framewire.Condition(), event, np.zeros(100_000, np.uint8)])
    queue.get()
    queue.fileno()
    event.fileno()
    reader = writer.reader()
    writer.write(b"x")
    reader.fileno()
    writer.close()
    framewire.SharedMemory(10)
    framewire.Value("i")


def test_nothing_leaks_in_a_thousand_lives():
    for _ in range(3):
        make_all()
    before = descriptors()
    for _ in range(1000):
        make_all()
    # Of small objects an arena or two, which are used on.
    assert descriptors() <= before + 2
