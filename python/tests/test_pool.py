from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import signal
import threading
import time

import numpy as np
import pool_subjects as work
import pytest
from process_subjects import LIMIT, is_gone, wait_until

import framewire


@pytest.fixture(scope="module")
def pool():
    with framewire.Pool(2) as pool:
        yield pool


def test_map(pool):
    for count in (0, 1, 10, 1000):
        assert pool.map(work.square, range(count)) == [number * number for number in range(count)]
    assert pool.map(work.square, range(100), chunksize=20) == [number * number for number in range(100)]


def test_starmap_and_apply(pool):
    assert pool.starmap(work.add, [(1, 2), (3, 4)]) == [3, 7]
    assert pool.starmap(work.add, [(1,)]) == [101]
    assert pool.apply(work.add, (1,)) == 101
    assert pool.apply(work.add, (1,), {"other": 5}) == 6


def test_imap_in_order_and_as_done(pool):
    assert list(pool.imap(work.square, range(2000))) == [number * number for number in range(2000)]
    assert sorted(pool.imap_unordered(work.square, range(2000))) == [number * number for number in range(2000)]
    assert list(pool.imap(work.square, [])) == []


def test_an_input_without_end_is_read_bounded(pool):
    read = 0

    def numbers():
        nonlocal read
        while True:
            yield read
            read += 1

    results = pool.imap(work.square, numbers())
    assert [next(results) for _ in range(100)] == [number * number for number in range(100)]
    assert read < 100 + 2 * 128 + 1


def test_an_input_that_fails_is_told_after_what_came_before(pool):
    def numbers():
        yield from range(5)
        raise RuntimeError("no more")

    results = pool.imap(work.square, numbers())
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(RuntimeError, match="no more"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    with pytest.raises(RuntimeError, match="no more"):
        pool.map(work.square, numbers())


def test_an_exception_is_its_items_own(pool):
    with pytest.raises(LookupError) as caught:
        pool.map(work.fail_at, range(30))
    assert caught.value.args == (7,)
    assert "pool_subjects.py" in str(caught.value.__cause__)
    results = pool.map(work.fail_at, range(30), return_exceptions=True)
    assert [number for number, result in enumerate(results) if isinstance(result, LookupError)] == [7, 17, 27]
    assert [result for result in results if isinstance(result, int)] == [n for n in range(30) if n % 10 != 7]
    iterated = pool.imap(work.fail_at, range(9))
    for number in range(9):
        if number == 7:
            with pytest.raises(LookupError):
                next(iterated)
        else:
            assert next(iterated) == number


def test_what_cannot_be_pickled_is_told(pool):
    with pytest.raises((pickle.PicklingError, AttributeError), match="importable"):
        pool.map(lambda number: number, range(3))
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        pool.map(work.square, [threading.Lock()])
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pool.map(work.unpicklable, range(3))
    with pytest.raises(TypeError, match="can't be called"):
        pool.map(3, range(3))
    assert pool.map(work.square, range(3)) == [0, 1, 4]


def test_arrays(pool):
    images = [np.full((1080, 1920), number, np.uint8) for number in range(4)]
    for number, mean in enumerate(pool.map(np.mean, images)):
        assert mean == number


def test_asynchronous_results(pool):
    result = pool.apply_async(work.sleep, (1.0,))
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(TimeoutError):
        result.get(0.01)
    result.wait(LIMIT)
    assert result.get() == result.get() == 1.0
    assert result.successful()
    failed = pool.map_async(work.fail_at, range(10))
    failed.wait(LIMIT)
    assert failed.ready()
    assert not failed.successful()
    with pytest.raises(LookupError):
        failed.get()
    assert pool.starmap_async(work.add, [(1, 2)]).get(LIMIT) == [3]
    assert pool.map_async(work.square, []).get(LIMIT) == []


def test_an_imap_may_be_asked_with_a_limit(pool):
    results = pool.imap(work.sleep, [1.0])
    with pytest.raises(TimeoutError):
        results.next(timeout=0.01)
    assert results.next(timeout=LIMIT) == 1.0
    with pytest.raises(StopIteration):
        results.next(timeout=LIMIT)


def test_a_killed_worker_fails_its_own_task_alone():
    with framewire.Pool(2) as pool:
        results = pool.map(work.die_at, range(400), return_exceptions=True)
        lost = results.pop(13)
        assert isinstance(lost, framewire.WorkerLostError)
        assert lost.how.code == -signal.SIGKILL
        assert lost.worker is not None
        assert results == [number for number in range(400) if number != 13]
        with pytest.raises(framewire.WorkerLostError):
            pool.map(work.die_at, range(20))
        assert pool.map(work.square, range(20)) == [number * number for number in range(20)]


def test_workers_killed_from_outside_are_replaced():
    with framewire.Pool(2) as pool:
        result = pool.map_async(work.slow_square, range(100), return_exceptions=True)
        killed: set[int] = set()

        def living() -> set[int]:
            return {pid for _, pid in pool.workers() if pid} - killed

        for _ in range(3):
            wait_until(lambda: len(living()) == 2, "both are there")
            killed.add(victim := living().pop())
            os.kill(victim, signal.SIGKILL)
        outcomes = result.get(LIMIT)
        lost = [outcome for outcome in outcomes if isinstance(outcome, framewire.WorkerLostError)]
        assert len(lost) <= 3
        assert all(isinstance(o, framewire.WorkerLostError) or o == n * n for n, o in enumerate(outcomes))
        # CPython's pool hangs after the death of an idle worker.
        for name, pid in pool.workers():
            assert name
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):  # one of those that were killed just now
                    os.kill(pid, signal.SIGKILL)
        assert [r for r in pool.map(work.square, range(10), return_exceptions=True) if isinstance(r, int)]


