"""valkka-multiprocess' way, and the calls that hang there."""

import os
import time

import multiprocessing_subjects as subjects
import pytest

import framewire
from framewire import valkka

LIMIT = 30


@pytest.fixture
def worker():
    worker = subjects.Worker(valkka.EventGroup(3))
    worker.go()
    yield worker
    worker.kill()
    worker.join(LIMIT)


def test_synchronised_and_returning_calls(worker):
    worker.work(seconds=0.05)
    worker.work()
    assert worker.counted() == 2
    assert len(worker.group.index) == 3
    worker.stop()
    assert worker.exitcode == 0


def test_a_handler_that_fails_raises_where_it_was_asked(worker):
    with pytest.raises(LookupError, match="no such thing") as raised:
        worker.ask("fail")
    assert any("c__fail" in note for note in raised.value.__notes__)
    worker.sendMessageToBack(valkka.MessageObject("fail"))
    with pytest.raises(LookupError):
        worker.returnFromBack(timeout=LIMIT)
    with pytest.raises(AttributeError, match="c__nothing"):
        worker.ask("nothing")
    assert worker.counted() == 0  # it goes on, and its answers are to the right questions


def test_a_process_that_dies_ends_the_wait(worker):
    begun = time.monotonic()
    with pytest.raises(valkka.BackendDied):
        worker.ask("die")
    with pytest.raises(valkka.BackendDied):
        worker.counted()
    assert time.monotonic() - begun < LIMIT
    worker.stop()


def test_a_large_asynchronous_reply():
    process = subjects.AsyncWorker()
    process.go()
    try:
        front = process.getPipe()
        assert valkka.safe_select([front], [], [], timeout=LIMIT)[0] == [front]
        assert front.recv()() == "ready"
        process.sendMessageToBack(valkka.MessageObject("large", size=20_000_000))
        assert len(front.recv()["data"]) == 20_000_000
        process.stop()
        assert front.recv() is None
    finally:
        process.kill()
        process.join(LIMIT)


def test_selecting_beyond_descriptor_1023():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    reader, writer = os.pipe()
    high = 1500
    os.dup2(reader, high)
    try:
        assert valkka.safe_select([high], [], [], timeout=0) == ([], [], [])
        os.write(writer, b"!")
        assert valkka.safe_select([high], [writer], [], timeout=LIMIT) == ([high], [writer], [])
    finally:
        for descriptor in (reader, writer, high):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_all_events_reserved_is_an_error():
    group = valkka.EventGroup(1)
    index, event = group.reserve()
    with pytest.raises(valkka.NotEnoughEvents):
        group.reserve()
    group.release(event)
    assert group.fromIndex(index) is event


@pytest.mark.parametrize("kind", [subjects.Echoes, subjects.AsyncEchoes])
def test_an_answer_that_comes_too_late_is_no_answer_to_the_next(kind):
    echoes = kind()
    echoes.go()
    try:
        echoes.sendMessageToBack(valkka.MessageObject("echo", number=0))
        assert echoes.returnFromBack(timeout=LIMIT) == 0
        echoes.sendMessageToBack(valkka.MessageObject("echo", number=1, after=1.0))
        with pytest.raises(TimeoutError):
            echoes.returnFromBack(timeout=0.05)
        echoes.sendMessageToBack(valkka.MessageObject("echo", number=2, after=1.0))
        assert echoes.returnFromBack(timeout=LIMIT) == 2
        # Who asks again for the same gets it.
        echoes.sendMessageToBack(valkka.MessageObject("echo", number=3, after=1.0))
        with pytest.raises(TimeoutError):
            echoes.returnFromBack(timeout=0.05)
        assert echoes.returnFromBack(timeout=LIMIT) == 3
        echoes.stop()
    finally:
        echoes.kill()
        echoes.join(LIMIT)


def test_a_process_that_was_not_started_is_sent_nothing():
    worker = subjects.Worker(valkka.EventGroup(1))
    with pytest.raises(framewire.NotRunningError, match="start"):
        worker.work()
    with pytest.raises(framewire.NotRunningError, match="start"):
        worker.sendMessageToBack(None)
    assert len(worker.group.index) == 1
    worker.requestStop()
