"""How far a `map` is, for a person: a bar of `tqdm` or `rich`, a plain line, or what the caller does with numbers."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

__all__ = ["Progress", "Shown"]

Progress: TypeAlias = bool | Literal["tqdm", "rich"] | Callable[[int, int], object]

# A line is written anew so often at most, in seconds.
_LINE_EVERY = 0.25


class Shown:
    """Shows progress until it is left.

    A display that fails is logged and not shown any more; what it is about goes on.
    """

    def __init__(self, total: int, progress: Progress) -> None:
        """Refuse what can't be shown, before anything is begun."""
        self._total, self._done = total, 0
        self._display: _Display | None = _choose(progress)

    @property
    def is_wanted(self) -> bool:
        """Whether there is anybody to tell."""
        return self._display is not None

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if count:
            self._tell(lambda display: display.show(self._done, self._total))

    def __enter__(self) -> Self:
        self._tell(lambda display: display.begin(self._total))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell(lambda display: display.end())

    def _tell(self, tell: Callable[[_Display], None]) -> None:
        if self._display is None:
            return
        try:
            tell(self._display)
        except Exception:
            import logging

            self._display = None
            logging.getLogger("framewire.pool").exception("the progress of a map can't be shown any more; it goes on")


def _choose(progress: Progress) -> _Display | None:
    if progress is None or progress is False:
        return None
    if progress is True:
        found = next((name for name in _BARS if _is_installed(name)), None)
        return _BARS[found]() if found is not None else _Line()
    if isinstance(progress, str):
        if progress not in _BARS:
            raise ValueError(f'could not show progress by {progress!r}: "tqdm", "rich", True, or a function do')
        if not _is_installed(progress):
            raise ModuleNotFoundError(
                f"could not show progress by {progress}: it isn't installed (pip install {progress}); "
                "progress=True takes what there is",
                name=progress,
            )
        return _BARS[progress]()
    if callable(progress):
        return _Told(progress)
    raise TypeError(f"could not show progress by {progress!r}: give True, a name, or a function of (done, total)")


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # None in sys.modules: it was forbidden
        return False


class _Display:
    """What shows it."""

    def begin(self, total: int) -> None:
        """So many there are."""

    def show(self, done: int, total: int) -> None:
        """So many are done."""

    def end(self) -> None:
        """No more comes."""


class _Line(_Display):
    def __init__(self) -> None:
        self._told = 0.0

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= _LINE_EVERY or done == total:
            self._told = now
            print(f"\r{done}/{total}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        print(file=sys.stderr)


class _Tqdm(_Display):
    def begin(self, total: int) -> None:
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(total=total)

    def show(self, done: int, total: int) -> None:
        self._bar.update(done - self._bar.n)

    def end(self) -> None:
        self._bar.close()


class _Rich(_Display):
    def begin(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

        # On standard error, as the others: the output is the program's.
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("", total=total)
        self._bar.start()

    def show(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done)

    def end(self) -> None:
        self._bar.stop()


class _Told(_Display):
    def __init__(self, tell: Callable[[int, int], object]) -> None:
        self._tell = tell

    def begin(self, total: int) -> None:
        self._tell(0, total)

    def show(self, done: int, total: int) -> None:
        self._tell(done, total)


# The first that is installed is taken.
_BARS: dict[str, type[_Display]] = {"tqdm": _Tqdm, "rich": _Rich}
