"""What goes wrong with pictures: counted for each camera, told now and then, and shown while it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Troubles"]

_STANDS = 5.0
"""So many seconds after the last picture that went wrong it is still shown: what comes and goes can't be read."""

_TELLS_AGAIN = 10.0
"""The same is told again after so many seconds."""

_MOST_TOLD = 3
"""And no more than so many different ones within that time: each may have the picture's number in it."""

_MOST_IN_A_ROW = 10
"""One is nothing. After so many in a row it may be the process that is broken: a lost device, a full memory."""

_ROOM = 1000
"""Bytes on the page."""

_MOST_NAMED = 5
"""Cameras, on the page."""


class _Trouble:
    """Of one camera."""

    def __init__(self) -> None:
        self.count = 0
        self.in_a_row = 0
        self.at = 0.0
        self.what = ""
        self.why = ""

    def heading(self, camera: str) -> str:
        if self.count == 1:
            return f"{camera}: a picture {self.what}"
        in_a_row = f", {self.in_a_row} of them in a row" if 1 < self.in_a_row < self.count else ""
        in_a_row = ", one after the other" if self.in_a_row == self.count else in_a_row
        return f"{camera}: {self.count} pictures {self.what}{in_a_row}"


class Troubles:
    """What went wrong lately."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._in_a_row = 0
        self._of: dict[str, _Trouble] = {}
        self._told: list[tuple[float, str]] = []
        self._untold = 0
        self._shown = ""

    def well(self, camera: str) -> str | None:
        """A picture went well; gives what is to be shown now, if that is something else than before."""
        self._in_a_row = 0
        if not self._of:
            return None
        if camera in self._of:
            self._of[camera].in_a_row = 0
        before, now = self._shown, self._now()
        self._of = {name: it for name, it in self._of.items() if now - it.at < _STANDS}
        self._shown = self._text()
        return None if self._shown == before else self._shown

    def failed(self, camera: str, why: str) -> tuple[str | None, str, bool]:
        """Another one went wrong; gives what is to be told, what is to be shown, and whether the process is to end.

        It is to end after ten in a row, of all cameras: if another one's go well it isn't the process that is broken.
        """
        self._in_a_row += 1
        if self._in_a_row == _MOST_IN_A_ROW:
            why = f"{_MOST_IN_A_ROW} pictures in a row went wrong, the last one of {camera} so:\n{why}"
            return None, why, True
        told, shown = self._count(camera, "went wrong", why)
        return told, shown, False

    def passed_over(self, camera: str, why: str, same: str) -> tuple[str | None, str]:
        """One wasn't looked at; gives what is to be told and to be shown. `why` may always differ, `same` doesn't."""
        return self._count(camera, "couldn't be looked at", why, same)

    def _count(self, camera: str, what: str, why: str, same: str | None = None) -> tuple[str | None, str]:
        now = self._now()
        trouble = self._of.setdefault(camera, _Trouble())
        if trouble.what != what or now - trouble.at >= _STANDS:
            trouble.count = trouble.in_a_row = 0
        trouble.count, trouble.in_a_row, trouble.at = trouble.count + 1, trouble.in_a_row + 1, now
        trouble.what, trouble.why = what, why
        told = self._tell(f"a picture of {camera} {what}", why, f"{camera}\n{same or why}", now)
        self._shown = self._text()
        return told, self._shown

    def _tell(self, heading: str, why: str, same: str, now: float) -> str | None:
        self._told = [(at, told) for at, told in self._told if now - at < _TELLS_AGAIN]
        if len(self._told) >= _MOST_TOLD or any(told == same for _, told in self._told):
            self._untold += 1
            return None
        self._told.append((now, same))
        others, self._untold = self._untold, 0
        more = f", and {others} more since the last that was told" if others else ""
        return f"{heading}{more}:\n{why}"

    def _text(self) -> str:
        """A line for each camera, the latest last, and why that one's went wrong: the end of it, as there is room."""
        latest = sorted(self._of.items(), key=lambda item: item[1].at)[-_MOST_NAMED:]
        if not latest:
            return ""
        lines = "\n".join(trouble.heading(camera) for camera, trouble in latest) + ":\n"
        why = latest[-1][1].why.encode(errors="replace")
        room = max(0, _ROOM - len(lines.encode(errors="replace")))
        if len(why) > room:
            why = "…".encode() + why[len(why) - room :].lstrip(bytes(range(0x80, 0xC0)))
        return lines + why.decode(errors="replace")
