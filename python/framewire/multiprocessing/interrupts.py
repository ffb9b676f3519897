"""Ctrl-C: it reaches children, though they aren't in the process group that the terminal sends it to.

Each child has a group of its own, by which its supervisor ends what the child has started. So a handler in the parent
forwards the signal, and then does what the handler did that was there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framewire.multiprocessing.popen import Popen

__all__ = ["are_ignored", "group", "is_over", "listen", "of_group"]

# Whatever process group it is.
_ANY = 0

_children: dict[int, weakref.ref[Popen]] = {}
_group: int | None = None


class _Forward:
    """Tells the children, and then whoever was told before."""

    def __init__(self, then: Callable[[int, FrameType | None], Any]) -> None:
        self.then = then

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        with contextlib.suppress(Exception):
            if _is_for_all():
                _tell()
        return self.then(number, frame)


def listen(child: Popen) -> None:
    """Has a child hear what this process hears; again whenever it is waited for, since handlers are replaced."""
    if id(child) not in _children:
        key = id(child)
        _children[key] = weakref.ref(child, lambda _: _children.pop(key, None))
    if threading.current_thread() is not threading.main_thread():
        return  # only there handlers can be set
    present = signal.getsignal(signal.SIGINT)
    if callable(present) and not isinstance(present, _Forward):
        signal.signal(signal.SIGINT, _Forward(present))


def is_over(child: Popen) -> None:
    """Have a child hear nothing more; with the last one the handler goes, for whoever looks whether there is one."""
    _children.pop(id(child), None)
    if _children or threading.current_thread() is not threading.main_thread():
        return
    present = signal.getsignal(signal.SIGINT)
    if isinstance(present, _Forward):
        signal.signal(signal.SIGINT, present.then)


def are_ignored() -> bool:
    """Whether this process ignores it: then its children do, as what is started by `exec`."""
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def group() -> int:
    """Give the process group that the terminal sends it to, of which the first process is: for the children."""
    if _group is not None:
        return _group
    # A notebook's server sends it to the kernel's group, and there is no terminal.
    return _ANY if "ipykernel" in sys.modules else os.getpgrp()


def of_group(number: int) -> None:
    """Be of that group, as far as this is concerned: in a child."""
    global _group
    _group = number


def _is_for_all() -> bool:
    """Whether it is a terminal's, as far as one can tell; another process's `kill` is for one process alone."""
    if group() == _ANY:
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == group()
    finally:
        os.close(terminal)


def _tell() -> None:
    for reference in list(_children.values()):
        child = reference()
        if child is not None and child.returncode is None:
            with contextlib.suppress(Exception):  # it is over, or another process's
                child.interrupt()
