"""What a pool's workers are given: functions, pickled, that take one item."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from framewire import _by_value, _preparation

__all__ = ["LOT", "Apply", "Chunk", "Star", "pickled"]

# Items are handed over in lots of so many.
LOT = 256


class Star:
    """Calls with an item's parts."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, item: Iterable[Any]) -> Any:
        return self.function(*item)


class Apply:
    """Calls with positional and named arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, item: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        return self.function(*item[0], **item[1])


class Chunk:
    """Calls with each of some items, as one task: the first exception is that of all."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, items: Iterable[Any]) -> list[Any]:
        return [self.function(item) for item in items]


def pickled(function: Callable[..., Any], wrapper: Callable[[Callable[..., Any]], Any] | None = None) -> bytes:
    if not callable(function):
        raise TypeError(f"could not give a pool {function!r}: it can't be called")
    name = getattr(function, "__qualname__", repr(function))
    whole = wrapper(function) if wrapper is not None else function
    _preparation.pickle_by_value(function, name)  # it refuses, or sees to it that this is done
    try:
        return _by_value.dumps(whole)
    except Exception as error:
        message = f"could not give a pool {name}: {error}; a function must be importable"
        try:
            told: Exception = type(error)(message)
        except Exception:  # it is made of something else
            told = pickle.PicklingError(message)
        raise told from error
