"""Ways to start a process: some modules are run once with each."""

from __future__ import annotations

import signal

import pytest

import framewire

# A shell that starts the tests in the background has them ignore it, and what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)

WITH_EACH_LAUNCHER = {"test_process_async", "test_process_calls", "test_process_life"}


def pytest_generate_tests(metafunc):
    if metafunc.module.__name__ in WITH_EACH_LAUNCHER:
        metafunc.fixturenames.append("launcher")
        metafunc.parametrize("launcher", ["anew", "copied"], indirect=True)


@pytest.fixture
def launcher(request, monkeypatch):
    """Whether processes are started anew, or are copies of a zygote."""
    modules = ["process_subjects"] if request.param == "copied" else None
    monkeypatch.setattr(framewire.default_system(), "preload", modules)
    init = framewire.System.__init__
    monkeypatch.setattr(framewire.System, "__init__", lambda self, preload=modules: init(self, preload))
