"""The module that an analyser's file becomes: in its own process, and in those that it starts."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

from framewire import _preparation

__all__ = ["find_in_children", "run"]

# Not the file's own name: one called `cv2.py` mustn't stand in the way of what it imports.
_PREFIX = "framewire_analyser_"


def run(file: Path) -> ModuleType | None:
    """Imports the file as `python FILE` does, so that it finds what lies beside it; `None` if it is no Python file."""
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = _name(file.stem)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        if str(error).startswith("attempted relative import"):
            error.add_note(
                f"{file.name} is run by itself and is in no package: import what lies beside it without the point, as "
                "in `from other import something`"
            )
        raise
    return module


def find_in_children() -> None:
    """Makes functions and classes of an analyser's file known in the processes that it starts.

    To be called in each of these, whoever starts them: by the import of the main module there, `framewire.analyser`.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_PREFIX):
            return None
        # Its parent's arguments and path are its own.
        own = Path(sys.argv[0] if sys.argv else "")
        stem = own.stem if _name(own.stem) == fullname else fullname.removeprefix(_PREFIX)
        for file in (own, *(Path(folder, f"{stem}.py") for folder in sys.path)):
            if file.stem == stem and file.is_file():
                loader = _Loader(fullname, os.fspath(file.absolute()))
                return importlib.util.spec_from_file_location(fullname, file, loader=loader)
        return None


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with _preparation.importing_analyser():
            super().exec_module(module)


def _name(stem: str) -> str:
    return _PREFIX + stem.replace(".", "_")
