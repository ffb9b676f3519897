"""What a process logs arrives in its parent as what it is."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from log_subjects import Talker
from process_subjects import LIMIT, wait_until


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def one(self, text: str) -> logging.LogRecord:
        wait_until(lambda: any(record.getMessage() == text for record in self.records), f"{text!r} is logged")
        return next(record for record in self.records if record.getMessage() == text)


@contextlib.contextmanager
def listening(name: str, level: int = logging.NOTSET):
    logger, handler = logging.getLogger(name), Kept()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def test_a_record_keeps_level_logger_process_and_place():
    with listening("framewire.talker", logging.DEBUG) as kept, Talker.spawn(logging.DEBUG, name="talker") as talker:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL, 25):
            talker.say(level, f"at {level}", "app.db").wait(LIMIT)
            record = kept.one(f"at {level}")
            assert (record.levelno, record.levelname) == (level, logging.getLevelName(level))
            assert (record.name, record.processName) == ("app.db", "talker")
            assert (record.filename, record.funcName, record.threadName) == ("log_subjects.py", "say", "MainThread")
            assert record.lineno > 1
            assert record.created > 0
            assert logging.Formatter("%(process)d").format(record) == str(talker.pid)
        talker.name_a_level().wait(LIMIT)
        assert kept.one("now").levelname == "URGENT"
        talker.say(logging.WARNING, "100 % surely \udc80 ünd mehr").wait(LIMIT)
        assert kept.one("100 % surely \\udc80 ünd mehr")
        assert len(kept.records) == 8, "each came once, and none as a line too"


def test_a_traceback_comes_along():
    with listening("framewire.talker") as kept, Talker.spawn(name="talker") as talker:
        talker.stumble().wait(LIMIT)
        record = kept.one("could not find it")
        assert record.levelno == logging.ERROR
        shown = logging.Formatter("%(processName)s %(name)s %(message)s").format(record)
        assert shown.startswith("talker app could not find it\nTraceback (most recent call last):\n")
        assert shown.endswith("LookupError: it was here a moment ago")


def test_handlers_filters_and_levels_of_the_process_logger_apply(caplog):
    logger = logging.getLogger("framewire.picky")

    def refuse(record: logging.LogRecord) -> bool:
        return record.name != "noise"

    logger.addFilter(refuse)
    try:
        with listening("framewire.picky", logging.ERROR) as kept, Talker.spawn(name="picky") as talker:
            talker.say(logging.WARNING, "not grave enough").wait(LIMIT)
            talker.say(logging.ERROR, "only noise", "noise").wait(LIMIT)
            talker.say(logging.ERROR, "heard").wait(LIMIT)
            kept.one("heard")
            assert [record.getMessage() for record in kept.records] == ["heard"]
            wait_until(lambda: "heard" in caplog.messages, "it goes on to the root's handlers")
    finally:
        logger.removeFilter(refuse)


def test_what_the_process_filters_or_handles_itself_does_not_come(tmp_path):
    with listening("framewire.quiet", logging.DEBUG) as kept:
        with Talker.spawn(name="quiet") as talker:
            talker.say(logging.INFO, "below its own level").wait(LIMIT)
            talker.log_to_a_file(str(tmp_path / "log")).wait(LIMIT)
            talker.say(logging.WARNING, "last").wait(LIMIT)
        kept.one("last")
        assert [record.getMessage() for record in kept.records] == ["last"]
        assert (tmp_path / "log").read_text() == "into the file\n"


def test_the_functions_of_the_module_set_up_no_handler_beside_it():
    with listening("framewire.talker") as kept, Talker.spawn(name="talker") as talker:
        talker.say_to_the_root("to the root").wait(LIMIT)
        talker.say(logging.WARNING, "and then to another").wait(LIMIT)
        assert (kept.one("to the root").name, kept.one("to the root").levelno) == ("root", logging.WARNING)
        assert kept.one("and then to another").name == "app.db"


def test_logging_while_logging_ends():
    with listening("framewire.talker") as kept, Talker.spawn(name="talker") as talker:
        talker.log_while_logging().wait(LIMIT)
        kept.one("it says done")


def test_a_long_message_is_cut_and_says_so():
    with listening("framewire.talker") as kept, Talker.spawn(name="talker") as talker:
        talker.say_with("%s", "x" * 1_000_000).wait(LIMIT)
        wait_until(lambda: kept.records, "it is logged")
        assert re.fullmatch(r"x{32768}… \(967232 more characters\)", kept.records[0].getMessage())


SCRIPT = """
import logging, sys
sys.path.insert(0, {folder!r})
{setup}
from log_subjects import PlainTalker, Talker

if __name__ == "__main__":
    with Talker.spawn({arguments}) as talker:
        talker.say({level}, "careful").wait()
        talker.stumble().wait()
    {more}
