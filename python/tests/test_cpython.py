"""CPython's own tests of multiprocessing, with Framewire in its place.

They pass, but for those that cpython/suite.py gives reasons for.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("cpython") / "suite.py"
# All of it takes two minutes on two cores, and six where six others build on them.
LIMIT = 1200


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the suite and its exceptions are those of CPython 3.11")
@pytest.mark.skipif(
    importlib.util.find_spec("test._test_multiprocessing") is None, reason="this CPython came without its tests"
)
@pytest.mark.timeout(LIMIT)
def test_cpythons_own_tests_pass():
    ran = subprocess.run([sys.executable, SUITE], capture_output=True, text=True, timeout=LIMIT, check=False)
    told = re.search(r"^Ran (\d+) tests", ran.stderr, re.M)
    assert ran.returncode == 0, ran.stderr
    assert told, ran.stderr
    assert int(told[1]) > 220, "they weren't all found"
