"""Video and data streams through isolated processes, any of which may be killed."""

import sys
from typing import Any

from framewire._core import __version__

# What a child's main module defines is of this module there, and comes back by that name: in answers, exceptions,
# events, queues. `multiprocessing` makes the same alias.
if "__main__" in sys.modules:
    _main = sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
    if getattr(_main, "__spec__", None) is None and str(getattr(_main, "__file__", "<")).startswith("<"):
        # A prompt, a notebook, `-c`, standard input: no process can import what is defined there.
        from framewire import _by_value

        _by_value.install()
    del _main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from framewire._core import (
        Barrier,
        BoundedSemaphore,
        Condition,
        Event,
        Frame,
        JoinableQueue,
        Lease,
        Lock,
        Queue,
        Reader,
        RLock,
        RWLock,
        Semaphore,
        SimpleQueue,
    )
    from framewire._failures import (
        CallError,
        CallTimeoutError,
        DiedError,
        HandlerError,
        NotRunningError,
        PoolError,
        PoolFailedError,
        PoolNotRunningError,
        RemoteTraceback,
        SpawnError,
        StartError,
        WorkerLostError,
    )
    from framewire._spawning import Restart
    from framewire.blocks import Box, PictureInfo, block
    from framewire.commands import Call, command
    from framewire.errors import (
        ClosedError,
        CodecError,
        Error,
        ForkedError,
        LeasesError,
        OutOfMemoryError,
        OwnerDiedError,
        PassingError,
        ResourceError,
        TimeoutError,
    )
    from framewire.exit import Exit
    from framewire.handle import Events, Handle, Starting
    from framewire.namespace import Dict, Namespace
    from framewire.pool import AsyncResult, Pool
    from framewire.process import Context, Process
    from framewire.ring import Writer
    from framewire.shared import Array, RawArray, RawValue, SharedMemory, Value
    from framewire.system import System, default_system, spawn_program

__all__ = [
    "Array",
    "AsyncResult",
    "Barrier",
    "BoundedSemaphore",
    "Box",
    "Call",
    "CallError",
    "CallTimeoutError",
    "ClosedError",
    "CodecError",
    "Condition",
    "Context",
    "Dict",
    "DiedError",
    "Error",
    "Event",
    "Events",
    "Exit",
    "ForkedError",
    "Frame",
    "Handle",
    "HandlerError",
    "JoinableQueue",
    "Lease",
    "LeasesError",
    "Lock",
    "Namespace",
    "NotRunningError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PassingError",
    "PictureInfo",
    "Pool",
    "PoolError",
    "PoolFailedError",
    "PoolNotRunningError",
    "Process",
    "Queue",
    "RLock",
    "RWLock",
    "RawArray",
    "RawValue",
    "Reader",
    "RemoteTraceback",
    "ResourceError",
    "Restart",
    "Semaphore",
    "SharedMemory",
    "SimpleQueue",
    "SpawnError",
    "StartError",
    "Starting",
    "System",
    "TimeoutError",
    "Value",
    "WorkerLostError",
    "Writer",
    "__version__",
    "block",
    "command",
    "default_system",
    "spawn_program",
]

# Each module is imported when something of it is asked for: a child has no use for most, and starts sooner.
_WHERE = {
    "framewire._core": (
        "Barrier",
        "BoundedSemaphore",
        "Condition",
        "Event",
        "Frame",
        "JoinableQueue",
        "Lease",
        "Lock",
        "Queue",
        "Reader",
        "RLock",
        "RWLock",
        "Semaphore",
        "SimpleQueue",
    ),
    "framewire._failures": (
        "CallError",
        "CallTimeoutError",
        "DiedError",
        "HandlerError",
        "NotRunningError",
        "PoolError",
        "PoolFailedError",
        "PoolNotRunningError",
        "RemoteTraceback",
        "SpawnError",
        "StartError",
        "WorkerLostError",
    ),
    "framewire._spawning": ("Restart",),
    "framewire.blocks": (
        "Box",
        "PictureInfo",
        "block",
    ),
    "framewire.commands": (
        "Call",
        "command",
    ),
    "framewire.errors": (
        "ClosedError",
        "CodecError",
        "Error",
        "ForkedError",
        "LeasesError",
        "OutOfMemoryError",
        "OwnerDiedError",
        "PassingError",
        "ResourceError",
        "TimeoutError",
    ),
    "framewire.exit": ("Exit",),
    "framewire.handle": (
        "Events",
        "Handle",
        "Starting",
    ),
    "framewire.namespace": (
        "Dict",
        "Namespace",
    ),
    "framewire.pool": (
        "AsyncResult",
        "Pool",
    ),
    "framewire.process": (
        "Context",
        "Process",
    ),
    "framewire.ring": ("Writer",),
    "framewire.shared": (
        "Array",
        "RawArray",
        "RawValue",
        "SharedMemory",
        "Value",
    ),
    "framewire.system": (
        "System",
        "default_system",
        "spawn_program",
    ),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
