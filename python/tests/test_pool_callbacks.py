from __future__ import annotations

import gc
import logging
import threading
import time
import weakref

import pool_subjects as work
import pytest
from process_subjects import LIMIT, wait_until

import framewire


@pytest.fixture(scope="module")
def pool():
    with framewire.Pool(2) as pool:
        yield pool


def test_a_result_is_there_after_its_callback(pool):
    called: list[object] = []

    def late(value: object) -> None:
        time.sleep(0.05)  # what comes too early comes before this
        called.append(value)

    assert pool.apply_async(work.square, (3,), callback=late).get(LIMIT) == 9
    assert called == [9]
    pool.map_async(work.square, range(3), callback=late).wait(LIMIT)
    assert called == [9, [0, 1, 4]]
    failed = pool.apply_async(work.fail_at, (7,), callback=late, error_callback=lambda error: late(repr(error)))
    wait_until(failed.ready, "it is ready")
    assert called[2:] == ["LookupError(7)"]
    assert not failed.successful()
    pool.map_async(work.square, [], callback=late).wait(LIMIT)
    assert called[3:] == [[]]
    # With a callback only for the other outcome there is nothing to wait for.
    assert pool.apply_async(work.square, (4,), error_callback=late).get(LIMIT) == 16
    assert len(called) == 4


def test_what_a_callback_raises_is_logged_and_concerns_nobody(pool, caplog):
    for raised in (RuntimeError("not today"), SystemExit(3), KeyboardInterrupt()):

        def fail(_value: object, raised: BaseException = raised) -> None:
            raise raised

        with caplog.at_level(logging.ERROR, "framewire.pool"):
            caplog.clear()
            assert pool.apply_async(work.square, (3,), callback=fail).get(LIMIT) == 9
        [record] = caplog.records
        assert record.name == "framewire.pool"
        assert record.exc_info is not None
        assert record.exc_info[1] is raised
    assert pool.apply_async(work.square, (3,), callback=lambda _: None).get(LIMIT) == 9


def test_a_callback_that_hangs_holds_up_no_task(pool):
    go_on, called = threading.Event(), []
    stuck = pool.apply_async(work.square, (2,), callback=lambda _: go_on.wait(LIMIT))
    try:
        assert pool.map(work.square, range(100)) == [number * number for number in range(100)]
        assert pool.apply_async(work.square, (3,)).get(LIMIT) == 9
        next_one = pool.apply_async(work.square, (4,), callback=called.append)
        with pytest.raises(TimeoutError):
            stuck.get(0.05)
        assert not stuck.ready()
        with pytest.raises(TimeoutError):
            next_one.get(0.05)
        assert called == []
    finally:
        go_on.set()
    assert (stuck.get(LIMIT), next_one.get(LIMIT), called) == (4, 16, [16])


def test_a_callback_may_use_the_pool(pool):
    results: list[object] = []

    def go_on(value: int) -> None:
        results.append(mine.get(LIMIT))  # its own result
        results.append(pool.apply_async(work.add, (value, 1), callback=results.append).get(LIMIT))
        results.append(pool.map(work.square, [value]))

    given = threading.Event()
    mine = pool.apply_async(work.square, (3,), callback=lambda value: given.wait(LIMIT) and go_on(value))
    given.set()
    assert mine.get(LIMIT) == 9
    wait_until(lambda: len(results) == 4, "the callback's callback is called")
    assert results == [9, 10, [81], 10]


def test_all_callbacks_were_called_when_a_pool_is_joined():
    pool, called = framewire.Pool(1), []

    def late(value: int) -> None:
        time.sleep(0.005)  # the workers are gone long before the last one
        called.append(value)

    for number in range(40):
        pool.apply_async(work.square, (number,), callback=late)
    pool.close()
    assert pool.join(LIMIT)
    assert sorted(called) == [number * number for number in range(40)]


def test_a_pool_whose_callback_hangs_is_left_all_the_same():
    go_on, begun = threading.Event(), threading.Event()

    def hang(_value: object) -> None:
        begun.set()
        go_on.wait(LIMIT)

    try:
        with framewire.Pool(1) as pool:
            pool.apply_async(work.square, (2,), callback=hang)
            assert begun.wait(LIMIT)
        assert not pool.join(0.05)
    finally:
        go_on.set()
    assert pool.join(LIMIT)


def test_tasks_of_a_terminated_pool_are_told_to_their_callbacks():
    called: list[object] = []
    with framewire.Pool(1) as pool:
        result = pool.apply_async(work.sleep, (LIMIT * 10,), error_callback=called.append)
    with pytest.raises(framewire.PoolNotRunningError):
        result.get(LIMIT)
    assert [type(error) for error in called] == [framewire.PoolNotRunningError]
    with pytest.raises(ValueError, match="terminated"):
        pool.apply_async(work.square, (1,), callback=called.append)
    assert pool.join(LIMIT)


def test_callbacks_keep_neither_a_pool_nor_a_thread():
    pool = framewire.Pool(1)
    assert pool.apply_async(work.square, (3,), callback=lambda _: None).get(LIMIT) == 9
    thread = pool._callbacks._thread
    assert thread is not None
    pool.terminate()
    assert pool.join(LIMIT)
    left = weakref.ref(pool)
    del pool
    wait_until(lambda: gc.collect() is not None and left() is None, "nobody has the pool")
    wait_until(lambda: not thread.is_alive(), "the thread has ended")
