"""What a process can't be given: told by its own name, and nothing is started."""

from __future__ import annotations

import math

import pytest
from process_subjects import LIMIT, Subject

import framewire


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"ready_within": "x"}, TypeError, "ready_within is 'x'"),
        ({"ready_within": math.nan}, ValueError, "ready_within is nan"),
        ({"responsive_within": math.nan}, ValueError, "responsive_within is nan"),
        ({"responsive_within": -1}, ValueError, "responsive_within is -1"),
        ({"env": {"A": 5}}, TypeError, "env has 'A': 5"),
        ({"env": {"A=": "x"}}, ValueError, "env has 'A='"),
        ({"env": ["A"]}, TypeError, "env is"),
        ({"limits": {"open_files": -1}}, ValueError, "limit 'open_files' is -1"),
        ({"limits": {"doors": 1}}, ValueError, "doors"),
        ({"unread_events": -1}, ValueError, "unread_events is -1"),
        ({"unread_events": 0}, ValueError, "unread_events is 0"),
        ({"overflow": "burst"}, ValueError, "burst"),
        ({"name": 5}, TypeError, "name is 5"),
        ({"name": ""}, ValueError, "name is ''"),
        ({"name": "a/b\n"}, ValueError, "name is"),
        ({"restart": ("always", 3)}, TypeError, "restart is"),
        ({"restart": "sometimes"}, ValueError, "sometimes"),
        ({"restart": framewire.Restart("always", at_most=-1)}, ValueError, "at_most of its Restart is -1"),
        ({"restart": framewire.Restart("always", within=math.nan)}, ValueError, "within of its Restart is nan"),
        ({"nice": 100}, ValueError, "nice is 100"),
        ({"nice": 1.5}, TypeError, "nice is 1.5"),
        ({"cpus": []}, ValueError, "cpus is empty"),
        ({"cpus": 0}, TypeError, "cpus is 0"),
        ({"memory_limit": 0}, ValueError, "memory_limit is 0"),
    ],
)
def test_of_a_process(options, error, said):
    with pytest.raises(error) as raised:
        Subject.begin(**options)
    assert "could not spawn a process" in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"workers": 2.0}, TypeError, "workers is 2.0"),
        ({"workers": "2"}, TypeError, "workers is '2'"),
        ({"workers": 0}, ValueError, "workers is 0"),
        ({"memory_limit": 0}, ValueError, "memory_limit is 0"),
        ({"redeliver": -1}, ValueError, "redeliver is -1"),
        ({"ready_within": math.nan}, ValueError, "ready_within is nan"),
        ({"env": {"A": None}}, TypeError, "env"),
        ({"name": "\n"}, ValueError, "name is"),
    ],
)
def test_of_a_pool(options, error, said):
    with pytest.raises(error) as raised:
        framewire.Pool(**{"workers": 1, **options})
    assert "could not make a pool" in str(raised.value)
    assert said in str(raised.value)


def test_no_limit_is_no_trouble():
    """However long: nothing overflows."""
    with framewire.System() as system:
        for limit in (math.inf, 1e300, 1e10):
            restart = framewire.Restart("on_failure", within=limit, longest_delay=limit)
            handle = Subject.spawn(ready_within=limit, responsive_within=limit, restart=restart, system=system)
            assert handle.add(1).wait(timeout=limit) == 2
            assert handle.stop(limit).is_success
            with framewire.Pool(1, ready_within=limit, system=system) as pool:
                assert pool.apply_async(abs, (-1,)).get(limit) == 1
        system.stop(math.inf)


def test_nan_is_no_limit():
    handle = Subject.spawn()
    with pytest.raises(ValueError, match="NaN seconds for grace"):
        handle.stop(math.nan)
    with pytest.raises(ValueError, match="NaN seconds"):
        handle.join(math.nan)
    assert handle.stop(LIMIT).is_success


def test_a_command_is_a_method():
    with pytest.raises(TypeError, match="directly above `def`"):

        class Wrong(framewire.Process):
            @framewire.command
            @property
            def what(self):
                return 1


def test_a_name_that_is_taken():
    first = Subject.spawn(name="taken")
    with pytest.raises(framewire.StartError, match="of that name already; stop it first"):
        Subject.spawn(name="taken")
    first.stop()
    with Subject.spawn(name="taken") as again:
        assert again.name == "taken"


def test_a_handle_lists_its_commands():
    with Subject.spawn() as handle:
        assert {"add", "echo", "stop", "events"} <= set(dir(handle))
