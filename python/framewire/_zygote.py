"""An interpreter that copies itself: it has imported what its copies need. Started by framewire and not by hand."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Run by its path: the package may be on no path of this interpreter's own.
    _folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if _folder not in sys.path:
        sys.path.append(_folder)

import contextlib
import gc
import importlib
import json
import random
import time
import warnings
from typing import Any

from framewire import _preparation, worker
from framewire._failures import SpawnError

__all__ = ["Zygote", "main"]


# In seconds. One that was told to end may have to wait for a processor, and if one stays there is no zygote, for good.
_THREADS_END_WITHIN = 1.0


class Zygote:
    """What `_core` calls: once before the first copy, and in each copy."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given

    def load(self) -> None:
        """Import the modules, and have no thread but this one afterwards."""
        # What each copy needs: for itself, and to import the main module.
        for module in ("framewire.process", "pkgutil", "inspect"):
            importlib.import_module(module)
        sys.path[:] = self._given["path"]
        gc.disable()  # what it would free are holes in pages that all copies share
        culprits: list[str] = []
        for module in self._given["modules"]:
            before = _threads()
            try:
                if module == "__main__":
                    sys.argv[:] = self._given["argv"]
                    _preparation.import_main(self._given["main"])
                else:
                    importlib.import_module(module)
            except Exception as error:
                raise SpawnError(f"preload {module!r}: {type(error).__name__}: {error}") from error
            if _threads() > before:
                culprits.append(repr(module))
        gc.freeze()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()  # what is left in it would be said by every copy
        if _threads() > 1:
            _end_threads()
        # One that was just joined may still be on its way out.
        end = time.monotonic() + _THREADS_END_WITHIN
        while (left := _threads()) > 1 and time.monotonic() < end:
            time.sleep(0.002)  # sleep: a thread's end tells nobody
        if left > 1:
            named = ", ".join(culprits) or "something at the interpreter's start"
            raise SpawnError(
                f"copy an interpreter with {left} threads: they were started by the import of {named}; "
                "don't preload that"
            )

    def settle(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        """Become a process of one's own, whose environment has changed so."""
        gc.enable()
        for name, value in changes:
            if value is None:
                os.environ.pop(os.fsdecode(name), None)
            else:
                os.environ[os.fsdecode(name)] = os.fsdecode(value)
        # Python's own generator was seeded anew, as after every fork. This one would give all copies the same numbers.
        if (numbers := sys.modules.get("numpy.random")) is not None:
            numbers.seed(random.getrandbits(32))


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _end_threads() -> None:
    """Let libraries end the threads that they have started and can start again (OpenBLAS): they do, before a fork."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads: the copy does nothing at all
        child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _open_streams() -> None:
    """Have an output and an error stream, also if whoever started this has none: each copy's own take their places."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", errors="backslashreplace", closefd=False))  # noqa: SIM115 - for good


def main() -> int:
    """Copies itself as often as it is asked to; in each copy, becomes the process that it is told to be."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    given, *rest = sys.argv[1:]
    _open_streams()
    return worker.live(worker.Host(""), rest, Zygote(json.loads(given)))


if __name__ == "__main__":
    sys.modules["framewire._zygote"] = sys.modules["__main__"]
    sys.exit(main())
