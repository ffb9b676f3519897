"""As :mod:`multiprocessing.sharedctypes`, with Framewire's locks."""

from __future__ import annotations

from multiprocessing.sharedctypes import (
    RawArray,
    RawValue,
    Synchronized,
    SynchronizedArray,
    SynchronizedBase,
    SynchronizedString,
    copy,
)
from multiprocessing.sharedctypes import synchronized as _synchronized
from typing import Any

import framewire
from framewire.multiprocessing import get_context

__all__ = [
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "synchronized",
]


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:
    """Make a ctypes object in shared memory, with a lock."""
    return get_context().Value(typecode_or_type, *args, lock=lock)


def Array(typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True, ctx: Any = None) -> Any:
    """Make a ctypes array in shared memory, with a lock."""
    return get_context().Array(typecode_or_type, size_or_initializer, lock=lock)


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """Wrap a ctypes object in shared memory so that each access takes the lock, a new one if none is given."""
    lock = framewire.RLock() if lock is None else lock
    return _synchronized(obj, lock, get_context() if ctx is None else ctx)
