"""Programs of all sorts: each is run by an interpreter of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from process_subjects import LIMIT, is_gone, wait_until

SCRIPT = """
import sys
import framewire

VALUE = __name__

class Here(framewire.Process):
    @framewire.command
    def where(self):
        return VALUE, sys.argv

def double(number):
    return 2 * number
"""


def run(*command: str, script: str = "", cwd=None, **options) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": ""}
    return subprocess.run(
        [sys.executable, *command],
        input=script,
        text=True,
        capture_output=True,
        timeout=LIMIT * 2,
        cwd=cwd,
        env=environment,
        **options,
    )


def write(path, text: str):
    path.write_text(SCRIPT + textwrap.dedent(text))
    return str(path)


def test_a_script_is_imported_by_its_children(tmp_path):
    path = write(
        tmp_path / "script.py",
        """
        if __name__ == "__main__":
            with Here.spawn() as here:
                print(here.where().wait(30))
            with framewire.Pool(2) as pool:
                print(pool.map(double, range(3)))
        """,
    )
    done = run(path, "one", "two")
    assert done.stdout == f"('__mp_main__', {[path, 'one', 'two']!r})\n[0, 2, 4]\n", done.stderr
    # By a relative path, and from a folder that is left meanwhile.
    moved = write(
        tmp_path / "moved.py",
        "if __name__ == '__main__':\n    import os; os.chdir('/'); print(Here.spawn().where().wait(30)[0])\n",
    )
    done = run(os.path.basename(moved), cwd=tmp_path)
    assert done.stdout == "__mp_main__\n", done.stderr


def test_a_module_is_imported_by_its_name(tmp_path):
    write(tmp_path / "named.py", "if __name__ == '__main__':\n    print(Here.spawn().where().wait(30)[0])\n")
    done = run("-m", "named", cwd=tmp_path)
    assert done.stdout == "__mp_main__\n", done.stderr


def test_a_script_without_a_guard_is_no_fork_bomb(tmp_path):
    path = write(tmp_path / "bomb.py", "Here.spawn()\n")
    done = run(path)
    assert done.returncode == 1
    assert 'if __name__ == "__main__"' in done.stderr
    assert "StartError" in done.stderr


@pytest.mark.parametrize("how", ["-c", "stdin"])
def test_what_no_child_can_import_is_refused(how):
    absent = "import sys; sys.modules['cloudpickle'] = None\n"
    script = absent + SCRIPT + "Here.spawn()\n"
    done = run("-c", script) if how == "-c" else run("-", script=script)
    assert done.returncode == 1
    assert "cloudpickle" in done.stderr
    script = absent + SCRIPT + "framewire.Pool(1).map(double, [1])\n"
    done = run("-c", script) if how == "-c" else run("-", script=script)
    assert "cloudpickle" in done.stderr


@pytest.mark.parametrize("how", ["-c", "stdin"])
def test_cloudpickle_is_used_if_it_is_there(how):
    script = SCRIPT.replace("VALUE = __name__", "VALUE = 'by value'") + (
        "print(Here.spawn().where().wait(30)[0])\n"
        "with framewire.Pool(1) as pool:\n"
        "    print(pool.map(double, [1, 2]), pool.starmap(lambda one, other: one + other, [(1, 2)]))\n"
    )
    done = run("-c", script) if how == "-c" else run("-", script=script)
    assert done.stdout == "by value\n[2, 4] [3]\n", done.stderr


def test_a_class_of_a_module_can_be_spawned_from_a_prompt(tmp_path):
    (tmp_path / "elsewhere.py").write_text(SCRIPT)
    done = run("-c", "import elsewhere; print(elsewhere.Here.spawn().where().wait(30)[0])", cwd=tmp_path)
    assert done.stdout == "elsewhere\n", done.stderr


def test_a_frozen_program_is_refused(tmp_path):
    path = write(tmp_path / "frozen.py", "if __name__ == '__main__':\n    sys.frozen = True\n    Here.spawn()\n")
    done = run(path)
    assert "frozen program" in done.stderr


def test_at_the_end_of_a_script_all_are_stopped(tmp_path):
    path = write(
        tmp_path / "end.py",
        """
        class Ends(framewire.Process):
            def stop(self):
                print("stopped in order")

        if __name__ == "__main__":
            one, other = Ends.spawn(), Ends.spawn()
            print(one.pid, other.pid)
        """,
    )
    done = run(path)
    assert done.returncode == 0
    assert done.stderr.count("stopped in order") == 2, done.stderr
    assert all(is_gone(int(pid)) for pid in done.stdout.split())


BUSY = """
import os, sys, time
import numpy as np
import framewire

