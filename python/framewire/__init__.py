"""Video and data streams through isolated processes, any of which may be killed."""

from framewire._core import __version__
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
    TimeoutError,  # noqa: A004
)
from framewire.exit import Exit
from framewire.pool import AsyncResult, Pool
from framewire.process import Call, Context, Events, Handle, Process, Restart, System, command, default_system, spawn_program

__all__ = [
    "AsyncResult",
    "Call",
    "CallError",
    "CallTimeoutError",
    "ClosedError",
    "CodecError",
    "Context",
    "DiedError",
    "Error",
    "Events",
    "Exit",
    "ForkedError",
    "Handle",
    "HandlerError",
    "LeasesError",
    "NotRunningError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PassingError",
    "Pool",
    "PoolError",
    "PoolFailedError",
    "PoolNotRunningError",
    "Process",
    "RemoteTraceback",
    "ResourceError",
    "Restart",
    "SpawnError",
    "StartError",
    "System",
    "TimeoutError",
    "WorkerLostError",
    "__version__",
    "command",
    "default_system",
    "spawn_program",
]
