"""What a block returned, as boxes to draw and as JSON."""

from __future__ import annotations

import functools
import json
import numbers
import operator
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from framewire.blocks import Unit

Drawn = tuple[float, float, float, float, str, float]
"""x, y, width and height in fractions of the picture, label, score."""

_SIDES = ("x", "y", "w", "h")
_DEEPEST = 32
"""Nested deeper it is most likely a structure that contains itself."""

_LARGEST = 1 << 20
"""So many bytes of JSON: those of each of the last 128 pictures stay in memory, for readers that are late."""

_LARGEST_NUMBER = 3.4028234663852886e38
"""Of a box: a number of 32 bits, as it is drawn."""

# What is JSON as it is. By exact type: a subclass, as numpy's are, may be anything.
_PLAIN: frozenset[type] = frozenset({int, float, str, bool, type(None)})
_NUMBERS: frozenset[type] = frozenset({int, float})
_TEXTS: frozenset[type] = frozenset({str})


class BadResult(ValueError):
    """A block returned something that is neither boxes nor JSON. The message says where in it, and what is there."""


class _Wrong(Exception):
    """What is wrong with a part of a result. Where that is, is added on the way up: it costs nothing if all is well."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path = ""

    def within(self, step: str) -> _Wrong:
        """The same, seen from what it is a part of."""
        self.path = step + self.path
        return self


def convert(result: Any, *, block: str, unit: Unit, width: int, height: int) -> tuple[list[Drawn], str]:
    """What there is to draw, and all of it as JSON in one line.

    Args:
        result: What the block returned.
        block: Its name, for messages.
        unit: What its boxes are in.
        width: Of the picture that it got, in pixels.
        height: The same.

    Raises:
        BadResult: Something in it has no JSON, a box isn't one, or it is larger than 1 MiB as JSON.
    """
    try:
        plain = _plain(result, 0)
        text = _json(plain)
        return _drawn(plain, unit, width, height), text
    except _Wrong as wrong:
        raise BadResult(f"{block}: result{wrong.path} {wrong.what}") from None


def _plain(value: Any, depth: int) -> Any:
    """The same of dicts, lists and what is JSON as it is; what is so already isn't copied."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if depth > _DEEPEST:
        raise _Wrong(f"is nested more than {_DEEPEST} deep; does it contain itself?")
    if kind is dict:
        return _dict(value, value.keys(), value.values(), depth)
    if kind is list:
        return value if _PLAIN.issuperset(map(type, value)) else _list(value, depth)
    if kind is tuple:
        return _list(value, depth)
    names_and_values = _fields(kind)
    if names_and_values is not None:
        names, values = names_and_values
        return _dict(None, names, values(value), depth)
    return _plain_of_others(value, depth)


def _plain_of_others(value: Any, depth: int) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return _dict(None, value.keys(), value.values(), depth)
    if isinstance(value, list | tuple):
        return _list(value, depth)
    # Arrays and scalars of numpy, and tensors: this package needs none of them.
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        listed = tolist()
        if type(listed) is not type(value):
            return _plain(listed, depth + 1)
    raise _Wrong(
        f"is of the type {type(value).__name__}: give dicts, lists, dataclasses, texts and numbers, also numpy's"
    )


def _dict(given: dict[str, Any] | None, names: Iterable[Any], values: Iterable[Any], depth: int) -> dict[str, Any]:
    """Of these names and values; `given`, if all in it is JSON as it is."""
    if _TEXTS.issuperset(map(type, names)):
        if _PLAIN.issuperset(map(type, values)):
            return dict(zip(names, values, strict=True)) if given is None else given
    else:
        names = [_key(name) for name in names]
    plain = {}
    for name, value in zip(names, values, strict=True):
        try:
            plain[name] = _plain(value, depth + 1)
        except _Wrong as wrong:
            raise wrong.within(f".{name}") from None
    return plain


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise _Wrong(f"has the key {name!r} ({type(name).__name__}): keys are texts; use str(key)")
    return str(name)


def _list(values: Iterable[Any], depth: int) -> list[Any]:
    plain: list[Any] = []
    try:
        plain.extend(_plain(value, depth + 1) for value in values)
    except _Wrong as wrong:
        raise wrong.within(f"[{len(plain)}]") from None
    return plain


