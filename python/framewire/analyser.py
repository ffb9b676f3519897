"""Runs a file of blocks: `python -m framewire.analyser`, as `framewire run … --analyse FILE.py` starts it.

`python -m framewire.analyser --describe FILE.py[:NAME]` prints what the block in it says of itself.
"""

from __future__ import annotations

import faulthandler
import functools
import inspect
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from framewire import _analyser_file, _core
from framewire._troubles import Troubles
from framewire.blocks import MARK, Manifest, PictureInfo, manifest_of
from framewire.findings import Drawn, convert
from framewire.parameters import typed

_analyser_file.find_in_children()

TRACE = signal.SIGRTMAX - 3
"""The signal at which the process writes where in Python its threads are; not SIGUSR1, which may be the file's."""

_STDERR = 2
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))


class NoBlock(Exception):
    """There is no block in the file, or more than one."""


class Runner:
    """A block at work. The engine calls it with each picture."""

    manifest: Manifest

    def __init__(self, block: str, file: str, name: str | None, parameters: dict[str, str]) -> None:
        """Loads the file and starts what is in it.

        Args:
            block: What its findings are said to come from.
            file: The Python file.
            name: The function or class in it; `None` for the only one.
            parameters: Keyword arguments for it, as they were written on the command line.

        Raises:
            NoBlock: There is no such block, or it can't be called as one.
            BadParameter: It has no such parameter, or can't take that.
            Exception: Whatever the file itself raises.
        """
        work = load(Path(file), name)
        self.manifest = manifest_of(work)
        self._block = block
        self._troubles = Troubles()
        arguments = typed(block, work, parameters)
        self._instance: Any = None
        if self.manifest.kind == "class":
            self._instance = work(**arguments)
            self._call = _method(self._instance)
            for method in (self._call, *(getattr(self._instance, name, None) for name in ("start", "stop"))):
                _refuse_what_only_begins(method)
            start = getattr(self._instance, "start", None)
            if callable(start):
                start()
        else:
            _refuse_what_only_begins(work)
            self._call = functools.partial(work, **arguments) if arguments else work
        self.wants_info = _takes_two(self._call)

    def look(self, picture: Any, info: PictureInfo | None, width: int, height: int) -> tuple[list[Drawn], str]:
        """Has the block look at a picture.

        Returns:
            What is to be drawn, and what it returned as JSON.
        """
        result = self._call(picture) if info is None else self._call(picture, info)
        return convert(result, block=self._block, unit=self.manifest.boxes, width=width, height=height)

    def well(self, camera: str) -> str | None:
        """A picture went well; gives what is wrong with others, if that is something else than before."""
        return self._troubles.well(camera)

    def failed(self, camera: str, why: str) -> tuple[str | None, str, bool]:
        """One didn't; gives what is to be told, what is wrong, and whether that is too much to go on."""
        return self._troubles.failed(camera, why)

    def passed_over(self, camera: str, why: str) -> tuple[str | None, str]:
        """One wasn't looked at, since too many are held; gives what is to be told, and what is wrong."""
        return self._troubles.passed_over(camera, why, "held")

    def stop(self) -> None:
        """Lets it stop."""
        stop = getattr(self._instance, "stop", None)
        if callable(stop):
            stop()


def load(file: Path, name: str | None) -> Any:
    """The function or class of that name in a file; without a name the one that is decorated, or else the only one.

    Raises:
        NoBlock: There is no such one, or there are several.
        Exception: Whatever the file itself raises.
    """
    module = _import(file)
    if name is not None:
        work = getattr(module, name, None)
        if not callable(work):
            raise NoBlock(f"{file.name} has no function or class {name!r}; it has {_listed(_own(module))}")
        return work
    own = _own(module)
    marked = {key: work for key, work in own.items() if MARK in vars(work)}
    if len(marked or own) == 1:
        return next(iter((marked or own).values()))
    if not own:
        raise NoBlock(f"{file.name} has no function or class: write `def {file.stem}(frame): …`")
    raise NoBlock(
        f"{file.name} has {_listed(marked or own)}: say which by {file.name}:NAME, or mark one by @framewire.block"
    )


