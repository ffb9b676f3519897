from __future__ import annotations

import asyncio
import os
import time

import pytest
from process_subjects import LIMIT, Subject, wait_until

import framewire


@pytest.fixture(scope="module")
def subject():
    with Subject.spawn(base=1) as handle:
        yield handle


def test_awaited_calls_run_at_once_up_to_the_limit():
    with Subject.spawn() as handle:

        async def main() -> list[float]:
            return await asyncio.gather(*(handle.nap(0.05) for _ in range(9)))

        assert asyncio.run(main()) == [0.05] * 9
        most, _ = handle.seen().wait(LIMIT)
        assert most == Subject.concurrent_calls


def test_plain_commands_go_on_while_asynchronous_ones_wait(subject):
    async def main() -> int:
        nap = asyncio.ensure_future(_await(subject.nap(LIMIT)))
        await asyncio.sleep(0)
        answer = await subject.add(1)
        nap.cancel()
        return answer

    assert asyncio.run(main()) == 3


async def _await(call):
    return await call


def test_cancelling_the_task_cancels_the_call():
    with Subject.spawn() as handle:

        async def main() -> None:
            task = asyncio.create_task(_await(handle.nap(LIMIT)))
            while (await handle.seen())[0] == 0:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while (await handle.seen())[1] != ["cancelled"]:
                await asyncio.sleep(0.005)

        asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_an_exception_and_a_death_come_to_the_task():
    async def main() -> None:
        handle = await asyncio.to_thread(Subject.spawn)
        with pytest.raises(KeyError, match="late"):
            await handle.fail_later(KeyError("late"))
        with pytest.raises(framewire.DiedError):
            await handle.die()
        assert (await handle.ended()).code == -9

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_a_busy_coroutine_leaves_room_for_commands(subject):
    async def main() -> None:
        spin = asyncio.create_task(_await(subject.spin(0.3)))
        answers = 0
        while not spin.done():
            assert await subject.add(1) == 3
            answers += 1
        assert answers > 1
        assert await spin > 1

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_a_time_out_of_asyncio_is_one(subject):
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await subject.nap(LIMIT)

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_events_are_iterated():
    async def main() -> list[int]:
        async with await asyncio.to_thread(Subject.spawn) as handle:
            await handle.say(1, 2, 3)
            heard = []
            async for event in handle.events:
                heard.append(event)
                if len(heard) == 3:
                    break
            return heard

    assert asyncio.run(asyncio.wait_for(main(), LIMIT)) == [1, 2, 3]


def test_many_calls_at_once_need_one_descriptor_and_no_thread(subject):
    async def main() -> None:
        await subject.add(1)
        before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        calls = [asyncio.ensure_future(_await(subject.add(number))) for number in range(3000)]
        await asyncio.sleep(0)
        during = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        assert during[0] <= before[0] + 1
        assert during[1] <= before[1] + 1  # the one that tries again when a line is full
        assert await asyncio.gather(*calls) == [number + 2 for number in range(3000)]

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_each_loop_has_its_own(subject):
    for number in range(3):
        assert asyncio.run(_await(subject.add(number))) == number + 2


def test_a_child_that_sleeps_in_asyncio_is_asleep():
    """Timers of Python's loop don't make the child's own loop spin."""
    with Subject.spawn() as handle:
        handle.nap(0.3).detach()
        wait_until(lambda: handle.seen().wait(LIMIT)[0] == 1, "it has begun")

        def cpu() -> int:
            with open(f"/proc/{handle.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        handle.nap(1.0).detach()
        before, begun = cpu(), time.monotonic()
        while time.monotonic() - begun < 0.8:
            time.sleep(0.1)
        assert cpu() - before < 40  # of 80 ticks
