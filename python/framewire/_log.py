"""What processes write to their standard streams, and what is said about them, in the parent's log."""

from __future__ import annotations

import contextlib
import logging
import sys

__all__ = ["write"]


def write(level: int, process: str | None, stream: str | None, text: str, dropped: int) -> None:
    """Log a line as `framewire.NAME`; where nobody listens there, it goes to standard error.

    A line that a process printed is never silenced by a logging that was set up for something else: only by a level
    that was set on `framewire`, or on the process's own logger.
    """
    logger = logging.getLogger(f"framewire.{process}" if process else "framewire")
    if dropped:
        logger.warning("%d lines of processes were dropped: they came faster than they could be told", dropped)
    chosen = logger.level != logging.NOTSET or logging.getLogger("framewire").level != logging.NOTSET
    if chosen or (logger.hasHandlers() and logger.isEnabledFor(level)):
        logger.log(level, "%s", text, extra={"process_name": process, "stream": stream})
    elif (stream is not None or level >= logging.WARNING) and sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # it is closed: nobody reads it
            print(f"[{process or 'framewire'}] {text}", file=sys.stderr, flush=True)
