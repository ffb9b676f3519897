"""valkka-multiprocess' way, over Framewire: change the import, keep the program.

::

    from framewire.valkka import MessageProcess, MessageObject, MainContext, safe_select

The names, and what is sent between front and back end, are those of ``valkka.multiprocess``. Different are its defects:
a call whose handler fails, or whose process dies, raises in the front end, where it waited for ever; a large
asynchronous reply takes as long as copying it; descriptors beyond 1,023 are waited for like others. A back end is a new
interpreter and no fork: what ``__init__`` leaves in ``self`` is pickled, so open files and threads belong into
``preRun__``.
"""

from framewire.valkka.asynchronous import AsyncBackMessageProcess, exclog, exclogmsg
from framewire.valkka.context import MainContext
from framewire.valkka.message import BackendDied, MessageObject
from framewire.valkka.process import MessageProcess
from framewire.valkka.select import safe_select
from framewire.valkka.sync import EventGroup, NotEnoughEvents, SyncIndex

__all__ = [
    "AsyncBackMessageProcess",
    "BackendDied",
    "EventGroup",
    "MainContext",
    "MessageObject",
    "MessageProcess",
    "NotEnoughEvents",
    "SyncIndex",
    "exclog",
    "exclogmsg",
    "safe_select",
]
