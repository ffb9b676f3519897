"""The loggers that valkka's classes have."""

from __future__ import annotations

import logging


class Logged:
    """What has a `logger` of its own, and a helper to see it on the terminal."""

    logger: logging.Logger

    @classmethod
    def formatLogger(cls, level: int | None = logging.INFO) -> None:
        """Gives this class's logger a handler and a level, if it has none."""
        logger = logging.getLogger(cls.__name__)
        if not logger.hasHandlers():
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(name)s - %(levelname)s - %(message)s"))
            logger.addHandler(handler)
        if level is not None:
            logger.setLevel(level)

    def setDebug(self) -> None:
        """Logs everything."""
        self.logger.setLevel(logging.DEBUG)
