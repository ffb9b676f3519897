"""The standard library's :mod:`multiprocessing`, over Framewire: change the import, keep the program.

::

    from framewire import multiprocessing as mp

What has the same name means the same. What is different is what hangs, leaks or loses there: a killed process gives
back its locks and its queue's items (a manager's are the standard library's, and stay locked), a pool loses only the
task that its worker was at, and no child outlives its parent. The tables in ``docs/design/python-multiprocessing.md``
say what passes of CPython's own tests, what differs, and why.

Processes are made by starting the interpreter anew, as with the start method *spawn*: the main module must be
importable, so guard what starts processes by ``if __name__ == "__main__":``. With *forkserver* they are copies of an
interpreter that has imported what ``set_forkserver_preload`` says.
"""

from multiprocessing import process, reduction, util
from multiprocessing.context import AuthenticationError, BufferTooShort, ProcessError, TimeoutError

from framewire.multiprocessing import connection, shared_memory
from framewire.multiprocessing.context import Context, Process

_context = Context()

Array = _context.Array
Barrier = _context.Barrier
BoundedSemaphore = _context.BoundedSemaphore
Condition = _context.Condition
Event = _context.Event
JoinableQueue = _context.JoinableQueue
Lock = _context.Lock
Manager = _context.Manager
Pipe = _context.Pipe
Pool = _context.Pool
Queue = _context.Queue
RLock = _context.RLock
RawArray = _context.RawArray
RawValue = _context.RawValue
Semaphore = _context.Semaphore
SimpleQueue = _context.SimpleQueue
Value = _context.Value
active_children = _context.active_children
allow_connection_pickling = _context.allow_connection_pickling
cpu_count = _context.cpu_count
current_process = _context.current_process
freeze_support = _context.freeze_support
get_all_start_methods = _context.get_all_start_methods
get_context = _context.get_context
get_logger = _context.get_logger
get_start_method = _context.get_start_method
log_to_stderr = _context.log_to_stderr
parent_process = _context.parent_process
set_executable = _context.set_executable
set_forkserver_preload = _context.set_forkserver_preload
set_start_method = _context.set_start_method

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "connection",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "process",
    "reduction",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    "shared_memory",
    "util",
]
