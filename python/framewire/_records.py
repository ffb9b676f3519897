"""A child's log records, on their way to its parent."""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from typing import Any

from framewire import _core

__all__ = ["adopt", "install"]

# As many characters of a message, and as many of a traceback; of that the end says more.
_MOST = 32_768


class _ToParent(logging.Handler):
    """Sends records to the parent, and never waits: what there is no room for is counted, and the count is told."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._home = os.getpid()
        self._busy = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one; a record that is made while another one is being formatted is left out: it would never end."""
        if getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            if os.getpid() != self._home:  # a forked child: the line to the parent isn't its own
                print(self.format(record), file=sys.stderr)
                return
            line = self.format(record)
            trace = "\n".join(filter(None, (record.exc_text, record.stack_info)))
            said: dict[str, Any] = {
                "levelno": record.levelno,
                "levelname": _plain(record.levelname),
                "name": _plain(record.name),
                "message": _plain(_start(record.getMessage())),
                "trace": _plain(trace[-_MOST:]) or None,
                "line": _plain(_start(line)) if self.formatter is not None else None,
                "pathname": _plain(record.pathname),
                "lineno": max(0, record.lineno),
                "function": record.funcName and _plain(record.funcName),
                "thread": record.threadName and _plain(record.threadName),
                "pid": os.getpid(),
                "created": record.created,
            }
            _core.log_record(said)
        except Exception:
            self.handleError(record)
        finally:
            self._busy.now = False


def install() -> None:
    """Take what no handler takes, and what `basicConfig` makes one for, as `logging.warning` does by itself."""
    logging.lastResort = _ToParent(logging.WARNING)
    configure = logging.basicConfig

    @functools.wraps(configure)
    def basic_config(**how: Any) -> None:
        configure(**how)
        adopt()

    logging.basicConfig = basic_config


def adopt() -> None:
    """Take over from the root logger's handlers that write to the standard streams, with their levels and filters.

    `logging.basicConfig` makes such. Formatted lines on a stream would have lost their level and logger.
    """
    root = logging.getLogger()
    for index, handler in enumerate(root.handlers):
        streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        if type(handler) is not logging.StreamHandler or handler.stream not in streams:
            continue
        ours = _ToParent(handler.level)
        ours.filters = handler.filters
        ours.formatter = handler.formatter
        root.handlers[index] = ours


def _start(text: str) -> str:
    left = len(text) - _MOST
    return text if left <= 0 else f"{text[:_MOST]}… ({left} more characters)"


def _plain(text: str) -> str:
    """Without what UTF-8 can't say."""
    return text.encode("utf-8", "backslashreplace").decode()
