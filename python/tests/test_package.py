"""The package as it is installed."""

import re
from importlib.metadata import version

import framewire


def test_the_version_is_the_engines_own():
    assert re.fullmatch(r"\d+\.\d+\.\d+", framewire.__version__)
    assert version("framewire") == framewire.__version__
