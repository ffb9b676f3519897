"""How processes are started, where nothing else is said."""

from __future__ import annotations

from typing import NamedTuple

from framewire import _preparation

__all__ = ["READY_WITHIN", "Choice", "chosen"]

# The standard library waits for a start as long as it takes: ten years, in seconds.
READY_WITHIN = 10 * 365 * 86400.0


class Choice(NamedTuple):
    """A start method, and what the interpreter imports that is copied."""

    method: str = "spawn"
    preload: tuple[str, ...] = ("__main__",)


class Chosen:
    """This process's choice; its children have it too."""

    def __init__(self) -> None:
        self.choice = Choice()

    def take(self, choice: Choice) -> None:
        """Choose."""
        self.choice = choice

    def modules(self, method: str) -> list[str] | None:
        """What is preloaded for a process that is started so; `None`: it is started anew."""
        if method != "forkserver":
            return None
        # As there, what can't be found is left out.
        return [name for name in self.choice.preload if _preparation.is_found(name)]


chosen = Chosen()
