from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import select
import signal
import threading
import time

import pytest
from process_subjects import LIMIT, Leaves, NeverReady, Subject, is_gone, wait_until

import framewire


def test_a_process_is_stopped_in_order(tmp_path):
    log = tmp_path / "log"
    handle = Subject.spawn(log=str(log))
    assert handle.state == "ready"
    assert handle.is_alive()
    assert handle.exitcode is None
    assert handle.join(0) is None
    assert handle.stop(LIMIT).is_success
    assert log.read_text() == "stopped\n"
    assert (handle.exitcode, handle.state, handle.is_alive()) == (0, "exited", False)


@pytest.mark.parametrize(
    ("end", "code"), [("terminate", -signal.SIGTERM), ("kill", -signal.SIGKILL)], ids=["terminate", "kill"]
)
def test_signals(end, code):
    handle = Subject.spawn()
    getattr(handle, end)()
    assert handle.join(LIMIT).code == handle.exitcode == code


def test_an_exit_code_is_told():
    handle = Subject.spawn()
    with pytest.raises(framewire.DiedError, match="exit code 3"):
        handle.leave(3).wait(LIMIT)
    assert handle.exitcode == 3


def test_interrupt_reaches_the_handler_and_nothing_else():
    with Subject.spawn() as handle:
        for _ in range(3):
            handle.interrupt()  # nobody is at work: nothing happens, unless it comes so late that somebody is
            with contextlib.suppress(framewire.HandlerError):
                assert handle.add(1).wait(LIMIT) == 2
        asleep = handle.sleep(LIMIT)
        pending = asleep._core.begin()
        assert pending.wait(0.0) is None

        def interrupt_until_it_ends() -> None:
            end = time.monotonic() + LIMIT
            while time.monotonic() < end:
                handle.interrupt()
                pending.wait(0.1)

        with pytest.raises(framewire.HandlerError, match="KeyboardInterrupt"):
            interrupt_until_it_ends()
        with contextlib.suppress(framewire.HandlerError):
            handle.add(1).wait(LIMIT)  # the last interrupt may come so late
        assert handle.add(1).wait(LIMIT) == 2


def test_ctrl_c_ends_a_wait_soon():
    with Subject.spawn() as handle:
        for wait in (lambda: handle.sleep(LIMIT).wait(), lambda: handle.events.next(), lambda: handle.join()):
            sent: list[float] = []

            def interrupt(sent: list[float] = sent) -> None:
                sent.append(time.monotonic())
                signal.raise_signal(signal.SIGINT)

            timer = threading.Timer(0.2, interrupt)
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                wait()
            assert time.monotonic() - sent[0] < 5  # 0.1 on a machine that has time; the benchmark measures it
            timer.join()


def test_what_start_raises_is_the_error_of_spawn():
    with pytest.raises(framewire.StartError, match="ValueError: no model") as caught:
        Subject.spawn(fail="no model")
    assert "process_subjects.py" in str(caught.value)
    with pytest.raises(TypeError, match="unexpected keyword argument 'basis'"):
        Subject.spawn(basis=1)


def test_one_that_is_not_ready_in_time_is_an_error():
    with pytest.raises(framewire.StartError, match="not ready in time"):
        NeverReady.spawn(ready_within=0.2)


def test_one_that_died_is_started_again():
    with Subject.spawn(base=5, restart="on_failure") as handle:
        first = handle.pid
        handle.kill()
        wait_until(lambda: handle.restarts == 1 and handle.state == "ready", "it is back")
        assert handle.pid != first
        assert handle.add(1).wait(LIMIT) == 7
        assert handle.last_exit.code == -9


def test_calls_may_wait_for_the_restart():
    with Subject.spawn(restart=framewire.Restart("always", at_most=100), wait_for_restart=True) as handle:
        killer = threading.Timer(0.1, handle.kill)
        killer.start()
        assert handle.sleep(0.5).wait(LIMIT) == 0.5
        assert handle.restarts == 1


def test_it_is_given_up_after_so_many():
    policy = framewire.Restart("always", at_most=2, within=60)
    handle = Subject.spawn(restart=policy)
    while handle.exit is None:
        handle.kill()
        time.sleep(0.01)
    assert handle.state == "failed"
    assert handle.restarts == 2
    with pytest.raises(ValueError, match='no restart "sometimes"'):
        Subject.spawn(restart="sometimes")


def test_surroundings(tmp_path):
    with Subject.spawn(
        name="me",
        cwd=tmp_path,
        nice=5,
        cpus=[min(os.sched_getaffinity(0))],
        env={"ONE": "1", "HOME": None},
        limits={"core_bytes": 0},
    ) as handle:
        seen = handle.surroundings().wait(LIMIT)
    assert seen["cwd"] == str(tmp_path)
    assert seen["nice"] >= 5
    assert seen["cpus"] == {min(os.sched_getaffinity(0))}
    assert seen["env"]["ONE"] == "1"
    assert "HOME" not in seen["env"]
    assert seen["name"] == "me"
    with pytest.raises(ValueError, match='no limit "cores"'):
        Subject.spawn(limits={"cores": 1})
    with pytest.raises(framewire.SpawnError, match="nowhere"):
        Subject.spawn(cwd="/nowhere")


