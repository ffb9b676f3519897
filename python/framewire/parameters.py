"""A block's parameters, from the texts of a command line: `framewire run … --set threshold=0.5`."""

from __future__ import annotations

import difflib
import inspect
import json
import types
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NOTHING = inspect.Parameter.empty


class BadParameter(ValueError):
    """A block was given a parameter that it doesn't have, or can't take. The message says which there are."""


def parameters_of(work: Any) -> dict[str, inspect.Parameter]:
    """Give what can be set: all arguments of a class; of a function, what is neither the picture nor its info."""
    try:
        signature = inspect.signature(work, eval_str=True)
    except Exception:  # an annotation that means something to a type checker only
        try:
            signature = inspect.signature(work)
        except (TypeError, ValueError):  # written in C, or its like
            return {}
    own = list(signature.parameters.values())
    if not inspect.isclass(work):
        # The picture is whatever comes first; after it, what has no default is the info.
        own = [it for it in own[1:] if it.default is not _NOTHING] + [
            it for it in own if it.kind is it.KEYWORD_ONLY and it.default is _NOTHING
        ]
    return {it.name: it for it in own if it.kind in (it.KEYWORD_ONLY, it.POSITIONAL_OR_KEYWORD)}


def typed(name: str, work: Any, given: Mapping[str, str]) -> dict[str, Any]:
    """Make keyword arguments of texts, each of the type that its annotation, or else its default, has.

    Args:
        name: The block's, for messages.
        work: Its function or class.
        given: The texts by the arguments' names. Lists and tuples have commas between their items. What has neither an
            annotation nor a default is JSON, or else text.

    Raises:
        BadParameter: There is no such argument, it can't be that, or one is missing.

    """
    known = parameters_of(work)
    for unknown in given.keys() - known.keys():
        near = difflib.get_close_matches(unknown, known, 1)
        guess = f"; is it {near[0]}?" if near else "."
        raise BadParameter(f"{name} has no parameter {unknown!r}{guess} It has {_listed(known)}")
    arguments = {}
    for key, text in given.items():
        try:
            arguments[key] = _converted(text, _wanted(known[key]))
        except ValueError as error:
            raise BadParameter(
                f"{name} can't have {key}={text!r}: it is to be {error}. It has {_listed(known)}"
            ) from None
    missing = [key for key, it in known.items() if it.default is _NOTHING and key not in given]
    if missing:
        raise BadParameter(
            f"{name} needs {_listed({key: known[key] for key in missing})}: give it by --set {missing[0]}=…"
        )
    return arguments


def _listed(known: Mapping[str, inspect.Parameter]) -> str:
    return ", ".join(str(it) for it in known.values()) or "none"


def _wanted(parameter: inspect.Parameter) -> Any:
    if parameter.annotation is not _NOTHING and not isinstance(parameter.annotation, str):
        return parameter.annotation
    default = parameter.default
    return Any if default is _NOTHING or default is None else type(default)


def _converted(text: str, wanted: Any) -> Any:
    """The value of a text; what it is to be instead is the error."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return _converted(text, inner[0])
    if origin is Literal:
        return _one_of({str(it): it for it in inner}, text)
    if origin in (Union, types.UnionType):
        return _first_that_fits(text, inner)
    if (origin or wanted) in (list, tuple, set, frozenset):
        return _several(text, origin or wanted, inner)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return _one_of({str(it.value): it for it in wanted} | {it.name: it for it in wanted}, text)
    if wanted is bool:
        return _one_of(dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False), text.lower())
    makers: dict[Any, tuple[Callable[[str], Any], str]] = {
        int: (int, "a whole number"),
        float: (float, "a number"),
        str: (str, "a text"),
    }
    if isinstance(wanted, type) and issubclass(wanted, PurePath):
        return wanted(text)
    if wanted in makers:
        make, what = makers[wanted]
        try:
            return make(text)
        except ValueError:
            raise ValueError(what) from None
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    expected = origin or wanted
    if isinstance(expected, type) and expected not in (object, Any) and not isinstance(value, expected):
        raise ValueError(f"a {expected.__name__}, as JSON")
    return value


def _one_of(choices: Mapping[str, Any], text: str) -> Any:
    if text not in choices:
        raise ValueError("one of " + ", ".join(choices))
    return choices[text]


def _first_that_fits(text: str, kinds: tuple[Any, ...]) -> Any:
    if type(None) in kinds and text.lower() in ("none", "null", ""):
        return None
    reasons = []
    # Everything is a text, so that is the last guess.
    for kind in sorted((it for it in kinds if it is not type(None)), key=lambda kind: kind is str):
        try:
            return _converted(text, kind)
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError(" or ".join(reasons + ["none"] * (type(None) in kinds)))


def _several(text: str, kind: Any, inner: tuple[Any, ...]) -> Any:
    pieces = [piece.strip() for piece in text.split(",")] if text.strip() else []
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        if len(pieces) != len(inner):
            raise ValueError(f"{len(inner)} values with commas between")
        return tuple(_converted(piece, each) for piece, each in zip(pieces, inner, strict=True))
    try:
        return kind(_converted(piece, inner[0] if inner else Any) for piece in pieces)
    except ValueError as error:
        raise ValueError(f"{error}, or several with commas between") from None
