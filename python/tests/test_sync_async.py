"""Locks, semaphores and leases in tasks: cancelling one never costs what it waited for."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from peer import Peer, say

import framewire

LIMIT = 30
ROUNDS = 150


def test_a_lock_is_one_tasks_at_a_time():
    lock, inside, most = framewire.Lock(), 0, 0

    async def work():
        nonlocal inside, most
        async with lock as had:
            assert had is True
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    async def all_of_them():
        await asyncio.gather(*(work() for _ in range(20)))
        assert await lock.acquire_async() is True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await lock.acquire_async()
        threading.Timer(0.02, lock.release).start()
        async with asyncio.timeout(LIMIT):
            assert await lock.acquire_async()
        lock.release()

    asyncio.run(all_of_them())
    assert most == 1
    assert not lock.locked()


def test_a_semaphore_lets_so_many_tasks_in():
    for semaphore in (framewire.Semaphore(3), framewire.BoundedSemaphore(3)):
        inside, most = 0, 0

        async def work(semaphore=semaphore):
            nonlocal inside, most
            async with semaphore:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1

        async def all_of_them(work=work):
            await asyncio.gather(*(work() for _ in range(20)))

        asyncio.run(all_of_them())
        assert most == 3
        assert semaphore.get_value() == 3


@pytest.mark.parametrize("kind", ["lock", "semaphore", "lease", "get"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_cancelling_a_task_never_loses_what_it_waited_for(kind, turns):
    """Each round it becomes free just as the task is cancelled: either the task has it, or it is there for others."""
    lock, semaphore, queue = framewire.Lock(), framewire.Semaphore(0), framewire.Queue(4)
    wait, give, take = {
        "lock": (lock.acquire_async, lock.release, lambda: lock.acquire(timeout=LIMIT)),
        "semaphore": (semaphore.acquire_async, semaphore.release, lambda: semaphore.acquire(timeout=LIMIT)),
        "lease": (queue.lease_async, lambda: queue.put(1), lambda: queue.get(timeout=LIMIT) == 1),
        "get": (queue.get_async, lambda: queue.put(1), lambda: queue.get(timeout=LIMIT) == 1),
    }[kind]
    had = 0

    async def race():
        nonlocal had
        for round in range(ROUNDS):
            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            if round % 2:
                giver = threading.Thread(target=give)
                giver.start()
            else:
                giver = None
                give()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            got = None
            with contextlib.suppress(asyncio.CancelledError):
                got = await task
            if giver is not None:
                giver.join(LIMIT)
            if got is None:
                assert take()
                if kind == "lease":
                    continue
            else:
                had += 1
                if kind == "lease":
                    assert got.item == 1
                    got.done()

    if kind == "lock":
        assert lock.acquire()
    asyncio.run(race())
    if kind == "lock":
        lock.release()
    assert not lock.locked()
    assert semaphore.get_value() == 0
    assert queue.qsize() == queue.leased == 0


def take_and_say(lock):
    lock.acquire()
    say("had")
    threading.Event().wait(LIMIT)


def test_a_task_gets_the_lock_of_a_killed_owner():
    async def have(lock):
        async with asyncio.timeout(LIMIT):
            assert await lock.acquire_async()
            assert lock.recovered
            lock.release()

    async def enter(lock):
        async with asyncio.timeout(LIMIT):
            async with lock:
                pytest.fail("it isn't in good order")

    async def have_in_disorder(lock):
        async with asyncio.timeout(LIMIT):
            await lock.acquire_async()

    for use, robust in [(have, "recover"), (enter, "raise"), (have_in_disorder, "raise")]:
        lock = framewire.Lock(robust=robust)
        with Peer(take_and_say, lock) as peer:
            assert peer.says() == "had"
            killer = threading.Timer(0.05, peer.kill)
            killer.start()
            if robust == "recover":
                asyncio.run(use(lock))
            else:
                with pytest.raises(framewire.OwnerDiedError):
                    asyncio.run(use(lock))
                assert lock.locked() == (use is have_in_disorder), "only a with gives it back"
            killer.join(LIMIT)
        if use is have_in_disorder:
            lock.mark_consistent()
            lock.release()
        assert not lock.locked()


def test_a_lease_in_a_task_is_acknowledged_at_the_end_of_its_block():
    queue = framewire.Queue(4)

    async def work():
        queue.put("first")
        with await queue.lease_async() as item:
            assert (item, queue.leased) == ("first", 1)
        queue.put("again")
        with pytest.raises(RuntimeError), await queue.lease_async():
            raise RuntimeError
        lease = await queue.lease_async()
        assert (lease.item, lease.deliveries) == ("again", 2)
        lease.done()
        waiting = asyncio.ensure_future(queue.lease_async())
        await asyncio.sleep(0.01)
        queue.close()
        with pytest.raises(framewire.ClosedError):
            await waiting

    asyncio.run(work())
    assert (queue.leased, queue.unfinished) == (0, 0)


def test_an_rlock_cannot_tell_tasks_apart_and_has_none_of_it():
    assert not hasattr(framewire.RLock(), "acquire_async")
    assert not hasattr(framewire.RLock(), "__aenter__")
