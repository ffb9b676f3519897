"""The package as it is installed."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import framewire


def test_the_version_is_the_engines_own():
    assert re.fullmatch(r"\d+\.\d+\.\d+", framewire.__version__)
    assert version("framewire") == framewire.__version__


def test_the_stubs_are_what_was_built():
    stubs = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "framewire._core", "--allowlist", "stubtest-allowlist.txt"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert stubs.returncode == 0, stubs.stdout + stubs.stderr
