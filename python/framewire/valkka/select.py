"""Waiting for many descriptors at once."""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import Any

_FAILED = select.POLLERR | select.POLLHUP | select.POLLNVAL


def safe_select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """As :func:`select.select`, for any number of descriptors, also above 1,023, and not ended by signals.

    `timeout` is in seconds; ``None`` waits for ever, 0 only looks. A descriptor at whose other end nobody is any more
    counts as readable, and so does one with an error; a closed one raises `ValueError`.
    """
    wanted: dict[int, int] = {}
    lists = [(list(rlist), select.POLLIN), (list(wlist), select.POLLOUT), (list(xlist), select.POLLPRI)]
    for things, event in lists:
        for thing in things:
            number = _fileno(thing)
            wanted[number] = wanted.get(number, 0) | event
    poll = select.poll()
    for number, events in wanted.items():
        poll.register(number, events)
    found = dict(poll.poll(None if timeout is None else max(timeout, 0.0) * 1000.0))
    closed = [number for number, events in found.items() if events & select.POLLNVAL]
    if closed:
        raise ValueError(f"could not wait: descriptor {closed[0]} isn't open")
    readable, writable, special = (
        [
            thing
            for thing in things
            if found.get(_fileno(thing), 0) & (event | (_FAILED if event != select.POLLPRI else 0))
        ]
        for things, event in lists
    )
    return readable, writable, special


def _fileno(thing: Any) -> int:
    return thing if isinstance(thing, int) else int(thing.fileno())
