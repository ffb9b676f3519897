"""As :mod:`multiprocessing.queues`: the classes, for annotations and `isinstance`."""

from queue import Empty, Full

from framewire import JoinableQueue, Queue, SimpleQueue

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]
