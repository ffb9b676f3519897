"""Queues between processes that may die."""

import asyncio
import queue
import select
import threading
import time

import numpy as np
import pytest
from peer import Peer, say

import framewire

LIMIT = 30


def test_objects_come_in_order_and_the_limits_are_the_standard_librarys():
    q = framewire.Queue(2)
    assert (q.maxsize, q.empty(), q.full()) == (2, True, False)
    q.put("a")
    q.put_nowait(("b", 2))
    assert (q.qsize(), q.full()) == (2, True)
    for put in (lambda: q.put_nowait(1), lambda: q.put(1, True, 0.01), lambda: q.put(1, False)):
        with pytest.raises(queue.Full):
            put()
    assert (q.get(), q.get_nowait()) == ("a", ("b", 2))
    for get in (q.get_nowait, lambda: q.get(timeout=0.01), lambda: q.get(False), lambda: q.lease(timeout=0)):
        with pytest.raises(queue.Empty):
            get()
    assert framewire.Queue().maxsize == 4096


def test_a_closed_queue_is_emptied_first():
    q = framewire.Queue(3)
    q.put(1)
    q.close()
    with pytest.raises(ValueError, match="closed"):
        q.put(2)
    assert q.get() == 1
    with pytest.raises(framewire.ClosedError):
        q.get()
    q.join_thread()
    assert "closed" in repr(q)


def test_a_closing_queue_wakes_who_waits():
    q = framewire.SimpleQueue()
    told = []

    def waits():
        try:
            q.get()
        except framewire.ClosedError:
            told.append(True)

    thread = threading.Thread(target=waits, daemon=True)
    thread.start()
    q.close()
    thread.join(LIMIT)
    assert told == [True]


def test_a_lease_is_acknowledged_by_its_block():
    q = framewire.Queue(5)
    q.put("poison")
    for delivery in (1, 2):
        lease = q.lease()
        assert (lease.item, lease.deliveries, q.leased, q.unfinished) == ("poison", delivery, 1, 1)
        with pytest.raises(ZeroDivisionError), lease:
            raise ZeroDivisionError
    with q.lease() as item:
        assert item == "poison"
    assert (q.qsize(), q.leased, q.unfinished) == (0, 0, 0)
    q.put(1)
    lease = q.lease()
    lease.done()
    with pytest.raises(framewire.Error, match="twice"):
        lease.done()
    q.put(2)
    q.lease().give_back()
    assert q.get() == 2


def test_what_nobody_can_digest_becomes_a_dead_letter():
    q = framewire.Queue(5, max_deliveries=2)
    q.put("poison")
    for _ in range(2):
        q.lease().give_back()
    assert (q.qsize(), q.dead_letters) == (0, 1)
    with q.take_dead_letter() as letter:
        assert letter == "poison"
    assert q.take_dead_letter() is None


def test_joining():
    q = framewire.JoinableQueue(5)
    q.put(1)
    with pytest.raises(TimeoutError, match="1 of its items"):
        q.join(0.01)
    assert q.get() == 1
    assert q.unfinished == 1
    q.task_done()
    q.join()
    with pytest.raises(ValueError, match="task_done"):
        q.task_done()


def take_and_hang(q, how):
    lease = q.lease() if how == "lease" else q.get()
    say("has it")
    time.sleep(LIMIT)
    return lease and None


@pytest.mark.parametrize("how", ["lease", "get"])
def test_the_task_of_a_killed_consumer_goes_to_the_next_one(how):
    q = framewire.JoinableQueue(5)
    q.put({"task": np.arange(100_000)})
    q.put("later")
    with Peer(take_and_hang, q, how) as peer:
        assert peer.says() == "has it"
        assert q.qsize() == 1
    assert q.qsize() == 2, "a count looks after the dead"
    lease = q.lease(timeout=LIMIT)
    assert lease.deliveries == 2
    np.testing.assert_array_equal(lease.item["task"], np.arange(100_000))
    lease.done()
    assert q.get() == "later"
    q.task_done()
    q.join(LIMIT)


def wait_for_one(q):
    say("waits")
    q.get()


def test_a_consumer_that_is_killed_while_it_waits_is_in_nobodys_way():
    q = framewire.Queue(5)
    with Peer(wait_for_one, q) as peer:
        assert peer.says() == "waits"
    q.put(1)
    assert q.get(timeout=LIMIT) == 1


def produce(q, n):
    for i in range(n):
        q.put((n, i))


def test_many_producers_lose_nothing():
    q = framewire.Queue(10)
    peers = [Peer(produce, q, n) for n in (500, 501)]
    got = [q.get(timeout=LIMIT) for _ in range(1001)]
    for peer in peers:
        peer.result()
    for n in (500, 501):
        assert [i for m, i in got if m == n] == list(range(n))


def test_large_arrays_are_not_copied_out_and_more_than_the_slots_wait():
    q = framewire.Queue(10, descriptor_slots=2)
    frame = np.full((1080, 1920, 3), 7, np.uint8)
    q.put(frame)
    q.put(frame)
    with pytest.raises(queue.Full):
        q.put(frame, timeout=0.01)
    got = q.get()
    assert got.base is not None
    assert got.shape == frame.shape
    assert (got == 7).all()
    got[0] = 1
    q.put(frame)
    with pytest.raises(framewire.ResourceError, match="descriptor_slots"):
        framewire.Queue(1, descriptor_slots=0).put(framewire.Lock())


def test_messages_for_other_languages():
    q = framewire.Queue(3, codec="msgpack")
    q.put({"a": [1, 2.5, None, b"x"]})
    assert q.get() == {"a": [1, 2.5, None, b"x"]}
    with pytest.raises(framewire.CodecError, match="object"):
        q.put(object())
    with pytest.raises(ValueError, match="json"):
        framewire.Queue(codec="json")


class Unwilling:
    def __reduce__(self):
        return (_refuse, ())


def _refuse():
    raise RuntimeError("not here")


def test_what_cannot_be_unpickled_here_goes_back():
    q = framewire.Queue(3)
    q.put(Unwilling())
    with pytest.raises(RuntimeError, match="not here"):
        q.lease()
    assert q.qsize() == 1


def test_select_tells_of_items():
    q = framewire.Queue(3)

    def readable(timeout=0):
        return select.select([q], [], [], timeout)[0] == [q]

    q.put(1)
    assert readable()
    q.put(2)
    assert q.get() == 1
    assert readable()
    assert q.get() == 2
    q.put(3)
    assert readable(LIMIT)


def test_tasks():
    q = framewire.Queue(1)

    async def main():
        getting = [asyncio.create_task(q.get_async()) for _ in range(4)]
        await asyncio.sleep(0)
        for task in getting[:2]:
            task.cancel()
        for i in range(2):
            await q.put_async(i)
        assert sorted(await asyncio.gather(*getting[2:])) == [0, 1]
        await q.put_async(2)
        waiting = asyncio.create_task(q.put_async(3))
        await asyncio.sleep(0.01)
        waiting.cancel()
        assert q.get() == 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(q.get_async(), 0.05)

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_cancelling_at_any_moment_loses_nothing():
    q = framewire.Queue(100)
    total = 200

    async def main():
        got = []
        for i in range(total):
            task = asyncio.create_task(q.get_async())
            for _ in range(i % 4):
                await asyncio.sleep(0)
            q.put(i)
            for _ in range(i % 5):
                await asyncio.sleep(0)
            task.cancel()
            try:
                got.append(await task)
            except asyncio.CancelledError:
                got.append(await q.get_async())
        assert got == list(range(total))

    asyncio.run(asyncio.wait_for(main(), LIMIT))
