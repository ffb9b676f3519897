"""What a process can be given when it is spawned, put in the form in which Rust takes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, cast

from framewire import _options

__all__ = ["GRACE", "READY_WITHIN", "Overflow", "Restart", "core_options"]

R = TypeVar("R")

Overflow = Literal["drop_oldest", "drop_newest", "wait"]

# How long a process has to stop, if nothing else is said; in seconds. It is gone sooner if it can: an interpreter may
# be in the middle of a long call of C code.
GRACE = 2.0
# How long it has to become ready: a model may have to be loaded.
READY_WITHIN = 30.0


class Restart(NamedTuple):
    """When a process is started again, and how soon.

    Attributes:
        when: `"never"`; `"on_failure"`, unless it ended with code 0; or `"always"`.
        at_most: After so many restarts within the period it is given up.
        within: The period, in seconds.
        longest_delay: Restarts wait 20 ms, then twice as long each time, up to so many seconds, until it works for two.

    """

    when: Literal["never", "on_failure", "always"] = "never"
    at_most: int = 5
    within: float = 60.0
    longest_delay: float = 10.0


def core_options(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Give all options: these, and the defaults of those that aren't given.

    Raises:
        TypeError: There is no such option, or its value is of no such type.
        ValueError: Its value can't be.

    """
    unknown = set(options) - set(defaults)
    if unknown:
        raise TypeError(
            f"could not spawn a process: there is no option {sorted(unknown)[0]!r}; there are {', '.join(defaults)}"
        )
    given = {**defaults, **options}

    def unless_none(option: str, check: Callable[[Any], R]) -> R | None:
        return None if given[option] is None else check(given[option])

    try:
        return {
            "restart": _restart(given["restart"]),
            "ready_within": _options.seconds("ready_within", given["ready_within"]),
            "responsive_within": unless_none("responsive_within", lambda it: _options.seconds("responsive_within", it)),
            "env": _options.environment(given["env"] or {}),
            "cwd": unless_none("cwd", os.fspath),
            "nice": unless_none("nice", lambda it: _options.whole("nice", it, -20, 19)),
            "cpus": unless_none("cpus", _options.processors),
            "limits": _limits(given["limits"] or {}),
            "memory_limit": unless_none("memory_limit", lambda it: _options.whole("memory_limit", it, 1)),
            "overflow": (str(given["overflow"]), _options.whole("unread_events", given["unread_events"], 1)),
            "wait_for_restart": bool(given["wait_for_restart"]),
        }
    except (TypeError, ValueError) as error:
        raise type(error)(f"could not spawn a process: {error}") from None


def _restart(given: Any) -> tuple[str, int, float, float]:
    if isinstance(given, str):
        given = Restart(cast(Any, given))
    if not isinstance(given, Restart):
        raise TypeError(f"restart is {given!r}, and should be 'never', 'on_failure', 'always' or a framewire.Restart")
    return (
        str(given.when),
        _options.whole("at_most of its Restart", given.at_most, 0),
        _options.seconds("within of its Restart", given.within),
        _options.seconds("longest_delay of its Restart", given.longest_delay),
    )


def _limits(given: Any) -> list[tuple[str, int]]:
    if not isinstance(given, Mapping):
        raise TypeError(f"limits is {given!r}, and should be a dict, such as {{'open_files': 1024}}")
    return [(str(limit), _options.whole(f"the limit {limit!r}", value, 0)) for limit, value in given.items()]
