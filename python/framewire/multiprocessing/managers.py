"""As :mod:`multiprocessing.managers`: its server is a process of Framewire's, and so are its pools."""

from __future__ import annotations

from multiprocessing import managers as standard
from multiprocessing.managers import (
    BaseProxy,
    DictProxy,
    ListProxy,
    Namespace,
    RemoteError,
    Token,
    ValueProxy,
)
from typing import Any

from framewire.multiprocessing import get_context
from framewire.multiprocessing.pool import Pool

__all__ = [
    "AcquirerProxy",
    "ArrayProxy",
    "BarrierProxy",
    "BaseManager",
    "BaseProxy",
    "ConditionProxy",
    "DictProxy",
    "EventProxy",
    "IteratorProxy",
    "ListProxy",
    "MakeProxyType",
    "Namespace",
    "NamespaceProxy",
    "PoolProxy",
    "RemoteError",
    "SharedMemoryManager",
    "SyncManager",
    "Token",
    "ValueProxy",
]


# The type checker's stubs lack these.
AcquirerProxy: Any = vars(standard)["AcquirerProxy"]
ArrayProxy: Any = vars(standard)["ArrayProxy"]
BarrierProxy: Any = vars(standard)["BarrierProxy"]
ConditionProxy: Any = vars(standard)["ConditionProxy"]
EventProxy: Any = vars(standard)["EventProxy"]
IteratorProxy: Any = vars(standard)["IteratorProxy"]
MakeProxyType: Any = vars(standard)["MakeProxyType"]
NamespaceProxy: Any = vars(standard)["NamespaceProxy"]
PoolProxy: Any = vars(standard)["PoolProxy"]


class BaseManager(standard.BaseManager):
    """Objects in a process of their own, and proxies of them. That process doesn't outlive the one that started it."""

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: Any = None,
        **more: Any,
    ) -> None:
        """Make one that is to be started, or connected."""
        super().__init__(address, authkey, serializer, get_context() if ctx is None else ctx, **more)


class SyncManager(BaseManager, standard.SyncManager):
    """What `Manager()` gives. Locks, queues and the like are objects of the server's threads, as there."""


class SharedMemoryManager(BaseManager, standard.SharedMemoryManager):
    """Blocks with names that go when it does."""


SyncManager.register("Pool", Pool, PoolProxy)