"""


def ran(tmp_path, setup="", arguments='name="talker"', level=30, more="") -> subprocess.CompletedProcess[str]:
    script = tmp_path / "program.py"
    folder = str(Path(__file__).parent)
    script.write_text(SCRIPT.format(folder=folder, setup=setup, arguments=arguments, level=level, more=more))
    return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=LIMIT * 2, check=True)


def test_without_a_configuration_it_is_readable(tmp_path):
    told = ran(tmp_path).stderr
    assert "[talker] careful\n" in told
    assert re.search(r"\[talker\] could not find it\nTraceback .*\nLookupError: it was here a moment ago\n", told, re.S)
    # A process that set up its own keeps its own format, where nobody else has one.
    told = ran(tmp_path, arguments='10, "%(name)s/%(levelname)s: %(message)s", name="talker"', level=10).stderr
    assert "[talker] app.db/DEBUG: careful\n" in told


def test_a_program_sets_up_its_logging_once_for_all(tmp_path):
    setup = 'logging.basicConfig(level=logging.INFO, format="<%(processName)s|%(name)s|%(levelname)s> %(message)s")'
    told = ran(tmp_path, setup, level=20).stderr
    assert "<talker|app.db|INFO> careful\n" in told
    assert "<talker|app|ERROR> could not find it\nTraceback" in told
    assert told.count("careful") == 1


def test_a_process_that_does_not_log_does_not_import_it(tmp_path):
    told = ran(tmp_path, setup="", more="print(PlainTalker.spawn().imported().wait(), flush=True)").stdout
    # The script itself imports it, and a child imports the script.
    assert told == "True\n"
    script = tmp_path / "plain.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import framewire\n"
        "class Plain(framewire.Process):\n"
        "    @framewire.command\n"
        "    def imported(self):\n"
        "        return 'logging' in sys.modules\n"
        "if __name__ == '__main__':\n"
        "    with Plain.spawn() as plain:\n"
        "        print(plain.imported().wait())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=LIMIT * 2, check=True)
    assert done.stdout == "False\n"


FLOOD = """
import os, sys
sys.path.insert(0, {folder!r})
from log_subjects import Talker

if __name__ == "__main__":
    with Talker.spawn(name="talker") as talker:
        print(os.getpid(), flush=True)
        talker.flood({count}, {begin!r}, {done!r}).wait()
        talker.say(30, "afterwards").wait()
"""


def test_a_parent_that_does_not_listen_keeps_nobody_waiting_and_is_told_how_many_were_lost(tmp_path):
    script, begin, done = tmp_path / "program.py", tmp_path / "begin", tmp_path / "done"
    count = 20_000
    folder = str(Path(__file__).parent)
    script.write_text(FLOOD.format(folder=folder, count=count, begin=str(begin), done=str(done)))
    with open(tmp_path / "errors", "w+") as errors:
        parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert parent.stdout is not None
            assert int(parent.stdout.readline()) == parent.pid
            # Not before it has asked: stopped, it couldn't.
            wait_until((tmp_path / "begin.awaited").exists, "the process is asked")
            os.kill(parent.pid, signal.SIGSTOP)
            begin.touch()
            wait_until(done.exists, "it has said all", LIMIT * 2)
            os.kill(parent.pid, signal.SIGCONT)
            assert parent.wait(LIMIT * 2) == 0
        finally:
            parent.kill()
            parent.wait()
    told = (tmp_path / "errors").read_text()
    lost = sum(int(number) for number in re.findall(r"\[talker\] (\d+) log records were dropped", told))
    heard = len(re.findall(r"^\[talker\] line \d+$", told, re.M))
    assert "[talker] afterwards\n" in told
    assert lost > 0
    assert lost + heard == count


@pytest.mark.parametrize("fork", [False, True])
def test_a_forked_child_of_a_process_writes_to_the_stream(tmp_path, fork):
    script = tmp_path / "program.py"
    script.write_text(
        "import logging, os, framewire\n"
        "class Forking(framewire.Process):\n"
        "    @framewire.command\n"
        "    def log(self, fork):\n"
        "        if not fork:\n"
        "            logging.warning('mine'); return\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n"
        "            logging.warning('the fork speaks'); os._exit(0)\n"
        "        os.waitpid(pid, 0)\n"
        "if __name__ == '__main__':\n"
        "    with Forking.spawn(name='forking') as forking:\n"
        f"        forking.log({fork}).wait()\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=LIMIT * 2, check=True)
    assert f"[forking] WARNING:root:{'the fork speaks' if fork else 'mine'}\n" in done.stderr


def test_what_a_childs_child_logs_and_prints_is_its_own():
    with listening("framewire.inner", logging.DEBUG) as kept, Talker.spawn(logging.DEBUG, name="outer") as talker:
        talker.have_a_child_talk("inner", "found", "printed").wait(LIMIT)
        record = kept.one("found")
        assert (record.levelno, record.name, record.processName) == (logging.DEBUG, "app.db", "inner")
        assert kept.one("printed").process_name == "inner"