def test_a_task_may_be_given_again(tmp_path):
    with framewire.Pool(1, redeliver=3) as pool:
        assert pool.apply(work.die_once, (str(tmp_path / "died"),)) == "survived"
        with pytest.raises(framewire.WorkerLostError, match="3 workers died"):
            pool.apply(work.die, (0,))


def test_an_exit_is_a_death():
    with framewire.Pool(1) as pool:
        with pytest.raises(framewire.WorkerLostError, match="exit code 3"):
            pool.apply(work.leave, (3,))
        assert pool.apply(work.square, (3,)) == 9


def test_initializer():
    with framewire.Pool(2, work.prepare, (1, "two")) as pool:
        assert pool.map(work.prepared, range(10)) == [[1, "two"]] * 10


def test_an_initializer_that_fails_is_told_once():
    begun = time.monotonic()
    with pytest.raises(framewire.StartError, match="ValueError: no licence"):
        framewire.Pool(2, work.fail_to_prepare)
    assert time.monotonic() - begun < LIMIT


def test_a_worker_is_replaced_after_so_many_tasks():
    with framewire.Pool(1, maxtasksperchild=3) as pool:
        pids = pool.map(work.where, range(9))
        assert len(set(pids)) == 3
        assert all(len(set(pids[start : start + 3])) == 1 for start in (0, 3, 6))


def test_a_worker_that_has_grown_is_replaced():
    with framewire.Pool(1, memory_limit=300 << 20) as pool:
        assert len(set(pool.map(work.grow, range(12)))) > 1


def test_close_and_join():
    pool = framewire.Pool(2)
    with pytest.raises(ValueError, match="close or terminate it first"):
        pool.join()
    result = pool.map_async(work.slow_square, range(20))
    pool.close()
    with pytest.raises(ValueError, match="closed"):
        pool.map(work.square, [1])
    with pytest.raises(ValueError, match="closed"):
        pool.apply_async(work.square, (1,))
    assert pool.join(LIMIT)
    assert result.get(LIMIT) == [number * number for number in range(20)]


def test_a_pool_that_is_over_cannot_be_entered():
    pool = framewire.Pool(1)
    with pool, pool:
        assert pool.apply(work.square, (2,)) == 4
    with pytest.raises(framewire.PoolNotRunningError, match=r"Pool not running.*terminated"), pool:
        pass
    closed = framewire.Pool(1)
    closed.close()
    with pytest.raises(ValueError, match=r"Pool not running.*closed"), closed:
        pass
    assert closed.join(LIMIT)


