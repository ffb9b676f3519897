"""How a process ended."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Exit", "ExitKind"]

ExitKind = Literal[
    "code",
    "signal",
    "panic",
    "failed",
    "out_of_memory",
    "unresponsive",
    "not_ready_in_time",
    "lost_before_ready",
    "unknown",
]


class Exit(NamedTuple):
    """How a process ended.

    Attributes:
        kind: By itself (`code`), by a `signal`, by its own word (`failed`, and `panic` of a Rust program), killed by
            its supervisor (`out_of_memory`, `unresponsive`, `not_ready_in_time`), before it was ready, or nobody knows.
        text: The same for a person, such as "killed by SIGKILL".
        code: As `multiprocessing.Process.exitcode`: the exit code, or the signal as a negative number; `None` if
            unknown.

    """

    kind: ExitKind
    text: str
    code: int | None

    def __str__(self) -> str:
        return self.text

    @property
    def is_success(self) -> bool:
        """Whether it is as it should be: asked to stop, and stopped."""
        return self.kind == "code" and self.code == 0