class Busy(framewire.Process):
    def start(self):
        self.ones = np.ones((400, 400))

    @framewire.command
    def compute(self, how):
        if how == "numpy":
            while True:
                self.ones @ self.ones
        sum(range(1 << 60))  # one C call that never lets the interpreter go

if __name__ == "__main__":
    busy = [Busy.spawn(env={"OPENBLAS_NUM_THREADS": "1"}) for _ in range(8)]
    for number, each in enumerate(busy):
        each.compute("numpy" if number < 6 else "held").detach()
    print(*(each.pid for each in busy), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_a_parent_that_dies_takes_its_busy_children_along(tmp_path, number):
    path = tmp_path / "busy.py"
    path.write_text(BUSY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 8
        time.sleep(0.2)  # they are at it
        assert not any(is_gone(pid) for pid in pids)
        parent.send_signal(number)
        wait_until(lambda: all(is_gone(pid) for pid in pids), "all children are gone", LIMIT)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_ctrl_c_at_a_terminal_is_the_parents_alone(tmp_path):
    """The group that a terminal signals isn't the children's."""
    path = write(
        tmp_path / "group.py",
        """
        import os, signal
        if __name__ == "__main__":
            here = Here.spawn()
            here.where().wait(30)
            try:
                os.killpg(0, signal.SIGINT)
                import time
                time.sleep(30)
            except KeyboardInterrupt:
                pass
            print(here.where().wait(30)[0])
        """,
    )
    done = run(path, start_new_session=True)
    assert done.stdout == "__mp_main__\n", done.stderr


def test_many_lines_are_seen_in_the_end(tmp_path):
    path = write(
        tmp_path / "lines.py",
        """
        class Writes(framewire.Process):
            @framewire.command
            def write(self, count):
                for number in range(count):
                    print("line", number)

        if __name__ == "__main__":
            Writes.spawn(name="w").write(500).wait(30)
        """,
    )
    done = run(path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("[w] line ")]
    assert lines == [f"[w] line {number}" for number in range(500)]


def test_what_the_main_module_defines_comes_back(tmp_path):
    """Also where nothing has imported `multiprocessing`, which makes the same alias."""
    path = write(
        tmp_path / "back.py",
        """
        class Seen:
            def __init__(self, number):
                self.number = number

        class NotFound(Exception):
            pass

        class Gives(framewire.Process):
            def start(self, queue):
                self.queue = queue

            @framewire.command
            def seen(self, number):
                self.emit(Seen(number))
                self.queue.put(Seen(number))
                return Seen(number)

            @framewire.command
            def fail(self):
                raise NotFound("it isn't there")

        def see(number):
            if number == 0:
                raise NotFound("nothing")
            return Seen(number)

        if __name__ == "__main__":
            queue = framewire.Queue()
            gives = Gives.spawn(queue)
            came = [gives.seen(1).wait(30), gives.events.next(30), queue.get(timeout=30)]
            with framewire.Pool(1) as pool:
                came += pool.map(see, [1, 2])
                for ask in (gives.fail().wait, lambda: pool.apply(see, (0,))):
                    try:
                        ask()
                    except NotFound as error:
                        print(error)
            print(all(type(each) is Seen for each in came), len(came))
            print([name for name in sys.modules if name.startswith("multiprocessing")])
        """,
    )
    done = run(path)
    assert done.stdout == "it isn't there\nnothing\nTrue 5\n[]\n", done.stderr


def test_a_deleted_folder_is_no_reason_not_to_start(tmp_path):
    script = "import os, sys; os.rmdir(os.getcwd()); import framewire, framewire.process; print(framewire.Queue())"
    folder = tmp_path / "gone"
    folder.mkdir()
    done = run("-c", script, cwd=folder)
    assert done.stdout == "<framewire.Queue 0 of 4096 waiting>\n", done.stderr


@pytest.mark.parametrize("closed", ["2", "1, 2", "0, 1, 2"])
def test_a_parent_without_streams_can_have_copies(tmp_path, closed):
    """What it opens next has their numbers."""
    path = write(
        tmp_path / "streams.py",
        f"""
        class Speaks(framewire.Process):
            @framewire.command
            def speak(self):
                print("to be heard", file=sys.stderr)
                return 7

        if __name__ == "__main__":
            import logging, os
            for number in ({closed},):
                os.close(number)
            found = open("found.txt", "w", buffering=1)
            logging.basicConfig(stream=found, level=logging.DEBUG, format="%(name)s %(message)s")
            for modules in ([], ["json"], ["json"]):
                with Speaks.spawn(name="s", preload=modules) as speaks:
                    print(speaks.speak().wait(30), file=found)
        """,
    )
    done = run(path, cwd=tmp_path)
    lines = (tmp_path / "found.txt").read_text().splitlines()
    assert lines.count("7") == 3, (lines, done.stderr)
    assert lines.count("framewire.s to be heard") == 3, lines


THINGS = (
    SCRIPT
    + """
import functools
from framewire import multiprocessing as mp

class Thing:
    def __init__(self, number):
        self.number = number

class Wrong(Exception):
    pass

class Takes(framewire.Process):
    def start(self, thing):
        self.thing = thing

    @framewire.command
    def add(self, thing):
        return Thing(self.thing.number + thing.number)

    @framewire.command
    def fail(self):
        raise Wrong("it is")

def more(by, thing):
    return Thing(thing.number + by)

def put(queue, thing):
    queue.put(Thing(thing.number + 1))

class Puts(mp.Process):
    def __init__(self, queue):
        super().__init__()
        self.queue = queue

    def run(self):
        self.queue.put(Thing(5))

def told(ask):
    try:
        return ask()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""
)

USES = """
came = []
takes = Takes.spawn(Thing(1))
came += [takes.add(Thing(2)).wait(30)]
with framewire.Pool(1, initializer=more, initargs=(1, Thing(0))) as pool:
    came += pool.map(functools.partial(more, 2), [Thing(2)])
queue = mp.Queue()
for process in (mp.Process(target=put, args=(queue, Thing(4))), Puts(queue)):
    process.start()
    came.append(queue.get(timeout=30))
    process.join()
print(told(takes.fail().wait))
print([type(thing) is Thing and thing.number for thing in came])
"""


@pytest.mark.parametrize("how", ["-c", "stdin", "-m", "folder"])
def test_objects_of_a_main_module_that_no_child_imports_go_by_value(tmp_path, how):
    script = THINGS + USES
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "__main__.py").write_text(script)
    done = {
        "-c": lambda: run("-c", script),
        "stdin": lambda: run("-", script=script),
        "-m": lambda: run("-m", "folder", cwd=tmp_path),
        "folder": lambda: run(str(folder)),
    }[how]()
    assert done.stdout == "Wrong: it is\n[3, 4, 5, 5]\n", done.stderr


def test_without_cloudpickle_it_is_told_what_to_do(tmp_path):
    (tmp_path / "elsewhere.py").write_text(
        "import framewire\nclass Takes(framewire.Process):\n    @framewire.command\n    def take(self, thing): pass\n"
    )
    script = "import sys; sys.modules['cloudpickle'] = None\n" + THINGS + "import elsewhere\n"
    script += "print(told(elsewhere.Takes.spawn().take(Thing(1)).wait))\n"
    script += "print(told(lambda: framewire.Pool(1).map(len, [Thing(1)])))\n"
    script += "queue = framewire.Queue(); queue.put(Thing(1)); print(queue.get().number)\n"
    done = run("-c", script, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert all("SpawnError" in line and "'Thing'" in line and "cloudpickle" in line for line in lines[:2]), lines
    assert lines[2] == "1"
