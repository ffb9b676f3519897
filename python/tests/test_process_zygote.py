"""Processes that are copies of an interpreter."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from process_subjects import LIMIT, Subject, is_gone, wait_until

import framewire


class Copy(framewire.Process):
    """Looks at itself."""

    @framewire.command
    def has(self, module: str) -> bool:
        return module in sys.modules

    @framewire.command
    def numbers(self) -> tuple[float, float]:
        import random

        import numpy

        return random.random(), numpy.random.random()

    @framewire.command
    def product(self, size: int) -> float:
        """Something of which BLAS makes several threads' work."""
        import numpy

        return float((numpy.ones((size, size)) @ numpy.ones((size, size))).sum())

    @framewire.command
    def children(self, preload: list[str] | None) -> int:
        with Subject.spawn(preload=preload) as inner:
            return inner.add(1).wait(LIMIT)

    @framewire.command
    def surroundings(self) -> tuple[str, int, dict[str, str]]:
        return os.getcwd(), os.nice(0), dict(os.environ)


def children() -> dict[int, str]:
    """The command lines of this process's children."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline") as line:
            if stat.read().rsplit(")", 1)[1].split()[1] == str(os.getpid()):
                found[int(pid)] = line.read().replace("\0", " ")
    return found


# Zygotes of other systems, which other tests have used.
others: set[int] = set()


def zygotes() -> set[int]:
    return {pid for pid, line in children().items() if "_zygote.py" in line} - others


def is_copy(handle: framewire.Handle) -> bool:
    # A copy's title is what it has become; one that was started anew shows how.
    return children()[handle.pid].startswith("framewire __process python")


@pytest.fixture
def system():
    others.clear()
    others.update(zygotes())
    with framewire.System() as system:
        yield system


def test_a_copy_has_what_was_preloaded(system):
    system.preload = ["fractions", "numpy"]
    handles = [Copy.spawn(system=system) for _ in range(3)]
    assert len(zygotes()) == 1
    assert all(is_copy(handle) for handle in handles)
    assert handles[0].has("fractions").wait(LIMIT)
    plain = Copy.spawn(system=system, preload=[])
    assert len(zygotes()) == 2
    assert is_copy(plain)
    assert not plain.has("fractions").wait(LIMIT)
    system.preload = None
    anew = Copy.spawn(system=system)
    assert not is_copy(anew)


def test_copies_have_random_numbers_of_their_own(system):
    handles = [Copy.spawn(system=system, preload=["numpy.random"]) for _ in range(4)]
    assert all(is_copy(handle) for handle in handles)
    numbers = [handle.numbers().wait(LIMIT) for handle in handles]
    assert len({one for one, _ in numbers}) == len({other for _, other in numbers}) == 4


def test_threads_that_a_library_can_start_again_are_no_hindrance(system):
    handles = [Copy.spawn(system=system, preload=["numpy"]) for _ in range(2)]
    assert all(is_copy(handle) for handle in handles)
    for call in [handle.product(400) for handle in handles]:
        assert call.wait(LIMIT) == 400.0**3


def test_a_copy_has_the_surroundings_of_now_and_not_of_its_zygote(system, monkeypatch, tmp_path):
    monkeypatch.setenv("FRAMEWIRE_GOES", "there")
    monkeypatch.setenv("FRAMEWIRE_CHANGES", "old")
    Copy.spawn(system=system, preload=[])
    monkeypatch.delenv("FRAMEWIRE_GOES")
    monkeypatch.setenv("FRAMEWIRE_CHANGES", "new")
    monkeypatch.setenv("FRAMEWIRE_COMES", "ä=\n")
    monkeypatch.chdir(tmp_path)
    handle = Copy.spawn(system=system, preload=[], env={"FRAMEWIRE_GIVEN": "1"}, nice=os.nice(0) + 3)
    assert is_copy(handle)
    folder, nice, environment = handle.surroundings().wait(LIMIT)
    assert (folder, nice) == (str(tmp_path), os.nice(0) + 3)
    told = {name: value for name, value in environment.items() if name.startswith("FRAMEWIRE_") and name[10] in "GC"}
    assert told == {"FRAMEWIRE_CHANGES": "new", "FRAMEWIRE_COMES": "ä=\n", "FRAMEWIRE_GIVEN": "1"}


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder of modules that are on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def why_not(caplog, system, preload) -> str:
    with caplog.at_level(logging.INFO, "framewire"):
        handle = Subject.spawn(system=system, preload=preload)
        assert handle.add(1).wait(LIMIT) == 2
    assert not is_copy(handle)
    framewire._core.flush_log()
    return caplog.text


def test_a_module_that_starts_a_thread_is_named_and_processes_start_anew(caplog, system, modules):
    (modules / "threadful.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    )
    told = why_not(caplog, system, ["fractions", "threadful"])
    assert "copy an interpreter with 2 threads: they were started by the import of 'threadful'" in told


def test_a_module_that_raises_is_named_and_processes_start_anew(caplog, system, modules):
    (modules / "broken.py").write_text("raise RuntimeError('no camera')\n")
    assert "preload 'broken': RuntimeError: no camera" in why_not(caplog, system, ["broken"])


def test_a_module_that_ends_the_zygote_is_no_harm(caplog, system, modules):
    (modules / "deadly.py").write_text("import os\nos._exit(3)\n")
    assert "the zygote has ended" in why_not(caplog, system, ["deadly"])


def test_a_path_that_is_no_text_is_no_hindrance(system, monkeypatch, modules):
    monkeypatch.setattr(sys, "path", [*sys.path, modules])
    assert is_copy(Copy.spawn(system=system, preload=[]))


def test_what_a_preloaded_module_prints_is_not_said_by_its_copies(system, modules):
    (modules / "talkative.py").write_text("print('loading', end='')\n")
    handle = Subject.spawn(system=system, preload=["talkative"])
    assert is_copy(handle)
    with pytest.raises(framewire.DiedError):
        handle.leave(3).wait(LIMIT)
    assert handle.last_lines == []


def test_what_cannot_be_preloaded_is_an_error_at_once(system):
    with pytest.raises(ModuleNotFoundError, match=r"could not preload .no_such_module\.part."):
        Subject.spawn(system=system, preload=["no_such_module.part"])
    with pytest.raises(TypeError, match=r"give a list of modules, \['numpy'\]"):
        Subject.spawn(system=system, preload="numpy")
    with pytest.raises(TypeError, match="only a Python process can have modules preloaded"):
        system.spawn_program("/bin/true", kind="any", preload=[])


def test_copies_outlive_their_zygote_and_there_is_another_one(system):
    first = Copy.spawn(system=system, preload=[])
    (old,) = zygotes()
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: is_gone(old), "the zygote is gone")
    assert first.has("sys").wait(LIMIT)
    second = Copy.spawn(system=system, preload=[])
    assert is_copy(second)
    (new,) = zygotes()
    assert new != old
    first.kill()
    assert first.join(LIMIT).code == -signal.SIGKILL
    system.stop()
    wait_until(lambda: children().keys().isdisjoint({old, new, second.pid}), "nothing is left")


def test_a_killed_copy_is_replaced_by_a_copy(system):
    handle = Copy.spawn(system=system, preload=[], restart="on_failure")
    before = handle.pid
    handle.kill()
    wait_until(lambda: handle.restarts == 1 and handle.state == "ready", "it is ready again")
    assert handle.pid != before
    assert is_copy(handle)
    assert handle.has("sys").wait(LIMIT)


def test_copies_have_children_of_their_own(system):
    handle = Copy.spawn(system=system, preload=[])
    assert [handle.children(preload).wait(LIMIT) for preload in (None, [])] == [2, 2]


def test_a_stopped_zygote_holds_nobody_up(system):
    Copy.spawn(system=system, preload=[])
    (zygote,) = zygotes()
    os.kill(zygote, signal.SIGSTOP)
    handle = Copy.spawn(system=system, preload=[])
    assert handle.has("sys").wait(LIMIT)
    wait_until(lambda: is_gone(zygote), "one that doesn't answer is killed")


def test_at_most_four_zygotes_live(system, modules):
    for number in range(6):
        (modules / f"choice{number}.py").touch()
        handle = Copy.spawn(system=system, preload=[f"choice{number}"])
        assert is_copy(handle)
    wait_until(lambda: len(zygotes()) == 4, "the first two have ended")
    assert is_copy(Copy.spawn(system=system, preload=["choice0"]))


def test_workers_of_a_pool_are_copies(system):
    with framewire.Pool(2, preload=["fractions"], system=system, redeliver=2) as pool:
        assert all(children()[pid].startswith("framewire __process python") for _, pid in pool._core.workers())
        assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))
        os.kill(pool._core.workers()[0][1], signal.SIGKILL)
        assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))


SCRIPT = """
import os, sys
import framewire

with open(sys.argv[1], "a") as imports:
    imports.write(f"{os.getpid()}\\n")

class Here(framewire.Process):
    @framewire.command
    def main(self):
        return sys.modules["__main__"].__name__, sys.argv[1:]

    @framewire.command
    def work(self):
        while True:
            pass

if __name__ == "__main__":
    system = framewire.System(preload=["__main__"])
    processes = [Here.spawn(system=system) for _ in range(4)]
    assert {process.main().wait(30)[0] for process in processes} == {"__mp_main__"}
    assert processes[0].main().wait(30)[1] == sys.argv[1:]
    for process in processes:
        process.work().detach()
    print(*(process.pid for process in processes), flush=True)
    sys.stdin.read()
"""


def test_the_main_module_is_imported_once_and_all_end_with_a_killed_parent(tmp_path):
    script, imports = tmp_path / "script.py", tmp_path / "imports"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, str(script), str(imports)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 4
        imported = [int(line) for line in imports.read_text().split()]
        assert len(imported) == 2, "by the script and by its zygote"
        assert imported[0] == parent.pid
        assert imported[1] not in pids
        parent.kill()
    wait_until(lambda: all(is_gone(pid) for pid in [*pids, imported[1]]), "the zygote and its copies are gone")
