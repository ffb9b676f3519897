"""Making what needs descriptors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["made"]

T = TypeVar("T")


def made(make: Callable[[], T]) -> T:
    """Make it, and if that fails raise this process's limit of open files, which a supervisor does, and try again."""
    try:
        return make()
    except OSError:
        from framewire.system import default_system

        default_system()
        return make()