def explain(error: BaseException) -> str:
    """The traceback of an error, from the first line that isn't ours."""
    explained = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    part: traceback.TracebackException | None = explained
    while part is not None and id(part) not in seen:
        seen.add(id(part))
        theirs = [frame for frame in part.stack if not _is_ours(frame.filename)]
        part.stack = traceback.StackSummary.from_list(theirs)
        part = part.__cause__ or part.__context__
    return "".join(explained.format()).rstrip()


def main(arguments: list[str]) -> int:
    """Does what the command line says, and gives the exit code."""
    match arguments:
        case ["--describe", file]:
            path, name = _parted(file)
            try:
                print(json.dumps(manifest_of(load(path, name)).as_dict()))
            except BaseException as error:
                print(explain(error), file=sys.stderr)
                return 1
            return 0
        case [file, *rest] if rest:
            _prepare(Path(file))
            ended = _core.become_analyser(rest)
            if ended is not None:
                return ended
    print("usage: python -m framewire.analyser --describe FILE.py[:NAME]", file=sys.stderr)
    return 2


def _prepare(file: Path) -> None:
    """Makes the process as if the file had been started by itself, but for its log, which goes where ours goes."""
    sys.argv = [str(file)]
    sys.excepthook = _complain
    # Where in Python a crash was, or what takes so long: not in sys.stderr, which may be anything by then.
    faulthandler.enable(file=_STDERR)
    faulthandler.register(TRACE, file=_STDERR)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_ToEngine()])
    logging.captureWarnings(True)


class _ToEngine(logging.Handler):
    """Passes records on with their level."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            _core.log(record.levelno, text if record.name == "root" else f"{record.name}: {text}")
        except Exception:
            self.handleError(record)


def _complain(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    print(explain(error), file=sys.stderr)


def _import(file: Path) -> ModuleType:
    module = _analyser_file.run(file)
    if module is None:
        raise NoBlock(f"{file} is no Python file: its name is to end in .py")
    return module


def _own(module: ModuleType) -> dict[str, Any]:
    """What the file itself defines and doesn't hide."""
    return {
        key: work
        for key, work in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(work) or inspect.isclass(work))
        and work.__module__ == module.__name__
    }


def _listed(works: dict[str, Any]) -> str:
    return ", ".join(works) or "none"


def _method(instance: Any) -> Callable[..., Any]:
    method: Callable[..., Any] | None = getattr(instance, "frame", None)
    if callable(method):
        return method
    if callable(instance):
        call: Callable[..., Any] = instance
        return call
    raise NoBlock(f"{type(instance).__name__} has neither a method `frame` nor `__call__`: pictures go there")


def _refuse_what_only_begins(call: Any) -> None:
    """Raises for a function whose call doesn't run it: what it gives would have to be awaited, or iterated over."""
    if not callable(call):
        return
    # An object that is called has it in its class.
    kinds = (call, type(call).__call__)
    name = getattr(call, "__qualname__", type(call).__qualname__)
    if any(inspect.iscoroutinefunction(it) or inspect.isasyncgenfunction(it) for it in kinds):
        raise NoBlock(
            f"{name} is an `async def`, and a block is called without an event loop: write it as `def`, and run what "
            "is asynchronous in it by asyncio.run(…)"
        )
    if any(inspect.isgeneratorfunction(it) for it in kinds):
        raise NoBlock(f"{name} has a `yield`, so calling it only makes a generator: return a list of what it finds")


def _takes_two(call: Callable[..., Any]) -> bool:
    """Whether it takes the picture and what is known of it."""
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [it for it in parameters if it.kind in (it.POSITIONAL_ONLY, it.POSITIONAL_OR_KEYWORD)]
    # A second one with a default is the block's own affair.
    return len([it for it in positional if it.default is it.empty]) >= 2 or any(
        it.kind is it.VAR_POSITIONAL for it in parameters
    )


def _parted(text: str) -> tuple[Path, str | None]:
    file, colon, name = text.rpartition(":")
    return (Path(file), name) if colon and name.isidentifier() else (Path(text), None)


def _is_ours(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _OWN_FOLDER + os.sep))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
