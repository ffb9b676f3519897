"""The drop-in's queues, as programs of `multiprocessing` use them."""

import concurrent.futures
import gc
import multiprocessing
import queue
import time
import weakref

import multiprocessing_subjects as subjects
import numpy as np
import pytest

import framewire
from framewire import multiprocessing as mp
from framewire.multiprocessing import queues

LIMIT = 30


def started(target, *args):
    process = mp.Process(target=target, args=args)
    process.start()
    return process


def taken(source, count):
    return [source.get(timeout=LIMIT) for _ in range(count)]


def test_a_queue_without_a_limit_is_filled_before_its_consumers_start():
    tasks, results = mp.Queue(), mp.Queue()
    for number in range(10_000):
        tasks.put(number, timeout=LIMIT)
    assert (tasks.qsize(), tasks.full(), tasks.empty()) == (10_000, False, False)
    tasks.put(None)
    process = started(subjects.sum_up, tasks, results)
    assert results.get(timeout=LIMIT) == list(range(10_000)), "in order"
    process.join(LIMIT)
    assert (process.exitcode, tasks.qsize()) == (0, 0)


def test_large_arrays_and_locks_wait_too():
    source = mp.Queue()
    for number in range(40):
        source.put(np.full(100_000, number, "u1"), timeout=LIMIT)
        source.put(mp.Lock(), timeout=LIMIT)
    for number in range(40):
        assert source.get(timeout=LIMIT)[0] == number
        assert source.get(timeout=LIMIT).acquire(timeout=0)


def test_a_limit_is_kept_whatever_the_items_are():
    source = mp.Queue(6)
    for _ in range(6):
        source.put(np.zeros(100_000, "u1"), timeout=LIMIT)
    assert (source.full(), source.qsize()) == (True, 6)
    with pytest.raises(queue.Full):
        source.put(1, timeout=0.05)
    with pytest.raises(queue.Full):
        source.put_nowait(1)
    taken(source, 1)
    source.put(1, timeout=LIMIT)
    assert source.full()
    taken(source, 6)
    assert source.empty()


@pytest.mark.parametrize("most", [10**7, 2**31 - 1])
def test_a_limit_may_be_as_large_as_it_likes(most):
    source = mp.Queue(most)
    source.put(1)
    assert source.get(timeout=LIMIT) == 1


def test_a_child_ends_when_all_it_has_put_is_on_its_way():
    source = mp.Queue()
    process = started(subjects.put_many, source, 6000)
    assert taken(source, 6000) == list(range(6000))
    process.join(LIMIT)
    assert process.exitcode == 0
    process = started(subjects.put_many, source, 6000, True)
    process.join(LIMIT)
    assert process.exitcode == 0, "it said that it wouldn't wait"


def test_a_pools_worker_waits_for_room_since_it_is_stopped_without_waiting():
    source = mp.Queue()
    pool = mp.Pool(1, subjects.keep, (source,))
    put = pool.apply_async(subjects.put_many_kept, (6000,))
    end = time.monotonic() + LIMIT
    while source.qsize() < 4096 and time.monotonic() < end:
        put.wait(0.01)
    put.wait(0.2)
    assert not put.ready()
    pool.close()
    assert taken(source, 6000) == list(range(6000))
    put.get(LIMIT)
    pool.join()


def test_what_cannot_be_pickled_is_told_and_the_rest_goes_on(capfd):
    source = mp.Queue()
    for number in range(5000):
        source.put(number)
    source.put(lambda: None)
    source.put("last")
    assert taken(source, 5001)[-1] == "last"
    assert "pickle" in capfd.readouterr().err


def test_to_close_a_queue_is_to_close_it_here():
    source = mp.Queue()
    process = started(subjects.put_and_close, source)
    assert source.get(timeout=LIMIT) == 0
    process.join(LIMIT)
    source.put(1)
    assert source.get(timeout=LIMIT) == 1
    source.close()
    source.join_thread()
    for use in (lambda: source.put(1), source.get):
        with pytest.raises(ValueError, match="is closed"):
            use()
    simple = mp.SimpleQueue()
    simple.close()
    assert simple._reader.closed
    with pytest.raises(OSError, match="closed"):
        simple.put(1)


def test_a_queue_is_the_same_class_everywhere_and_goes_when_nobody_has_it():
    given, results = mp.JoinableQueue(), mp.Queue()
    process = started(subjects.tell_class, given, results)
    assert results.get(timeout=LIMIT) == "framewire.multiprocessing.queues.JoinableQueue"
    process.join(LIMIT)
    source = mp.Queue()
    for number in range(5000):
        source.put(number)
    taken(source, 5000)
    gone = weakref.ref(source)
    del source
    end = time.monotonic() + LIMIT
    while gone() is not None and time.monotonic() < end:  # its thread is just ending
        gc.collect()
    assert gone() is None


def test_what_framewires_queues_have_beyond():
    source = mp.Queue()
    source.put("item")
    with source.lease() as item:
        assert item == "item"
    assert (source.leased, source.dead_letters) == (0, 0)
    with pytest.raises(AttributeError, match="no_such_thing"):
        source.no_such_thing()


def test_what_an_ordinary_end_leaves_unacknowledged_is_done():
    tasks, results = mp.JoinableQueue(), mp.Queue()
    for _ in range(2):
        for number in range(5):
            tasks.put(number)
        tasks.put(None)
        process = started(subjects.sum_up, tasks, results)
        assert results.get(timeout=LIMIT) == [0, 1, 2, 3, 4]
        process.join(LIMIT)
        assert (tasks.qsize(), tasks.unfinished) == (0, 0)
    tasks.join(LIMIT)
    tasks.put("task")
    process = started(subjects.get_and_fail, tasks)
    process.join(LIMIT)
    assert tasks.get(timeout=LIMIT) == "task", "an exception ended who had it"
    tasks.task_done()
    tasks.join(LIMIT)


def test_forty_queues_go_to_a_process_and_too_many_are_refused_by_start():
    given = [mp.Queue() for _ in range(40)]
    process = started(subjects.put_in_each, given)
    assert [source.get(timeout=LIMIT) for source in given] == list(range(40))
    process.join(LIMIT)
    more = given + [mp.Queue() for _ in range(20)]
    with pytest.raises(framewire.StartError, match="descriptors") as refused:
        started(subjects.put_in_each, more)
    assert "give it fewer" in refused.value.__notes__[0]
    assert mp.active_children() == []


def test_an_executor_of_the_standard_library_works_with_our_context():
    context = mp.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        assert list(executor.map(abs, range(-20, 0))) == list(range(20, 0, -1))
        with pytest.raises(ZeroDivisionError):
            executor.submit(subjects.invert, 0).result(LIMIT)
    with (
        concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor,
        pytest.raises(concurrent.futures.process.BrokenProcessPool),
    ):
        executor.submit(subjects.die_at, 3).result(LIMIT)


def test_a_queue_is_waited_for_by_its_reader():
    for source in (mp.Queue(), mp.SimpleQueue()):
        assert not source._reader.poll(), "though its descriptor may be readable for nothing"
        source.put("item")
        reader = source._reader
        assert mp.connection.wait([reader], timeout=LIMIT) == [reader]
        assert reader.poll(LIMIT)
        assert reader.recv() == "item"


def test_modules_that_programs_look_up():
    for name in ("process", "util", "reduction"):
        assert getattr(mp, name) is getattr(multiprocessing, name)
    assert isinstance(mp.Queue(), queues.Queue)
