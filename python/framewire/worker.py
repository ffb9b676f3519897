"""What a child runs: `python -m framewire.worker module:Class`, started by framewire and not by hand."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Run by its path: the package may be on no path of this interpreter's own.
    _folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if _folder not in sys.path:
        sys.path.append(_folder)

import atexit
import contextlib
import gc
import io
import pickle
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from framewire import _by_value, _core, _forward, _preparation
from framewire._failures import HandlerError, SpawnError

if TYPE_CHECKING:
    from framewire._guest import Guest
    from framewire._zygote import Zygote
    from framewire.process import Process

__all__ = ["Host", "live", "main"]

# As many functions of a pool's tasks are kept unpickled.
_MOST_FUNCTIONS = 64
# What may have something unwritten.
_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


class Host:
    """The Python side of a child; `_core` calls it from its event loop."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._is_at_work = False
        self._found: Any = None
        self._process: Process | None = None
        self._commands: dict[str, Callable[..., Any]] = {}
        self._functions: dict[bytes, Callable[[Any], Any]] = {}
        self._guest: Guest | None = None
        self._context: _core.ChildContext | None = None

    def prepare(self, pickled: bytes) -> None:
        """Take what the parent gives beside the configuration."""
        data = _preparation.take(pickled)
        self._target = data["target"]
        if data["by_value"] is not None:
            self._found = pickle.loads(data["by_value"])

    def start(self, context: _core.ChildContext, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Make the process ready."""
        from framewire.commands import commands_of
        from framewire.process import Process

        self._context = context
        self._listen_to_signals(context)
        kind = self._found if self._found is not None else _preparation.find(self._target)
        if not (isinstance(kind, type) and issubclass(kind, Process)):
            raise SpawnError(f"could not become {self._target!r}: it is {kind!r}, and no subclass of framewire.Process")
        logs_by_itself = getattr(kind, "_logs_by_itself", False)
        if not logs_by_itself:
            _forward.watch()
            _forward.adopt()  # what the main module set up
        process = kind.__new__(kind)
        process.context = _make_context(context)
        process.__init__()  # type: ignore[misc]
        self._commands = {name: getattr(process, name) for name in commands_of(kind)}
        started = process.start(*arguments, **keywords)
        if isinstance(started, Coroutine):
            self._guest_of(kind).run(started)
        self._process = process
        if not logs_by_itself:
            _forward.adopt()  # what it set up itself

    def command(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Do what is asked; a coroutine is an answer to come."""
        command = self._commands.get(name)
        if command is None:
            known = ", ".join(self._commands) or "none at all"
            raise AttributeError(f"{self._target} has no command {name!r}; it has {known}")
        self._is_at_work = True
        try:
            return command(*arguments, **keywords)
        finally:
            self._is_at_work = False

    def task(self, pickled: bytes, argument: Any) -> Any:
        """Do a pool's task."""
        function = self._function(pickled)
        self._is_at_work = True
        try:
            return function(argument)
        finally:
            self._is_at_work = False

    def _function(self, pickled: bytes) -> Callable[[Any], Any]:
        function = self._functions.get(pickled)
        if function is None:
            function = pickle.loads(pickled)
            if len(self._functions) >= _MOST_FUNCTIONS:
                del self._functions[next(iter(self._functions))]
            self._functions[pickled] = function
        return function

    def begin(self, coroutine: Coroutine[Any, Any, Any], outcome: _core.Outcome) -> Any:
        """Has an `async def` command run."""
        assert self._process is not None, "commands come after the start"
        return self._guest_of(type(self._process)).begin(coroutine, outcome)

    def turn(self) -> float | None:
        """Give asyncio its turn."""
        try:
            return self._guest.turn() if self._guest is not None else None
        except SystemExit as error:  # of an `async def` command
            self._leave(error)

    def stop(self) -> None:
        """Do what the process does last."""
        from framewire import system

        try:
            if self._process is not None:
                stopped: Any = self._process.stop()
                if isinstance(stopped, Coroutine) and self._guest is not None:
                    self._guest.run(stopped)
            if self._guest is not None:
                self._guest.close()
        except SystemExit:
            pass  # it ends
        finally:
            system.stop_systems()

    def let_go(self) -> None:
        """Drop all that is the user's, so that what it leaves behind is written: the interpreter's end is too late."""
        self._process = self._context = self._guest = self._found = None
        self._commands, self._functions = {}, {}
        # A file that only a collection finds may be closed before its buffer is written (CPython's issue 62052).
        _flush_files()
        gc.collect()

    def failed(self, error: BaseException, pickles: bool) -> tuple[bytes | None, str, str]:
        """Give the pickle of a handler's exception, if the caller is Python and it has one; text, and traceback."""
        if isinstance(error, SystemExit):
            self._leave(error)
        error = _preparation.advise(error)
        text, trace = _text(error), self.describe(error)
        if not pickles:
            return None, text, trace
        if isinstance(error, Exception):
            with contextlib.suppress(Exception):
                pickled = _by_value.dumps((error, trace))
                pickle.loads(pickled)  # many can be pickled and not unpickled: those with an __init__ of their own
                return pickled, text, trace
        name = self._context.name if self._context is not None else self._target
        told = HandlerError(f"could not call {name}: its handler failed: {text}")
        told.name = name
        return pickle.dumps((told, trace), protocol=5), text, trace

    def describe(self, error: BaseException) -> str:
        """Give an exception with its traceback, as text."""
        import traceback

        lines = traceback.format_exception(_preparation.advise(error))
        return "".join(lines).rstrip()

    def _leave(self, error: SystemExit) -> NoReturn:
        """End the process, as an interpreter ends: a handler called `sys.exit`."""
        code = error.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
        import threading
        import traceback

        with contextlib.suppress(BaseException):  # a Ctrl-C, too
            threading._shutdown()  # type: ignore[attr-defined] # waits for those that aren't daemons
        traceback.clear_frames(error.__traceback__)  # they have the process
        with contextlib.suppress(Exception):
            self.let_go()
        atexit._run_exitfuncs()
        _flush_files()
        os._exit(code or 0)

    def _guest_of(self, kind: type[Process]) -> Guest:
        if self._guest is None:
            from framewire._guest import Guest

            assert self._context is not None, "a guest comes after the start"
            self._guest = Guest(self._context, kind.concurrent_calls)
        return self._guest

    def _listen_to_signals(self, context: _core.ChildContext) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # open as long as this process lives
        # A signal that comes just before the event loop sleeps must wake it: Python runs handlers when it is asked to.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def drain() -> None:
            with contextlib.suppress(BlockingIOError):
                while os.read(reader, 256):
                    pass

        context.watch(reader, drain)
        signal.signal(signal.SIGINT, self._interrupted)

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        # Between handlers nobody is there to be interrupted: a KeyboardInterrupt would end the process.
        if self._is_at_work:
            raise KeyboardInterrupt
        if self._guest is not None:
            self._guest.cancel_all()


def _flush_files() -> None:
    for thing in gc.get_objects():
        if type(thing) in _WRITERS:
            with contextlib.suppress(Exception):
                thing.flush()


def _make_context(context: _core.ChildContext) -> Any:
    from framewire.process import Context

    return Context(context)


def _text(error: BaseException) -> str:
    import traceback

    try:
        return "".join(traceback.format_exception_only(error)).strip()
    except Exception:
        return type(error).__name__


def main() -> int:
    """Becomes the process that the command line names.

    Returns:
        The exit code.

    """
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    target, *rest = sys.argv[1:]
    return live(Host(target), rest)


def live(host: Host, arguments: list[str], zygote: Zygote | None = None) -> int:
    """Live as the process that the arguments name; gives the exit code."""
    # Lines are told as they are written: whoever reads them reads along.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    code = _core.run_child(host, arguments, zygote)
    host.let_go()
    if code is None:
        print(__doc__, file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    return code


if __name__ == "__main__":
    sys.modules["framewire.worker"] = sys.modules["__main__"]
    sys.exit(main())
