"""What a child takes from its parent before it imports anything of the user's, as `multiprocessing.spawn` does."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import pickle
import runpy
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

from framewire import _by_value
from framewire._failures import SpawnError

__all__ = [
    "advise",
    "import_main",
    "importing_analyser",
    "is_found",
    "is_importing_main",
    "make",
    "pickle_by_value",
    "refuse",
    "take",
    "worker_command",
    "zygote_command",
]


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # it was deleted


_ORIGINAL_FOLDER = _folder()
_MAIN = "__mp_main__"
_MAIN_NAME = "__main__"
# Where a main module isn't imported by children.
_ABSENT = "a prompt, a notebook, standard input, `-c`, or the `__main__` of a package, a folder or an archive"

is_importing_main = False
_is_importing_analyser = False
# Whether the parent's main module can't be imported here, so that this process's own is none at all.
_main_is_absent = False
_imported_main: tuple[str, str] | None = None


def worker_command(target: str) -> list[str]:
    """Give the command line of a child that becomes `target`, such as `people:Detector`."""
    return [*_interpreter("worker.py"), target]


def zygote_command(modules: Sequence[str]) -> list[str]:
    """Give the command line of a zygote that imports these modules.

    Raises:
        ModuleNotFoundError: There is no such module.

    """
    for module in modules:
        if not is_found(module):
            raise ModuleNotFoundError(
                f"could not preload {module!r}: there is no such module on the path {sys.path}", name=module
            )
    given: dict[str, Any] = {"modules": list(modules), "path": [entry for entry in _path() if isinstance(entry, str)]}
    if _MAIN_NAME in modules:
        given |= {"main": _main(), "argv": [str(word) for word in sys.argv]}
    return [*_interpreter("_zygote.py"), json.dumps(given)]


def is_found(module: str) -> bool:
    """Whether a module is on the path, or the package that it is in."""
    top = module.partition(".")[0]
    return top in sys.modules or importlib.util.find_spec(top) is not None


def _interpreter(script: str) -> list[str]:
    import subprocess

    # Warnings, -X, -O and the like are the parent's. A script by its path is found also where the package is on no path
    # of the child's own, and -P keeps its folder, which has a module called `process`, off that path.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    flags = [flag for flag in flags if flag != "-P"]
    return [sys.executable, *flags, "-P", os.path.join(os.path.dirname(os.path.abspath(__file__)), script)]


def _path() -> list[str]:
    path = [entry or _ORIGINAL_FOLDER for entry in sys.path]
    return [entry for entry in path if entry is not None]


def refuse() -> None:
    """Raise if no process can be spawned from here at all.

    Raises:
        SpawnError: While the main module is being imported in a child, and in a frozen program.

    """
    if is_importing_main:
        raise SpawnError(
            "could not spawn a process: the main module is just being imported in a child, which would spawn its own "
            'children for ever; put what starts processes under `if __name__ == "__main__":`'
        )
    if _is_importing_analyser:
        raise SpawnError(
            "could not spawn a process: the analyser's file is just being imported in a child, which would spawn its "
            "own children for ever; start processes in the `start` of a class, not where the file is imported"
        )
    if getattr(sys, "frozen", False):
        raise SpawnError(
            "could not spawn a process: this is a frozen program, and its executable is no Python interpreter; run it "
            "unfrozen, or use framewire.spawn_program with a program of its own"
        )
    if not sys.executable:
        raise SpawnError(
            "could not spawn a process: sys.executable is empty; set it to the path of a Python interpreter"
        )


def _main() -> tuple[str, str] | None:
    """How a child imports the main module: by name or by path; `None` if it has neither."""
    if _main_is_absent:
        return None
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        # What is run by `python -m package` is `package.__main__`.
        return ("name", spec.name)
    path = getattr(main, "__file__", None)
    if path is None or path.startswith("<") or (not os.path.isabs(path) and _ORIGINAL_FOLDER is None):
        return None
    path = os.path.join(_ORIGINAL_FOLDER or "", path)
    return ("path", os.path.normpath(path)) if os.path.isfile(path) else None


def main_is_importable() -> bool:
    """Whether a child imports the main module: not of `-c`, standard input, a prompt or a notebook; nor a package's."""
    return _is_imported(_main())