def test_terminate_ends_what_is_under_way():
    pool = framewire.Pool(2)
    pids = [pid for _, pid in pool.workers()]
    result = pool.apply_async(work.sleep, (LIMIT * 10,))
    begun = time.monotonic()
    pool.terminate()
    assert pool.join(LIMIT)
    with pytest.raises(framewire.PoolNotRunningError, match="terminated"):
        result.get(LIMIT)
    assert time.monotonic() - begun < LIMIT
    assert all(is_gone(pid) for pid in pids)


def test_a_dropped_pool_is_gone():
    pool = framewire.Pool(1)
    [(_, pid)] = pool.workers()
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        del pool
    wait_until(lambda: is_gone(pid), "its worker is gone")


def test_ctrl_c_ends_a_map():
    with framewire.Pool(1) as pool:
        sent: list[float] = []

        def interrupt() -> None:
            sent.append(time.monotonic())
            signal.raise_signal(signal.SIGINT)

        timer = threading.Timer(0.2, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            pool.map(work.sleep, [LIMIT])
        assert time.monotonic() - sent[0] < 5
        timer.join()


def test_arguments_are_checked():
    for workers in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            framewire.Pool(workers)
    with pytest.raises(ValueError, match="positive"):
        framewire.Pool(1, maxtasksperchild=0)
    with pytest.raises(TypeError, match="can't be called"):
        framewire.Pool(1, initializer=3)


def test_a_pool_stays_where_it_is(pool):
    with pytest.raises(NotImplementedError):
        pickle.dumps(pool)


def test_many_threads_use_one_pool(pool):
    results: dict[int, list[int]] = {}

    def use(number: int) -> None:
        results[number] = pool.map(work.square, range(number * 50))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert results == {number: [n * n for n in range(number * 50)] for number in range(6)}


def test_a_wait_with_a_limit_takes_nothing_from_another_threads(pool):
    result = pool.apply_async(time.sleep, (1.0,))
    other = threading.Thread(target=result.get)
    other.start()
    with pytest.raises(framewire.CallTimeoutError):
        result.get(timeout=0.1)
    other.join(LIMIT)
    assert not other.is_alive()


class Interrupts:
    """An input in which Ctrl-C comes once."""

    def __init__(self) -> None:
        self.numbers = iter(range(600))
        self.has_come = False

    def __iter__(self):
        return self

    def __next__(self) -> int:
        number = next(self.numbers)
        if number == 300 and not self.has_come:
            self.has_come = True
            self.numbers = iter(range(300, 600))
            raise KeyboardInterrupt
        return number


def test_ctrl_c_in_an_input_is_heard_and_loses_nothing(pool):
    results, came = pool.imap(abs, Interrupts()), []
    heard = 0
    while True:
        try:
            came.append(next(results))
        except KeyboardInterrupt:
            heard += 1
        except StopIteration:
            break
    assert (came, heard) == (list(range(600)), 1)


@pytest.mark.parametrize("order", ["imap", "imap_unordered"])
@pytest.mark.parametrize("joins_first", [False, True])
def test_an_imap_goes_on_in_a_closed_pool(order, joins_first):
    pool = framewire.Pool(2)
    results = getattr(pool, order)(abs, (-number for number in range(1000)))
    pool.close()
    with pytest.raises(framewire.PoolNotRunningError, match="closed"):
        pool.apply_async(abs, (1,))
    with pytest.raises(framewire.PoolNotRunningError, match="closed"):
        pool.imap(abs, [1])
    if joins_first:
        assert pool.join(LIMIT)
    assert sorted(results) == list(range(1000))
    assert pool.join(LIMIT)


def test_a_closed_pool_ends_when_an_endless_imap_is_dropped():
    pool = framewire.Pool(1)
    results = pool.imap(abs, itertools.count())
    assert next(results) == 0
    pool.close()
    assert not pool.join(0.2), "there is always one more"
    del results
    assert pool.join(LIMIT)
