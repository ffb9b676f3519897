"""Processes that log: importable by a child."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import framewire


class Talker(framewire.Process):
    """Says what it is told to; with `level` it sets its logging up as a program would."""

    def start(self, level: int | None = None, format: str | None = None) -> None:
        if level is not None:
            logging.basicConfig(level=level, format=format)

    @framewire.command
    def say(self, level: int, text: str, logger: str = "app.db") -> None:
        logging.getLogger(logger).log(level, text)

    @framewire.command
    def have_a_child_talk(self, name: str, said: str, printed: str) -> None:
        with Talker.spawn(logging.DEBUG, name=name) as inner:
            inner.say(logging.DEBUG, said).wait(30)
            inner.print(printed).wait(30)

    @framewire.command
    def print(self, text: str) -> None:
        print(text)

    @framewire.command
    def say_to_the_root(self, text: str) -> None:
        logging.warning(text)

    @framewire.command
    def say_with(self, text: str, *args: object) -> None:
        logging.getLogger("app").warning(text, *args)

    @framewire.command
    def stumble(self) -> None:
        try:
            raise LookupError("it was here a moment ago")
        except LookupError:
            logging.getLogger("app").exception("could not find %s", "it")

    @framewire.command
    def name_a_level(self) -> None:
        logging.addLevelName(35, "URGENT")
        logging.getLogger("app").log(35, "now")

    @framewire.command
    def log_while_logging(self) -> None:
        class Talkative:
            def __str__(self) -> str:
                logging.getLogger("inner").warning("from inside: %s", self)
                return "done"

        logging.getLogger("outer").warning("it says %s", Talkative())

    @framewire.command
    def log_to_a_file(self, path: str) -> None:
        handler = logging.FileHandler(path)
        logging.getLogger("filed").addHandler(handler)
        logging.getLogger("filed").propagate = False
        logging.getLogger("filed").warning("into the file")

    @framewire.command
    def flood(self, count: int, begin: str, done: str) -> None:
        Path(f"{begin}.awaited").touch()
        while not Path(begin).exists():
            time.sleep(0.005)  # sleep: the test makes the file when the parent is stopped
        logger = logging.getLogger("flood")
        for number in range(count):
            logger.warning("line %d", number)
        Path(done).touch()


class PlainTalker(framewire.Process):
    """Has nothing to do with logging."""

    @framewire.command
    def imported(self) -> bool:
        import sys

        return "logging" in sys.modules
