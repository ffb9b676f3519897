"""What all classes that processes share have in common."""

from __future__ import annotations

import gc
import os
import weakref

import pytest

import framewire

MAKE = {
    "Barrier": lambda kind: kind(2),
    **{
        name: lambda kind: kind()
        for name in (
            "BoundedSemaphore",
            "Condition",
            "Event",
            "JoinableQueue",
            "Lock",
            "Queue",
            "RLock",
            "RWLock",
            "Semaphore",
            "SimpleQueue",
        )
    },
}


@pytest.mark.parametrize("name", MAKE)
def test_they_are_objects_as_others(name):
    thing = MAKE[name](getattr(framewire, name))
    thing.note = "my own"
    assert thing.note == "my own"
    reference = weakref.ref(thing)
    assert reference() is thing
    del thing
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("name", MAKE)
def test_one_of_a_subclass_does_not_arrive_as_something_else(name):
    base = getattr(framewire, name)
    mine = MAKE[name](type("Mine", (base,), {}))
    queue = framewire.Queue()
    with pytest.raises(framewire.PassingError, match=f"arrive as a framewire.{name}.*attribute"):
        queue.put(mine)
    queue.put(MAKE[name](base))
    assert type(queue.get(timeout=30)) is base


def test_namespaces_and_dicts_can_be_referred_to():
    for thing in (framewire.Namespace(), framewire.Dict()):
        assert weakref.ref(thing)() is thing


def test_a_queues_items_can_be_annotated():
    assert framewire.Queue[int].__origin__ is framewire.Queue
    assert framewire.JoinableQueue[str].__args__ == (str,)


def test_in_a_forked_child_they_can_be_shown():
    shown = [framewire.Queue(), framewire.Namespace(a=1), framewire.Dict(a=1)]
    shown[0].put(1)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if all("of another process" in repr(thing) for thing in shown) else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_lease_ends_once():
    queue = framewire.JoinableQueue()
    queue.put(1)
    lease = queue.lease(timeout=30)
    lease.done()
    with pytest.raises(framewire.Error, match="twice, or after it was acknowledged"):
        lease.give_back()
