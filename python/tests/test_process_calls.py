from __future__ import annotations

import asyncio
import gc
import os
import pickle
import threading
import time

import numpy as np
import pytest
from process_subjects import LIMIT, RefusesToLoad, Subject, wait_until

import framewire


@pytest.fixture(scope="module")
def subject():
    with Subject.spawn(base=40) as handle:
        yield handle


def test_a_call_is_answered(subject):
    assert subject.add(1, other=1).wait(LIMIT) == 42
    assert subject.where().wait(LIMIT) == subject.pid != os.getpid()


def test_nothing_is_asked_until_it_is_waited_for(subject):
    call = subject.sleep(LIMIT)
    assert "nothing happens" in repr(call)
    del call
    assert subject.add(0, 0).wait(LIMIT) == 40


def test_a_typed_call_is_the_same(subject):
    assert Subject.add(subject, 1, other=1).wait(LIMIT) == 42
    assert Subject.add.__doc__ == "Adds."


def test_an_unknown_command_is_told_here(subject):
    with pytest.raises(AttributeError, match=r"no command 'ad'; it has add, "):
        _ = subject.ad


def test_an_exception_comes_as_itself_with_its_traceback(subject):
    with pytest.raises(KeyError, match="what") as caught:
        subject.fail(KeyError("what")).wait(LIMIT)
    trace = str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, framewire.RemoteTraceback)
    assert "process_subjects.py" in trace
    assert "raise error" in trace
    assert subject.add(0, 0).wait(LIMIT) == 40


def test_arguments_that_do_not_fit_are_that_calls_error(subject):
    with pytest.raises(TypeError, match="unexpected keyword argument 'three'"):
        subject.add(1, three=3).wait(LIMIT)


def test_what_cannot_travel_is_that_calls_error_alone(subject):
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        subject.echo(lambda: None)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        subject.unpicklable_answer().wait(LIMIT)
    with pytest.raises(LookupError, match="not in this process"):
        subject.echo(RefusesToLoad()).wait(LIMIT)
    with pytest.raises(framewire.HandlerError, match="Unpicklable: 1 and 2") as caught:
        subject.fail_unpicklably().wait(LIMIT)
    assert "process_subjects.py" in (caught.value.trace or "")
    assert subject.add(0, 0).wait(LIMIT) == 40


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_what_is_no_ordinary_exception_does_not_go_off_here(subject, error):
    with pytest.raises(framewire.HandlerError, match=type(error).__name__):
        subject.fail(error).wait(LIMIT)


def test_large_arrays_arrive_as_they_were(subject):
    image = np.arange(1920 * 1080 * 3, dtype=np.uint8).reshape(1080, 1920, 3)
    back = subject.echo(image).wait(LIMIT)
    assert back.shape == image.shape
    assert np.array_equal(back, image)


def test_a_time_out_cancels_the_call_and_the_process_goes_on(subject):
    end, before = time.monotonic() + LIMIT, len(subject.seen().wait(LIMIT)[1])
    while len(order := subject.seen().wait(LIMIT)[1]) == before:
        assert time.monotonic() < end  # a call that hadn't begun within its time is never begun
        with pytest.raises(framewire.CallTimeoutError) as caught:
            subject.wait_for_cancel().wait(0.05)
        assert isinstance(caught.value, TimeoutError)
    assert order[-1] == "cancelled"


def test_a_call_of_which_nobody_wants_to_know(subject):
    subject.say("heard").detach()
    assert subject.events.next(LIMIT) == "heard"


def test_a_killed_process_ends_the_calls_in_flight():
    handle = Subject.spawn()
    killer = threading.Timer(0.2, handle.kill)
    killer.start()
    with pytest.raises(framewire.DiedError) as caught:
        handle.sleep(LIMIT).wait()
    assert caught.value.how == framewire.Exit("signal", "killed by SIGKILL", -9)
    assert isinstance(caught.value, ConnectionError)
    assert handle.join(LIMIT) == caught.value.how
    with pytest.raises(framewire.DiedError):
        handle.add(1).wait(LIMIT)


def test_calls_from_many_threads(subject):
    answers: list[int] = []

    def ask(number: int) -> None:
        answers.extend(subject.add(number, step).wait(LIMIT) for step in range(50))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert sorted(answers) == sorted(40 + number + step for number in range(8) for step in range(50))


def test_a_wait_lets_other_threads_run(subject):
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    subject.sleep(0.5).wait(LIMIT)
    done.set()
    thread.join()
    assert ticks > 10


def test_events_in_order_and_their_end():
    with Subject.spawn() as handle:
        handle.say(1, "two", {"three": 3}).wait(LIMIT)
        assert [handle.events.next(LIMIT) for _ in range(3)] == [1, "two", {"three": 3}]
        with pytest.raises(framewire.CallTimeoutError):
            handle.events.next(0.01)
        heard: list[int] = []
        handle.say(4, 5).wait(LIMIT)
    heard = list(handle.events)
    assert heard == [4, 5]
    with pytest.raises(StopIteration):
        handle.events.next(LIMIT)


def test_unread_events_go_by_their_policy():
    with Subject.spawn(overflow="drop_oldest", unread_events=2) as handle:
        handle.say(1, 2, 3, 4).wait(LIMIT)
        wait_until(lambda: handle.events.dropped == 2, "two are dropped")
        assert [handle.events.next(LIMIT) for _ in range(2)] == [3, 4]
    with pytest.raises(ValueError, match='no overflow "drop"'):
        Subject.spawn(overflow="drop")


def test_a_callback_hears_events(subject):
    heard: list[object] = []
    with Subject.spawn() as handle:
        handle.on_event(heard.append)
        handle.say("a", "b").wait(LIMIT)
        wait_until(lambda: heard == ["a", "b"], "both are heard")


def test_a_watched_descriptor_has_its_callback_called():
    with Subject.spawn() as handle:
        handle.watch_a_socket().wait(LIMIT)
        handle.write_to_the_socket(b"one").wait(LIMIT)
        assert handle.events.next(LIMIT) == b"one"
        handle.write_to_the_socket(b"two").wait(LIMIT)
        with pytest.raises(framewire.CallTimeoutError):
            handle.events.next(0.05)
        with pytest.raises(OSError, match="could not watch descriptor 9999"):
            handle.watch_a_number(9999).wait(LIMIT)


def test_the_last_handle_takes_the_process_along():
    handle = Subject.spawn()
    pid = handle.pid
    del handle
    gc.collect()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone")


def test_a_handle_stays_where_it_is(subject):
    with pytest.raises(TypeError, match="belongs to the process that spawned it"):
        pickle.dumps(subject)
