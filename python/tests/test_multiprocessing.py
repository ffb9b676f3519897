"""The drop-in, as a program of `multiprocessing` uses it; CPython's own tests of it are in test_cpython."""

import os
import signal
import time

import multiprocessing_subjects as subjects
import pytest

import framewire
from framewire import multiprocessing as mp
from framewire.multiprocessing import managers, sharedctypes

LIMIT = 30


def started(target, *args):
    process = mp.Process(target=target, args=args)
    process.start()
    return process


def test_a_process_runs_a_function_and_shares_what_it_is_given():
    queue, event = mp.Queue(), mp.Event()
    process = started(subjects.tell, queue, event, "said")
    assert queue.get(timeout=LIMIT) == (process.pid, "said")
    assert event.wait(LIMIT)
    process.join(LIMIT)
    assert (process.exitcode, process.is_alive(), mp.active_children()) == (0, False, [])


@pytest.mark.parametrize(("given", "code"), [(0, 0), (7, 7), (None, 0), ("why", 1)])
def test_exit_codes_are_those_of_multiprocessing(given, code):
    process = started(subjects.leave, given)
    process.join(LIMIT)
    assert process.exitcode == code


def test_terminate_kill_and_interrupt():
    for end, code in [(mp.Process.terminate, -signal.SIGTERM), (mp.Process.kill, -signal.SIGKILL)]:
        process = started(time.sleep, 1000)
        end(process)
        process.join(LIMIT)
        assert process.exitcode == code
    ready = mp.Event()
    process = started(subjects.wait_for_interrupt, ready)
    assert ready.wait(LIMIT)
    os.kill(process.pid, signal.SIGINT)
    process.join(LIMIT)
    assert process.exitcode == 42


def test_the_handler_of_interrupts_is_there_while_children_are():
    own = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        processes = [started(time.sleep, 1000) for _ in range(2)]
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        for process in processes:
            process.kill()
            process.join(LIMIT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, own)


def test_a_pipe_ends_when_its_other_end_does():
    here, there = mp.Pipe()
    process = started(subjects.double, there)
    there.close()
    here.send(21)
    assert here.recv() == 42
    with pytest.raises(EOFError):
        here.recv()
    process.join(LIMIT)


def test_a_sentinel_is_readable_at_the_end_and_not_before():
    ready = mp.Event()
    process = started(subjects.wait_for_interrupt, ready)
    assert ready.wait(LIMIT)
    assert mp.connection.wait([process.sentinel], timeout=0.05) == []
    process.kill()
    assert mp.connection.wait([process.sentinel], timeout=LIMIT) == [process.sentinel]
    process.join(LIMIT)


def test_a_killed_owner_gives_its_lock_back():
    lock, held = mp.Lock(), mp.Event()
    process = started(subjects.hold_and_wait, lock, held)
    assert held.wait(LIMIT)
    assert not lock.acquire(timeout=0.05)
    process.kill()
    assert lock.acquire(timeout=LIMIT)
    lock.release()
    process.join(LIMIT)


def test_a_semaphore_counts_what_one_makes_and_another_takes():
    empty, full = mp.Semaphore(5), mp.Semaphore(0)
    for work, left in [(subjects.produce, (0, 5)), (subjects.consume, (5, 0))]:
        started(work, empty, full).join(LIMIT)
        assert (empty.get_value(), full.get_value()) == left
    bounded = mp.BoundedSemaphore(2)
    started(subjects.take, bounded).join(LIMIT)
    assert bounded.get_value() == 1
    bounded.release()
    with pytest.raises(ValueError, match="2"):
        bounded.release()


@pytest.mark.parametrize("kind", [mp.Semaphore, mp.BoundedSemaphore])
def test_a_permit_comes_back_from_who_is_killed_within_a_block(kind):
    semaphore, held = kind(1), mp.Event()
    process = started(subjects.hold_in_block, semaphore, held)
    assert held.wait(LIMIT)
    assert not semaphore.acquire(timeout=0.05)
    process.kill()
    assert semaphore.acquire(timeout=LIMIT)
    process.join(LIMIT)
    assert semaphore.get_value() == 0


