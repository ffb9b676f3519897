"""Pickling what the main module defines by value, where no other process can import that: needs `cloudpickle`."""

from __future__ import annotations

import functools
import importlib.util
import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable
from typing import Any

from framewire import _core

__all__ = ["dumps", "install", "is_installed"]

is_installed = False


def install() -> None:
    """Pickle messages so, from now on."""
    global is_installed
    if not is_installed:
        is_installed = True
        _core.pickle_by(_dumps_message)


def dumps(
    thing: Any,
    usual: type[pickle.Pickler] = pickle.Pickler,
    protocol: int | None = 5,
    buffer_callback: Callable[[Any], Any] | None = None,
) -> bytes:
    """Pickle something with the usual class, or with one that does what that does and takes such things by value."""
    buffer = io.BytesIO()
    if is_installed and _is_there():
        _of_cloudpickle(usual)(buffer, protocol, buffer_callback).dump(thing)
    else:
        usual(buffer, protocol, True, buffer_callback).dump(thing)
    return buffer.getvalue()


@functools.cache
def _is_there() -> bool:
    known = sys.modules.get("cloudpickle", ...)
    return importlib.util.find_spec("cloudpickle") is not None if known is ... else known is not None


_picklers: dict[Any, Any] = {}


def _of_cloudpickle(usual: type[pickle.Pickler]) -> Any:
    made = _picklers.get(usual)
    if made is None:
        import cloudpickle  # type: ignore[import-untyped, import-not-found, unused-ignore]

        tables: list[Any] = [cloudpickle.Pickler.dispatch_table]
        if hasattr(usual, "_extra_reducers"):  # the standard library's, for what it sends
            tables.insert(0, usual._extra_reducers)
        made = type("Pickler", (cloudpickle.Pickler,), {"dispatch_table": ChainMap(*tables)})
        _picklers[usual] = made
    return made


def _dumps_message(
    thing: Any, *, protocol: int | None = None, buffer_callback: Callable[[Any], Any] | None = None
) -> bytes:
    others = sys.modules.get("framewire.multiprocessing.pickling")
    if others is not None:  # it knows how to send more, and asks for `pickler`
        return others._dumps(thing, protocol=protocol, buffer_callback=buffer_callback)  # type: ignore[no-any-return]
    return dumps(thing, pickle.Pickler, protocol, buffer_callback)