def _is_imported(place: Sequence[str] | None) -> bool:
    if place is None:
        return False
    how, where = place
    # A package's `__main__`, as that of a folder or an archive, runs an application; what is defined there has its own
    # name. So does multiprocessing.
    if how == "name":
        return where != "__main__" and not where.endswith(".__main__")
    return os.path.splitext(os.path.basename(where))[0] != "ipython"


def pickle_by_value(thing: Any, what: str) -> bytes | None:
    """Give the pickle of a function or class of a main module that no child can import; `None` if it needs none.

    Raises:
        SpawnError: If it needs one and `cloudpickle` isn't installed.

    """
    if getattr(thing, "__module__", None) not in ("__main__", None) or main_is_importable():
        return None
    if "<locals>" not in getattr(thing, "__qualname__", "") and getattr(thing, "__module__", None) is None:
        return None
    try:
        import cloudpickle  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise SpawnError(
            f"could not spawn a process for {what}: it is defined in {_ABSENT}, "
            "which another process can't import; put it into a module, or install cloudpickle"
        ) from None
    _by_value.install()  # what goes along may be defined there too
    pickled: bytes = cloudpickle.dumps(thing)
    return pickled


def make(target: str, by_value: bytes | None = None) -> bytes:
    """Pickle what a child takes."""
    # Its main module is our main module, also if that is called otherwise here.
    return pickle.dumps(
        {
            "target": target,
            "path": _path(),
            "argv": sys.argv,
            "original_folder": _ORIGINAL_FOLDER,
            "main": _main(),
            "by_value": by_value,
            "is_by_value": _by_value.is_installed,
        },
        protocol=5,
    )


def take(pickled: bytes) -> dict[str, Any]:
    """Take it, in the child."""
    global _ORIGINAL_FOLDER, _main_is_absent
    data: dict[str, Any] = pickle.loads(pickled)
    sys.path[:] = data["path"]
    sys.argv[:] = data["argv"]
    _ORIGINAL_FOLDER = data["original_folder"]
    _main_is_absent = not _is_imported(data["main"])
    if data["is_by_value"]:
        _by_value.install()
    import_main(data["main"])
    return data


def advise(error: BaseException) -> BaseException:
    """Give the error, or one that says what to do if something of a main module was looked for that isn't here."""
    text = str(error) if isinstance(error, AttributeError) else ""
    if not _main_is_absent or not text.startswith("Can't get attribute") or f"<module {_MAIN_NAME!r}" not in text:
        return error
    name = text.removeprefix("Can't get attribute ").split(" ")[0]
    told = SpawnError(
        f"could not find {name}: it is defined in {_ABSENT}, which this process can't import; put it into a module, "
        "or install cloudpickle"
    )
    told.__cause__ = error
    return told


def import_main(place: Sequence[str] | None) -> None:
    """Import the parent's main module, unless that is done."""
    global is_importing_main, _imported_main
    if place is None or tuple(place) == _imported_main:
        return
    how, where = place
    _imported_main = (how, where)
    if not _is_imported(place):
        return
    is_importing_main = True
    try:
        main = types.ModuleType(_MAIN)
        if how == "name":
            content = runpy.run_module(where, run_name=_MAIN, alter_sys=True)
        else:
            content = runpy.run_path(where, run_name=_MAIN)
        main.__dict__.update(content)
        sys.modules["__main__"] = sys.modules[_MAIN] = main
    finally:
        is_importing_main = False


@contextlib.contextmanager
def importing_analyser() -> Iterator[None]:
    """An analyser's file is being imported in a child, and may start no processes, nor `multiprocessing`'s."""
    global _is_importing_analyser
    process = sys.modules.get("multiprocessing.process")
    current: Any = process.current_process() if process is not None else types.SimpleNamespace()
    before, _is_importing_analyser = _is_importing_analyser, True
    inherits, current._inheriting = getattr(current, "_inheriting", False), True
    try:
        yield
    finally:
        _is_importing_analyser, current._inheriting = before, inherits


def find(target: str) -> Any:
    """Find the class that `module:Class` names."""
    module_name, _, path = target.partition(":")
    if not path:
        raise SpawnError(f"could not become {target!r}: it should be module:Class")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise SpawnError(
            f"could not become {target!r}: there is no module {module_name!r} on the path {sys.path}"
        ) from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise SpawnError(
                f"could not become {target!r}: {found!r} has no {part!r}; a class inside of a function can't be spawned"
            ) from None
    return found
