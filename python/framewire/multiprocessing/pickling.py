"""Lets what the standard library can send only while a process is being spawned go in any message of Framewire's.

Pipes, sockets, and ctypes in shared memory are pickled there with a descriptor's number, which means nothing in another
process. Here the descriptor goes along.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from multiprocessing import context
from multiprocessing.reduction import ForkingPickler
from typing import Any, cast

from framewire import _by_value, _core

__all__ = ["Count", "counting", "install"]


class _Courier:
    """What the standard library takes for a process being spawned, while a message is made."""

    @staticmethod
    def duplicate_for_child(fd: int) -> _core.Descriptor:
        return _core.Descriptor(fd)

    @staticmethod
    def DupFd(descriptor: _core.Descriptor) -> _core.Descriptor:
        return descriptor  # it has `detach`, which is what is asked of it there


class Count(threading.local):
    """How many objects of Framewire's, which have descriptors, are in a message."""

    shared: int | None = None


_count = Count()


class _Counting(ForkingPickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj).__module__ == "framewire" and _count.shared is not None:
            _count.shared += 1
        return NotImplemented


@contextlib.contextmanager
def counting() -> Iterator[Count]:
    """Count those that this thread pickles meanwhile."""
    _count.shared = 0
    try:
        yield _count
    finally:
        _count.shared = None


def _dumps(thing: Any, *, protocol: int | None = None, buffer_callback: Callable[[Any], Any] | None = None) -> bytes:
    before = context.get_spawning_popen()
    context.set_spawning_popen(cast(Any, _Courier))
    try:
        usual = ForkingPickler if _count.shared is None else _Counting
        return _by_value.dumps(thing, usual, protocol, buffer_callback)
    finally:
        context.set_spawning_popen(before)


def install() -> None:
    """Pickle messages so, from now on."""
    _core.pickle_by(_dumps)