def test_a_killed_consumer_gives_its_task_back():
    queue, got = mp.JoinableQueue(), mp.Event()
    queue.put("task")
    process = started(subjects.get_and_wait, queue, got)
    assert got.wait(LIMIT)
    process.kill()
    process.join(LIMIT)
    assert queue.get(timeout=LIMIT) == "task"
    queue.task_done()
    queue.join()


def test_a_child_has_children():
    queue = mp.Queue()
    process = started(subjects.nest, queue)
    assert queue.get(timeout=LIMIT)[1] == "inner"
    assert queue.get(timeout=LIMIT) == 0
    process.join(LIMIT)


def test_a_manager_is_a_process_like_others():
    with mp.Manager() as manager:
        shared = manager.dict(one=1)
        shared["two"] = 2
        assert dict(shared) == {"one": 1, "two": 2}
    assert mp.active_children() == []


def test_a_managers_pool_is_ours():
    with mp.Manager() as manager:
        pool = manager.Pool(2)
        assert pool.map(abs, range(-3, 3)) == [3, 2, 1, 0, 1, 2]
        outcome = pool.map_async(subjects.die_at, range(6))
        with pytest.raises(framewire.WorkerLostError):
            outcome.get(LIMIT)
        with pytest.raises(mp.TimeoutError):
            pool.apply_async(time.sleep, (10,)).get(0.05)
        assert list(pool.imap(subjects.die_at, range(3))) == [0, 1, 4]
        pool.terminate()
        pool.join()


def test_a_manager_of_ones_own():
    with subjects.OwnManager() as own, managers.SharedMemoryManager() as blocks:
        assert isinstance(own._process, mp.Process)
        assert isinstance(blocks._process, mp.Process)
        counter = own.Counter(40)
        counter.add(2)
        assert counter.total() == 42
        block = blocks.SharedMemory(100)
        block.buf[0] = 1
        block.close()


def test_raw_values_go_along_and_through_queues():
    raw, numbers, value, queue = mp.RawValue("i", 1), mp.RawArray("i", 2), mp.Value("d", 0.0), mp.Queue()
    process = started(subjects.set_values, raw, numbers, value, queue)
    assert queue.get(timeout=LIMIT) == "set"
    assert (raw.value, list(numbers), value.value) == (7, [0, 8], 9.0)
    process.join(LIMIT)
    queue.put(raw)
    queue.get(timeout=LIMIT).value = 11
    assert raw.value == 11
    locked = sharedctypes.synchronized(raw)
    with locked.get_lock():
        assert locked.value == 11
    assert sharedctypes.Array("i", 3)[:] == [0, 0, 0]


def test_a_child_that_attaches_shared_memory_leaves_it_alone():
    block, queue = mp.shared_memory.SharedMemory(create=True, size=100), mp.Queue()
    try:
        process = started(subjects.attach, block.name, queue)
        assert queue.get(timeout=LIMIT) is None, "it has a tracker of its own, which would remove it"
        process.join(LIMIT)
        again = mp.shared_memory.SharedMemory(name=block.name)
        assert again.buf[0] == 7
        again.close()
    finally:
        block.close()
        block.unlink()


def test_a_pool_has_what_programs_look_up():
    with mp.Pool(2) as pool:
        assert isinstance(pool, mp.pool.Pool)
        assert pool._processes == len(pool._pool) == 2
        assert all(worker.is_alive() and worker.pid for worker in pool._pool)
        assert repr(pool) == "<framewire.multiprocessing.pool.Pool state=RUN pool_size=2>"
        assert mp.pool.ThreadPool(1).apply(abs, (-1,)) == 1
    with pytest.raises(ValueError, match="Pool not running"), pool:
        pass


