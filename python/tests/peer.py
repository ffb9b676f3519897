"""Another process, which gets what it works with in messages. Until `framewire.Process` is there.

A peer runs a function of a test module: `peer(function, *args)`. What it returns or raises comes back by `result()`.
"""

import importlib
import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path

from framewire import _core

LIMIT = 60


class Peer:
    def __init__(self, function, *args):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=Path(__file__).parent)
        theirs.close()
        ours.settimeout(LIMIT)
        self.socket = ours
        send(ours, (function.__module__, function.__name__, args))

    @property
    def pid(self):
        return self.process.pid

    def says(self):
        """What it said by `say`."""
        return receive(self.socket)

    def tell(self, what):
        send(self.socket, what)

    def result(self):
        kind, what = receive(self.socket)
        assert self.process.wait(LIMIT) == 0
        assert kind == "returned", what
        return what

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.socket.close()


def send(to, what):
    payload, descriptors = _core._dumps(what, False)
    socket.send_fds(to, [payload], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def receive(of):
    payload, descriptors, _, _ = socket.recv_fds(of, 1 << 17, 250)
    if not payload:
        raise EOFError("the peer is gone")
    return _core._loads(payload, descriptors)


_parent = None


def say(what):
    """For the function in the peer: the parent has it by `says`."""
    send(_parent, what)


def hear():
    return receive(_parent)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules["peer"] = sys.modules["__main__"]
    _parent = socket.socket(fileno=int(sys.argv[1]))
    module, name, args = receive(_parent)
    try:
        returned = ("returned", getattr(importlib.import_module(module), name)(*args))
    except BaseException:
        returned = ("raised", traceback.format_exc())
    send(_parent, returned)
