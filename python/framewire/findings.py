"""What a block returned, as boxes to draw and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from framewire.blocks import Unit

Drawn = tuple[float, float, float, float, str, float]
"""x, y, width and height in fractions of the picture, label, score."""

_SIDES = ("x", "y", "w", "h")
_DEEPEST = 32
"""Nested deeper it is most likely a structure that contains itself."""


class BadResult(ValueError):
    """A block returned something that is neither boxes nor JSON. The message says where in it, and what is there."""


def convert(result: Any, *, block: str, unit: Unit, width: int, height: int) -> tuple[list[Drawn], str]:
    """What there is to draw, and all of it as JSON in one line.

    Args:
        result: What the block returned.
        block: Its name, for messages.
        unit: What its boxes are in.
        width: Of the picture that it got, in pixels.
        height: The same.

    Raises:
        BadResult: Something in it has no JSON, or a box isn't one.
    """
    try:
        plain = _plain(result, "result", 0)
        drawn = [_drawn(box, path, unit, width, height) for path, box in _boxes(plain)]
    except BadResult as error:
        raise BadResult(f"{block}: {error}") from None
    return drawn, json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any, path: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise BadResult(f"{path} is nested more than {_DEEPEST} deep; does it contain itself?")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, path, depth + 1)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadResult(f"{path} is {value}: JSON has no such number; give None for what isn't known")
        return float(value)
    return _plain_of_many(value, path, depth)


def _plain_of_many(value: Any, path: str, depth: int) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {it.name: _plain(getattr(value, it.name), f"{path}.{it.name}", depth + 1) for it in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise BadResult(f"{path} has the key {key!r} ({type(key).__name__}): keys are texts; use str(key)")
        return {_text(key, path): _plain(it, f"{path}.{key}", depth + 1) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(it, f"{path}[{index}]", depth + 1) for index, it in enumerate(value)]
    # Arrays and scalars of numpy, and tensors: this package needs none of them.
    if callable(getattr(value, "tolist", None)):
        return _plain(value.tolist(), path, depth + 1)
    raise BadResult(
        f"{path} is of the type {type(value).__name__}: give dicts, lists, dataclasses, texts and numbers, also numpy's"
    )


def _text(value: str, path: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadResult(f"{path} has a character that is none (a lone surrogate): {value!r}") from None
    return str(value)


def _boxes(plain: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(plain, dict) and _is_box(plain):
        yield "result", plain
    elif isinstance(plain, dict) and plain.get("boxes") is not None:
        if not isinstance(plain["boxes"], list):
            raise BadResult(f"result.boxes is {plain['boxes']!r}: give a list of boxes")
        for index, box in enumerate(plain["boxes"]):
            if not _is_box(box):
                raise BadResult(f"result.boxes[{index}] is {box!r}: a box has x, y, w and h")
            yield f"result.boxes[{index}]", box
    elif isinstance(plain, list):
        for index, box in enumerate(plain):
            if _is_box(box):
                yield f"result[{index}]", box


def _is_box(value: Any) -> bool:
    return isinstance(value, dict) and all(side in value for side in _SIDES)


def _drawn(box: dict[str, Any], path: str, unit: Unit, width: int, height: int) -> Drawn:
    x, y, w, h = (_number(box[side], f"{path}.{side}") for side in _SIDES)
    for side, length in (("w", w), ("h", h)):
        if length < 0:
            raise BadResult(f"{path}.{side} is {length:g}: give the width and height, not another corner")
    if unit == "fractions":
        for side, value in zip(_SIDES, (x, y, w, h), strict=True):
            if not -1 <= value <= 2:
                raise BadResult(
                    f'{path}.{side} is {value:g}, but this block gives fractions: use @framewire.block(boxes="pixels")'
                )
    else:
        if 0 < w < 1 and 0 < h < 1:
            raise BadResult(
                f"{path} is {w:g} by {h:g} pixels: if these are fractions of the picture, "
                'use @framewire.block(boxes="fractions")'
            )
        x, y, w, h = x / width, y / height, w / width, h / height
    label = box.get("label")
    if label is not None and not isinstance(label, str):
        label = str(label)  # a class's number
    score = box.get("score")
    return x, y, w, h, label or "", 1.0 if score is None else _number(score, f"{path}.score")


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadResult(f"{path} is {value!r} ({type(value).__name__}): give a number")
    return float(value)
