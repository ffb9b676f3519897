"""Has a child's `logging` go to its parent, without importing it for those who don't use it."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

__all__ = ["adopt", "watch"]


def watch() -> None:
    """From now on, or from when `logging` is imported on, what no handler of the child's takes goes to the parent."""
    if "logging" in sys.modules:
        _install()
    else:
        sys.meta_path.insert(0, _WhenImported())


def adopt() -> None:
    """Take over the root logger's handlers that write to the standard streams: the parent gets records instead."""
    if "logging" in sys.modules:
        from framewire import _records

        _records.adopt()


def _install() -> None:
    from framewire import _records

    _records.install()


class _WhenImported:
    """Waits for the import of `logging`: that costs each child 9 ms."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_install(module: ModuleType) -> None:
            run(module)
            _install()

        spec.loader.exec_module = run_and_install  # type: ignore[method-assign]
        return spec
