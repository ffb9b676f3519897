"""What a process can be given, looked at where it is given: so a mistake is told by its own name."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["environment", "name", "processors", "seconds", "whole"]


def name(value: Any) -> str:
    """Give a process's name."""
    if not isinstance(value, str):
        raise TypeError(f"name is {value!r}, and should be a str")
    if not value or not value.isprintable():
        raise ValueError(f"name is {value!r}: it stands in lines of a log, so it needs characters that can be printed")
    return value


def seconds(what: str, value: Any) -> float:
    """Give a time; `inf` is one."""
    try:
        if isinstance(value, str):
            raise TypeError
        given = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} is {value!r}, and should be a number of seconds") from None
    if math.isnan(given) or given < 0:
        raise ValueError(f"{what} is {value!r}, and should be a number of seconds, 0 or more")
    return given


def whole(what: str, value: Any, least: int, most: int | None = None) -> int:
    """Give a whole number."""
    try:
        given = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is {value!r}, and should be a whole number") from None
    if given < least or (most is not None and given > most):
        limits = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{what} is {value!r}, and should be {limits}")
    return given


def processors(value: Any) -> list[int]:
    """Give the numbers of processors."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"cpus is {value!r}, and should be a list of processors' numbers, such as [0, 1]")
    given = [whole("a processor's number in cpus", number, 0) for number in value]
    if not given:
        raise ValueError("cpus is empty: a process needs at least one processor; leave it out for all")
    return given


def environment(value: Any) -> list[tuple[str, str | None]]:
    """Give the variables to set, or, with `None`, to take away."""
    if not isinstance(value, Mapping):
        raise TypeError(f"env is {value!r}, and should be a dict of variables, such as {{'OMP_NUM_THREADS': '1'}}")
    for variable, content in value.items():
        if not isinstance(variable, str) or not isinstance(content, (str, type(None))):
            raise TypeError(
                f"env has {variable!r}: {content!r}, and should have a str, or None to take it away, for a str"
            )
        if not variable or "=" in variable or "\0" in variable or "\0" in (content or ""):
            raise ValueError(f"env has {variable!r}: {content!r}: no variable can be called so, or be that")
    return list(value.items())
