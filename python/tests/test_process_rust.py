"""Python starts programs in Rust, and these start Python, over the same wire."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from process_subjects import LIMIT

import framewire

# `cargo xtask test python` builds the examples and says where they are.
_FOLDER = os.environ.get("FRAMEWIRE_EXAMPLES")

pytestmark = pytest.mark.skipif(_FOLDER is None, reason="FRAMEWIRE_EXAMPLES doesn't say where the example programs are")


@pytest.fixture(scope="module")
def program() -> str:
    program = Path(_FOLDER or "") / "languages"
    assert program.exists(), f"there is no {program}"
    return str(program)


@pytest.fixture
def adder(program):
    with framewire.spawn_program(program, kind="adder", config={"first": 40}) as handle:
        yield handle


def test_python_asks_rust(adder):
    assert adder.name.startswith("adder")
    assert adder.add(more=2).wait(LIMIT) == 42
    assert adder.half().wait(LIMIT) == {"Ok": 21}
    assert adder.add(more=1).wait(LIMIT) == 43
    assert adder.half().wait(LIMIT) == {"Err": "43 is odd"}
    assert [adder.events.next(LIMIT) for _ in range(2)] == [{"sum": 42}, {"sum": 43}]
    for count in (10, 1_000_000):
        assert adder.bytes(count=count).wait(LIMIT) == b"\7" * count


def test_what_goes_wrong_in_rust_is_told(adder, program):
    with pytest.raises(framewire.HandlerError, match="on purpose"):
        adder.fail().wait(LIMIT)
    with pytest.raises(framewire.HandlerError, match="unknown variant `subtract`"):
        adder.subtract(less=1).wait(LIMIT)
    with pytest.raises(framewire.HandlerError, match="missing field `more`"):
        adder.add().wait(LIMIT)
    with pytest.raises(TypeError, match="arguments by name"):
        adder.add(1)
    with pytest.raises(framewire.CodecError, match="could not encode a object"):
        adder.add(more=object())
    assert adder.add(more=0).wait(LIMIT) == 40
    with pytest.raises(framewire.StartError, match="missing field `first`"):
        framewire.spawn_program(program, kind="adder", config={})
    with pytest.raises(framewire.StartError):
        framewire.spawn_program(program, kind="subtractor")
    with pytest.raises(framewire.StartError, match="no-such-program"):
        framewire.spawn_program("/no-such-program", kind="adder")


def test_a_killed_program_ends_its_calls(adder):
    adder.kill()
    assert adder.join(LIMIT) is not None
    with pytest.raises(framewire.DiedError):
        adder.add(more=1).wait(LIMIT)
    assert adder.join(LIMIT).code == -9


WORDS = """
import framewire

class Words(framewire.Process):
    def start(self, language):
        assert language == "English"

    @framewire.command
    def count(self, text):
        self.emit(f"counted {text}")
        return len(text.split())

    @framewire.command
    async def fail(self, why):
        raise LookupError(why)
"""


def test_rust_asks_python(program, tmp_path):
    (tmp_path / "words.py").write_text(WORDS)
    environment = {
        **os.environ,
        "FRAMEWIRE_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
    }
    done = subprocess.run([program, "words:Words"], env=environment, text=True, capture_output=True, timeout=LIMIT)
    assert done.stdout.splitlines() == [
        "words: 4",
        "error: call words: its handler failed: LookupError: no dictionary",
        "event: counted a word or two",
        "end: exit code 0",
    ], done.stderr
    missing = subprocess.run([program, "nowhere:Words"], env=environment, text=True, capture_output=True, timeout=LIMIT)
    assert missing.returncode == 1
    assert "no module 'nowhere'" in missing.stderr