def test_a_memory_limit_ends_it():
    handle = Subject.spawn(memory_limit=200 << 20)
    with pytest.raises(framewire.DiedError) as caught:
        handle.take_memory(5000).wait(LIMIT)
    assert caught.value.how.kind == "out_of_memory"


def test_one_that_hangs_is_found(tmp_path):
    handle = Subject.spawn(responsive_within=0.5)
    with pytest.raises(framewire.DiedError) as caught:
        handle.hold_the_lock().wait(LIMIT)
    assert caught.value.how.kind == "unresponsive"


def test_what_it_writes_is_logged_and_told_at_its_end(caplog):
    caplog.set_level(logging.INFO, "framewire")
    handle = Subject.spawn(name="writer")
    handle.write("to the one", "to the other").wait(LIMIT)
    handle.kill()
    handle.join(LIMIT)
    assert {"to the one", "to the other"} <= set(handle.last_lines)

    def logged() -> bool:
        told = {(record.name, record.getMessage()) for record in caplog.records}
        return {("framewire.writer", "to the one"), ("framewire.writer", "to the other")} <= told

    wait_until(logged, "both lines are logged")


def test_children_of_children():
    with Subject.spawn(base=10) as handle:
        child = handle.spawn_a_child().wait(LIMIT)
        assert handle.ask_the_child(1).wait(LIMIT) == 13
        assert not is_gone(child)
        handle.kill()
        wait_until(lambda: is_gone(child), "the grandchild went too")


def test_a_sentinel_is_readable_at_the_end():
    handle = Subject.spawn()
    assert select.select([handle], [], [], 0)[0] == []
    handle.kill()
    assert select.select([handle, handle.sentinel], [], [], LIMIT)[0]


def test_a_system_stops_all_that_is_its_own():
    with framewire.System() as system:
        handles = [Subject.spawn(system=system) for _ in range(3)]
        assert len({handle.name for handle in handles}) == 3
        system.stop(LIMIT)
    assert [handle.exitcode for handle in handles] == [0, 0, 0]
    with pytest.raises(framewire.StartError):
        Subject.spawn(system=system)


def test_a_forked_child_is_refused():
    with Subject.spawn() as handle:
        call = handle.add(1)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                handle.add(1)
            except framewire.ForkedError:
                try:
                    handle.join(0)
                except framewire.ForkedError:
                    code = 0 if "of another process" in repr(handle) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert call.wait(LIMIT) == 2


def test_nothing_is_left():
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    with Subject.spawn():
        pass
    before = descriptors()
    for _ in range(5):
        with Subject.spawn() as handle:
            handle.add(1).wait(LIMIT)
        del handle
    wait_until(lambda: descriptors() <= before, "all descriptors are closed")


def test_fifty_at_once():
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 400
    with framewire.System() as system:
        handles: list[framewire.Handle] = []
        threads = [
            threading.Thread(target=lambda: handles.append(Subject.spawn(system=system, ready_within=LIMIT * 4)))
            for _ in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({handle.where().wait(LIMIT) for handle in handles}) == 50
    assert {handle.exitcode for handle in handles} <= {0, -signal.SIGTERM, -signal.SIGKILL}


def test_a_command_that_would_hide_the_handles_own_is_refused():
    with pytest.raises(TypeError, match="rename it"):

        class _Joins(framewire.Process):
            @framewire.command
            def join(self) -> None:
                pass

    with pytest.raises(TypeError, match="an option of spawn"):

        class _Named(framewire.Process):
            def start(self, name: str) -> None:
                pass


def test_a_class_inside_of_a_function_is_refused():
    class Local(framewire.Process):
        pass

    with pytest.raises(framewire.SpawnError, match="inside of a function"):
        Local.spawn()


@pytest.mark.parametrize("how", ["stopped", "leave", "leave_later"])
def test_what_a_process_leaves_behind_is_written(tmp_path, launcher, how):
    leaves = Leaves.spawn(str(tmp_path))
    leaves.write("written").wait(LIMIT)
    assert (tmp_path / "file").read_text() == ""
    if how == "stopped":
        assert leaves.stop(LIMIT).code == 0
    else:
        with pytest.raises(framewire.DiedError):
            leaves.call(how).wait(LIMIT)
        assert leaves.join(LIMIT).code == 3
    assert (tmp_path / "file").read_text() == ("written" if how == "stopped" else "writtenleft")
    assert (tmp_path / "said").read_text() == "del\natexit\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "said"]  # the temporary folder is gone
