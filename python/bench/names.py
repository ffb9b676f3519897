"""`Namespace` and `Dict` beside those of `multiprocessing.Manager()`, in one run: `python bench/names.py [--json]`.

Each figure is the median of the better half of several rounds, which alternate: a busy machine disturbs both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import framewire

_ROUNDS = 7
_OPERATIONS = 2000
_LARGE_OPERATIONS = 20


def get(ns: Any) -> None:
    """Look at a small value."""
    ns.number  # noqa: B018


def put(ns: Any) -> None:
    """Set a small value."""
    ns.number = 7


def get_item(shared: Any) -> None:
    """Look at an entry."""
    shared["number"]


def put_item(shared: Any) -> None:
    """Set an entry."""
    shared["number"] = {"seen": 7, "text": "some text"}


def put_large(ns: Any, picture: np.ndarray = np.zeros((1080, 1920), "u1")) -> None:  # noqa: B008
    """Set two megabytes."""
    ns.picture = picture


def get_large(ns: Any) -> None:
    """Look at two megabytes."""
    ns.picture  # noqa: B018


def _timed(operation: Callable[[Any], None], on: Any, count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        operation(on)
    return (time.perf_counter() - begun) / count * 1e6


def _beside(operation: Callable[[Any], None], ours: Any, theirs: Any, count: int) -> tuple[float, float]:
    rounds = [(_timed(operation, ours, count), _timed(operation, theirs, count)) for _ in range(_ROUNDS)]
    better = [sorted(figures)[: _ROUNDS // 2 + 1] for figures in zip(*rounds, strict=True)]
    return statistics.median(better[0]), statistics.median(better[1])


def main() -> None:
    """Measure all of it, in microseconds an operation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="as JSON")
    as_json = parser.parse_args().json
    with multiprocessing.Manager() as manager:
        namespaces = framewire.Namespace(number=7), manager.Namespace(number=7)
        dicts: tuple[Any, Any] = framewire.Dict(number=7), manager.dict(number=7)
        figures = {
            "namespace-get-us": _beside(get, *namespaces, _OPERATIONS),
            "namespace-set-us": _beside(put, *namespaces, _OPERATIONS),
            "dict-set-us": _beside(put_item, *dicts, _OPERATIONS),
            "dict-get-us": _beside(get_item, *dicts, _OPERATIONS),
            "namespace-set-2-mb-us": _beside(put_large, *namespaces, _LARGE_OPERATIONS),
            "namespace-get-2-mb-us": _beside(get_large, *namespaces, _LARGE_OPERATIONS),
        }
    if as_json:
        print(json.dumps(figures))
        return
    print(f"{'':26}{'framewire':>12}{'CPython':>12}{'ratio':>8}")
    for name, (ours, theirs) in figures.items():
        print(f"{name:26}{ours:12.4g}{theirs:12.4g}{ours / theirs:8.3f}")


if __name__ == "__main__":
    main()
