"""The tutorial, as its reader does it: its files are written, its commands and prompts are run, what comes is compared.

A block says by itself what it is: a file begins with its name (`# ping.py`), a prompt with `>>>`, a `console` block has
commands after `$` and what they print, and `^C` is where the reader presses Ctrl-C. A block in Rust quotes the example.
"""

import contextlib
import doctest
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial-python.md"
EXAMPLE = ROOT / "crates" / "process" / "examples" / "languages.rs"
LIMIT = 120.0  # seconds for one command: generous, the machine may be busy

FILE = re.compile(r"# (\w+\.py)\n")


class Block(NamedTuple):
    kind: str
    text: str
    line: int


class Section(NamedTuple):
    title: str
    blocks: list[Block]


def sections() -> list[Section]:
    found = [Section("before", [])]
    kind, text, line = None, "", 0
    for number, each in enumerate(TUTORIAL.read_text().splitlines(keepends=True), 1):
        if kind is None and each.startswith("## "):
            found.append(Section(each[3:].strip(), []))
        elif kind is None and each.startswith("```"):
            kind, text, line = each[3:].strip(), "", number + 1
        elif each.startswith("```"):
            found[-1].blocks.append(Block(kind or "", text, line))
            kind = None
        else:
            text += each
    assert kind is None, f"the block in line {line} has no end"
    return [section for section in found if section.blocks]


SECTIONS = sections()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("at", range(len(SECTIONS)), ids=[section.title for section in SECTIONS])
def test_what_the_tutorial_shows_is_what_comes(at, tmp_path):
    section = SECTIONS[at]
    if "$FRAMEWIRE_EXAMPLES" in str(section.blocks) and "FRAMEWIRE_EXAMPLES" not in os.environ:
        pytest.skip("FRAMEWIRE_EXAMPLES doesn't say where the example programs are")
    # Its reader has the files of the sections before.
    for block in (block for earlier in SECTIONS[:at] for block in earlier.blocks):
        if FILE.match(block.text):
            write(block, tmp_path)
    prompts = ""
    for block in section.blocks:
        if block.kind == "python" and FILE.match(block.text):
            write(block, tmp_path)
        elif block.kind == "python" and block.text.startswith(">>> "):
            prompts += block.text + "\n"
        elif block.kind == "console" and block.text.startswith("$ "):
            for command, prints in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
                run(command, prints, tmp_path, block.line)
        elif block.kind == "rust":
            assert_quoted(block)
        else:
            pytest.fail(f"line {block.line}: nobody runs a block of {block.kind!r} that begins so: {block.text[:40]!r}")
    if prompts:
        (tmp_path / "prompts").write_text(prompts)
        run("python -m doctest -o ELLIPSIS prompts", "", tmp_path, section.blocks[0].line)


def write(block: Block, folder: Path) -> None:
    (folder / FILE.match(block.text)[1]).write_text(block.text)


def assert_quoted(block: Block) -> None:
    theirs = {line.strip() for line in EXAMPLE.read_text().splitlines()}
    unknown = [line for line in block.text.splitlines() if line.strip() not in theirs | {""}]
    assert unknown == [], f"line {block.line}: {EXAMPLE.name} has no such lines"


def run(command: str, prints: str, folder: Path, line: int) -> None:
    """Runs it in a terminal's place."""
    prints, stopped, _ = prints.partition("^C\n")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    # As a reader has it: what lies in the folder is found.
    environment.pop("PYTHONSAFEPATH", None)
    output = folder / "output"
    with output.open("wb") as to:
        started = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=to,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        if stopped:
            end = time.monotonic() + LIMIT
            while not is_same(prints + "...\n", output.read_text()) and started.poll() is None:
                assert time.monotonic() < end, f"line {line}: `{command}` printed only {output.read_text()}"
                time.sleep(0.05)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGINT)
            prints += "...\n"
        started.wait(LIMIT)
    finally:
        # Whatever went wrong, nothing of it is left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(LIMIT)
    said = output.read_text()
    assert is_same(prints, said), f"line {line}: `{command}` should print\n{prints}\nand printed\n{said}"


def is_same(prints: str, said: str) -> bool:
    return doctest.OutputChecker().check_output(prints, said, doctest.ELLIPSIS)
