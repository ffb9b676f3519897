"""Pools and starts in asyncio, and in forked children."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from process_subjects import LIMIT, Subject

import framewire


@pytest.fixture
def pool():
    with framewire.Pool(2) as pool:
        yield pool


def test_a_result_is_awaited(pool):
    async def both():
        slow = pool.apply_async(time.sleep, (0.2,))
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        # Two tasks for one result, and one that gives up.
        impatient = asyncio.create_task(asyncio.wait_for(await_it(slow), 0.01))
        assert await asyncio.gather(await_it(slow), await_it(slow)) == [None, None]
        assert isinstance((await asyncio.gather(impatient, return_exceptions=True))[0], TimeoutError)
        ticking.cancel()
        assert ticks > 3  # the loop went on
        called = []
        assert await pool.map_async(abs, [-1, -2], callback=called.append) == [1, 2]
        assert called == [[1, 2]]
        with pytest.raises(ZeroDivisionError):
            await pool.apply_async(divmod, (1, 0))
        assert await slow is None  # again

    async def await_it(result):
        return await result

    asyncio.run(asyncio.wait_for(both(), LIMIT))


def test_imap_is_iterated(pool):
    async def all_of(results):
        return [result async for result in results]

    async def iterate():
        numbers = range(2000)
        ordered, unordered = await asyncio.gather(
            all_of(pool.imap(abs, numbers)), all_of(pool.imap_unordered(abs, numbers))
        )
        assert ordered == list(numbers)
        assert sorted(unordered) == list(numbers)
        came = []
        results = pool.imap(divmod_by, [1, 0, 2])
        while True:
            try:
                came.append(await anext(results))
            except ZeroDivisionError:
                came.append("zero")
            except StopAsyncIteration:
                break
        assert came == [10, "zero", 5]
        # One that waits: nothing is there yet.
        assert await all_of(pool.imap(time.sleep, [0.1, 0.1])) == [None, None]

    asyncio.run(asyncio.wait_for(iterate(), LIMIT))


def divmod_by(number):
    return 10 // number


def test_a_start_is_awaited():
    async def start():
        handles = await asyncio.gather(*(ready(Subject.begin(base)) for base in range(3)))
        assert [await handle.add(1) for handle in handles] == [2, 3, 4]
        with pytest.raises(framewire.StartError, match="no model"):
            await Subject.begin(fail="no model")
        for handle in handles:
            async with handle:
                pass

    async def ready(starting):
        return await starting

    asyncio.run(asyncio.wait_for(start(), LIMIT))


def test_a_forked_child_has_no_results(pool):
    result, results = pool.apply_async(time.sleep, (0.3,)), pool.imap(abs, [1])
    asked = [result.get, result.wait, result.ready, lambda: asyncio.run(wait(result)), lambda: next(results)]
    for ask in asked:
        pid = os.fork()
        if pid == 0:
            try:
                ask()
            except framewire.ForkedError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
    assert result.get(LIMIT) is None


async def wait(result):
    return await result