def test_an_imap_that_nobody_takes_is_done_by_join():
    done = mp.Queue()
    pool = mp.Pool(2, subjects.keep, (done,))
    pool.imap_unordered(subjects.put_kept, range(1000))
    pool.close()
    pool.join()
    assert sorted(done.get(timeout=LIMIT) for _ in range(1000)) == list(range(1000))


def test_maxtasksperchild_counts_chunks():
    items = range(40)
    expected = [number * number for number in items]
    with mp.Pool(2, maxtasksperchild=1) as pool:
        done = pool.map(subjects.square_and_pid, items, chunksize=20)
        assert ([square for square, _ in done], len({pid for _, pid in done})) == (expected, 2)
        done = pool.map(subjects.square_and_pid, items)  # 8 chunks, as there
        assert ([square for square, _ in done], len({pid for _, pid in done})) == (expected, 8)
        done = pool.map_async(subjects.square_and_pid, items, chunksize=20).get(LIMIT)
        assert ([square for square, _ in done], len({pid for _, pid in done})) == (expected, 2)
        done = pool.starmap(subjects.square_and_pid, zip(items), chunksize=40)
        assert ([square for square, _ in done], len({pid for _, pid in done})) == (expected, 1)
        for order in (pool.imap, pool.imap_unordered):
            done = list(order(subjects.square_and_pid, items, chunksize=20))
            assert (sorted(square for square, _ in done), len({pid for _, pid in done})) == (expected, 2)
        with pytest.raises(ZeroDivisionError):
            pool.map(subjects.invert, [1, 0, 2], chunksize=2)
        both = pool.map(subjects.invert, [1, 0], chunksize=2, return_exceptions=True)
        assert (both[0], type(both[1])) == (1, ZeroDivisionError)
        with pytest.raises(ValueError, match="hunksize"):
            pool.map(abs, [1], chunksize=0)
        assert pool.map(abs, []) == []


def test_a_pool_and_shared_numbers():
    with mp.Pool(2) as pool:
        assert pool.map(abs, range(-3, 3)) == [3, 2, 1, 0, 1, 2]
        with pytest.raises(mp.TimeoutError):
            pool.apply_async(time.sleep, (10,)).get(0.05)
    number = mp.Value("i", 1)
    with number.get_lock():
        number.value += 1
    assert number.value == 2


def test_other_start_methods_are_refused_by_name():
    assert issubclass(mp.get_context("spawn").Process, mp.Process)
    with pytest.raises(ValueError, match="cannot find context for 'fork'"):
        mp.get_context("fork")


@pytest.fixture
def copied():
    mp.set_forkserver_preload(["multiprocessing_subjects", "no_such_module"])
    mp.set_start_method("forkserver")
    yield
    mp.set_forkserver_preload(["__main__"])
    mp.set_start_method("spawn")


@pytest.mark.usefixtures("copied")
def test_with_forkserver_processes_and_workers_are_copies():
    assert (mp.get_start_method(), mp.get_context().get_start_method()) == ("forkserver", "forkserver")
    queue = mp.Queue()
    for process_class in (mp.Process, mp.get_context("forkserver").Process):
        process = process_class(target=subjects.describe, args=(queue,))
        process.start()
        assert queue.get(timeout=LIMIT) == (True, "forkserver")
        process.join(LIMIT)
        assert process.exitcode == 0
    anew = mp.get_context("spawn").Process(target=subjects.describe, args=(queue,))
    anew.start()
    assert queue.get(timeout=LIMIT) == (False, "forkserver"), "its own children are as its parent's"
    anew.join(LIMIT)
    with mp.Pool(2) as pool:
        assert all(is_copy for is_copy, _ in pool.map(subjects.describe, [None] * 4))


@pytest.mark.usefixtures("copied")
def test_with_forkserver_a_killed_process_ends_as_any():
    process = started(time.sleep, 1000)
    process.kill()
    process.join(LIMIT)
    assert process.exitcode == -signal.SIGKILL
