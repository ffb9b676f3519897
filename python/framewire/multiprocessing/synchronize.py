"""As :mod:`multiprocessing.synchronize`: the classes, for annotations and `isinstance`."""

from framewire import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]
