"""What goes wrong, as exceptions. Each is also the builtin that a user of the standard library would catch."""

import builtins

__all__ = [
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
]


class Error(Exception):
    """The base of all of them. The text says what was tried, on what, why it failed and what to do."""


class ForkedError(Error, RuntimeError):
    """An object of the process that this one was forked from was used.

    Shared memory would let two processes act as one. Start processes by `framewire.Process` (or the `spawn` start
    method), or make or receive the object after the fork.
    """


class ClosedError(Error, ValueError):
    """The other side is gone, or the queue is closed: nothing will come any more."""


class OwnerDiedError(Error):
    """Whoever held a lock died holding it, and the lock was made with `robust="raise"`. The lock *is* held now.

    Put what it protects in order, call `mark_consistent()`, and release it.
    """


class TimeoutError(Error, builtins.TimeoutError):
    """The limit has passed, where the standard library has no own class or return value for that."""


class LeasesError(Error, RuntimeError):
    """A reader holds as many frames as it asked for, so it can't take another one."""


class PassingError(Error, RuntimeError):
    """The object can only be pickled into a message between processes (a queue, a call, the start of a process)."""


class CodecError(Error, ValueError):
    """A value can't be a message, or a message isn't a value."""


class ResourceError(Error, OSError):
    """The system refused: usually descriptors, threads or processes have run out."""


class OutOfMemoryError(Error, MemoryError):
    """There is too little shared memory for what was asked. The text has the numbers."""