@functools.lru_cache(maxsize=256)
def _fields(kind: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None:
    """Of a dataclass, unless that is a text or a number as well: their names, and what gives their values."""
    if not is_dataclass(kind) or issubclass(kind, Enum | str | int | float):
        return None
    names = tuple(it.name for it in fields(kind))
    if len(names) > 1:
        return names, operator.attrgetter(*names)
    return names, lambda value: tuple(getattr(value, name) for name in names)


def _json(plain: Any) -> str:
    try:
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text) if text.isascii() else len(text.encode())
    except ValueError as error:
        _find_unspeakable(plain)
        raise _Wrong(f"has no JSON: {error}") from None
    if size > _LARGEST:
        raise _Wrong(
            f"has {size / (1 << 20):.1f} MiB as JSON, and 1 MiB is the most: give a smaller or coarser one, or write "
            "it to a file and give that one's name"
        )
    return text


def _find_unspeakable(plain: Any) -> None:
    """Raises for the first number or text that has no JSON."""
    if isinstance(plain, dict):
        for name, value in plain.items():
            _check_scalar(name)
            try:
                _find_unspeakable(value)
            except _Wrong as wrong:
                raise wrong.within(f".{name}") from None
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            try:
                _find_unspeakable(value)
            except _Wrong as wrong:
                raise wrong.within(f"[{index}]") from None
    else:
        _check_scalar(plain)


def _check_scalar(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise _Wrong(f"has a character that is none (a lone surrogate): {value!r}") from None
    except ValueError as error:
        if isinstance(value, float):
            raise _Wrong(f"is {value}: JSON has no such number; give None for what isn't known") from None
        raise _Wrong(f"is too large a number: {error}") from None


def _drawn(plain: Any, unit: Unit, width: int, height: int) -> list[Drawn]:
    """The boxes in it: it is one, a list with some, or a dict with such a list as `boxes`."""
    if isinstance(plain, dict) and _is_box(plain):
        return [_region(plain, unit, width, height)]
    if isinstance(plain, dict) and plain.get("boxes") is not None:
        boxes = plain["boxes"]
        if not isinstance(boxes, list):
            raise _Wrong(f"is {reprlib.repr(boxes)}: give a list of boxes").within(".boxes")
        return _regions(boxes, ".boxes", True, unit, width, height)
    if isinstance(plain, list):
        return _regions(plain, "", False, unit, width, height)
    return []


def _regions(boxes: list[Any], path: str, only: bool, unit: Unit, width: int, height: int) -> list[Drawn]:
    drawn = []
    for index, box in enumerate(boxes):
        try:
            if _is_box(box):
                drawn.append(_region(box, unit, width, height))
            elif only:
                raise _Wrong(f"is {box!r}: a box has x, y, w and h")
        except _Wrong as wrong:
            raise wrong.within(f"{path}[{index}]") from None
    return drawn


def _is_box(value: Any) -> bool:
    return isinstance(value, dict) and "x" in value and "y" in value and "w" in value and "h" in value


def _region(box: dict[str, Any], unit: Unit, width: int, height: int) -> Drawn:
    x, y, w, h, score = box["x"], box["y"], box["w"], box["h"], box.get("score")
    if score is None:
        score = 1.0
    _check_numbers(x, y, w, h, score)
    if w < 0 or h < 0:
        side, length = ("w", w) if w < 0 else ("h", h)
        raise _Wrong(f"is {length:g}: give the width and height, not another corner").within(f".{side}")
    if unit == "fractions":
        for side, value in zip(_SIDES, (x, y, w, h), strict=True):
            if not -1 <= value <= 2:
                raise _Wrong(
                    f'is {value:g}, but this block gives fractions: use @framewire.block(boxes="pixels")'
                ).within(f".{side}")
    else:
        if 0 < w < 1 and 0 < h < 1:
            raise _Wrong(
                f"is {w:g} by {h:g} pixels: if these are fractions of the picture, "
                'use @framewire.block(boxes="fractions")'
            )
        x, y, w, h = x / width, y / height, w / width, h / height
    label = box.get("label")
    if label is not None and not isinstance(label, str):
        label = str(label)  # a class's number
    return float(x), float(y), float(w), float(h), label or "", float(score)


def _check_numbers(*values: Any) -> None:
    if not _NUMBERS.issuperset(map(type, values)):
        for name, value in zip((*_SIDES, "score"), values, strict=True):
            if type(value) not in _NUMBERS:
                raise _Wrong(f"is {reprlib.repr(value)} ({type(value).__name__}): give a number").within(f".{name}")
    if min(values) < -_LARGEST_NUMBER or max(values) > _LARGEST_NUMBER:
        for name, value in zip((*_SIDES, "score"), values, strict=True):
            if abs(value) > _LARGEST_NUMBER:
                raise _Wrong(f"is {reprlib.repr(value)}: that is too large to be drawn").within(f".{name}")
