"""What processes write to their standard streams, what they log, and what is said about them, in the parent's log."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

__all__ = ["write"]


def write(
    level: int, process: str | None, stream: str | None, text: str, dropped: int, record: dict[str, str] | None = None
) -> None:
    """Log a line as `framewire.NAME`; where nobody listens there, it goes to standard error.

    A line that a process printed is never silenced by a logging that was set up for something else: only by a level
    that was set on `framewire`, or on the process's own logger. What a process logged keeps its logger's name and its
    level, which is treated as any.
    """
    logger = logging.getLogger(f"framewire.{process}" if process else "framewire")
    if dropped:
        logger.warning("%d lines of processes were dropped: they came faster than they could be told", dropped)
    chosen = logger.level != logging.NOTSET or logging.getLogger("framewire").level != logging.NOTSET
    listens = logger.hasHandlers()
    if record is not None:
        number = int(record["levelno"])
        if not (chosen or listens):
            # Its level has been enough in the process.
            _print(process, record.get("line") or "\n".join(filter(None, (text, record.get("trace")))))
        elif logger.isEnabledFor(number):
            logger.handle(_made(number, process, text, record))
    elif chosen or (listens and logger.isEnabledFor(level)):
        logger.log(level, "%s", text, extra={"process_name": process, "stream": stream})
    elif stream is not None or level >= logging.WARNING:
        _print(process, text)


def _print(process: str | None, text: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # it is closed: nobody reads it
            print(f"[{process or 'framewire'}] {text}", file=sys.stderr, flush=True)


def _made(level: int, process: str | None, text: str, record: dict[str, str]) -> logging.LogRecord:
    made = logging.makeLogRecord({})
    created = float(record["created"])
    said: dict[str, Any] = {
        "name": record["logger"],
        "levelno": level,
        "levelname": record["levelname"],
        "msg": text,
        "args": None,
        "exc_text": record.get("trace"),
        "pathname": record["pathname"],
        "filename": record["pathname"].rpartition("/")[2],
        "module": record["pathname"].rpartition("/")[2].removesuffix(".py"),
        "lineno": int(record["lineno"]),
        "funcName": record.get("function"),
        "threadName": record.get("thread"),
        "created": created,
        "msecs": created % 1 * 1000,
        "relativeCreated": made.relativeCreated - (made.created - created) * 1000,
        "process": int(record.get("pid", 0)),
        "processName": process,
        "process_name": process,
        "stream": None,
    }
    made.__dict__.update(said)
    return made
