"""Where in Python a block is when it takes too long over a picture."""

from __future__ import annotations

import contextlib
import faulthandler
import os

__all__ = ["Patience"]

_PART = 0.75
"""Of the limit: before the process is killed, and so late that it is most likely to be."""

_STDERR = 2


class Patience:
    """Has the stack written to standard error if what is done in its `with` takes nearly as long as it may.

    By a thread of the interpreter that needs no GIL: a block may hang in a library that holds it. It costs some 20 µs.
    """

    def __init__(self, limit: float | None) -> None:
        self._after = None if limit is None else max(limit * _PART, 0.001)
        if limit is not None:
            # A forked child has no such thread, and would wait for it at its end.
            os.register_at_fork(before=faulthandler.cancel_dump_traceback_later)

    def __enter__(self) -> None:
        if self._after is not None:
            with contextlib.suppress(RuntimeError, OSError, ValueError):  # there is no thread, or no standard error
                faulthandler.dump_traceback_later(self._after, file=_STDERR)

    def __exit__(self, *error: object) -> None:
        if self._after is not None:
            faulthandler.cancel_dump_traceback_later()
