"""Whole programs of the drop-in: each is run by an interpreter of its own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import textwrap
import time

import pytest

LIMIT = 60

HEAD = """
import os, sys, time
from framewire import multiprocessing as mp
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": ""}


def write(folder, text: str) -> str:
    path = folder / "program.py"
    path.write_text(HEAD + textwrap.dedent(text))
    return str(path)


def run(folder, text: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, write(folder, text)],
        text=True,
        capture_output=True,
        timeout=LIMIT * 2,
        env=environment(),
        **options,
    )


def test_processes_that_are_no_daemons_are_waited_for_at_the_end(tmp_path):
    done = run(
        tmp_path,
        """
        def work(word, seconds):
            time.sleep(seconds)
            print(word, flush=True)

        if __name__ == "__main__":
            mp.Process(target=work, args=("daemon", 1000), daemon=True).start()
            mp.Process(target=work, args=("done", 1)).start()
        """,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


# Its input becomes the session's terminal, and it becomes the program.
IN_TERMINAL = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

WORK = """
def work(inner=False):
    child = None
    if inner:
        child = mp.Process(target=work)
        child.start()
    try:
        if not inner:
            print("child working", flush=True)
        time.sleep(1000)
    except KeyboardInterrupt:
        if child is not None:
            child.join()
        print("child saves\\n", end="", flush=True)  # in one piece: others write to the same terminal
"""


def in_terminal(folder, text: str, send: bytes | signal.Signals) -> str:
    """Run a program in a terminal of its own and send something once a child works; gives what it wrote."""
    terminal, end = pty.openpty()
    program = write(folder, WORK + textwrap.dedent(text))
    running = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, program],
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        env=environment(),
    )
    os.close(end)
    told, begun = b"", time.monotonic()
    try:
        os.set_blocking(terminal, False)
        is_sent = False
        while running.poll() is None and time.monotonic() - begun < LIMIT:
            try:
                told += os.read(terminal, 4096)
            except OSError:  # nothing yet, or nobody any more
                time.sleep(0.01)
            if not is_sent and b"child working\r\n" in told:
                is_sent = True
                if isinstance(send, bytes):
                    os.write(terminal, send)
                else:
                    running.send_signal(send)
        assert running.poll() is not None, f"it didn't end: {told!r}"
        try:
            while more := os.read(terminal, 4096):
                told += more
        except OSError:
            pass
    finally:
        running.kill()
        running.wait()
        os.close(terminal)
    return told.decode().replace("\r\n", "\n").replace("^C", "")


JOIN = """
if __name__ == "__main__":
    import signal
    {before}
    process = mp.Process(target=work, args=({inner},))
    process.start()
    {after}
    try:
        process.join()
    except KeyboardInterrupt:
        process.join()
        print("parent joined", process.exitcode)
"""
OWN = "signal.signal(signal.SIGINT, lambda *_: print('own\\n', end='', flush=True))"


@pytest.mark.parametrize(
    ("before", "inner", "after", "told"),
    [
        ("", False, "", "child saves\nparent joined 0\n"),
        ("", True, "", "child saves\nchild saves\nparent joined 0\n"),
        (OWN, False, "", "own\nchild saves\n"),
        ("", False, OWN, "own\nchild saves\n"),
    ],
    ids=["child", "grandchild", "own handler before", "own handler afterwards"],
)
def test_a_terminals_interrupt_reaches_children(tmp_path, before, inner, after, told):
    heard = in_terminal(tmp_path, JOIN.format(before=before, inner=inner, after=after), b"\x03")
    assert sorted(heard.partition("child working\n")[2].splitlines()) == sorted(told.splitlines())


def test_a_terminals_interrupt_isnt_heard_by_children_of_who_ignored_it(tmp_path):
    ignoring = """
    if __name__ == "__main__":
        import signal
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        process = mp.Process(target=work)
        process.start()
        signal.signal(signal.SIGINT, before)
        try:
            process.join()
        except KeyboardInterrupt:
            process.join(1)
            print("parent joined", process.exitcode)
            process.kill()
    """
    assert in_terminal(tmp_path, ignoring, b"\x03") == "child working\nparent joined None\n"


def test_an_interrupt_of_one_process_alone_is_for_that_one(tmp_path):
    script = """
    def work():
        try:
            time.sleep(2)
        except KeyboardInterrupt:
            print("child saves", flush=True)

    if __name__ == "__main__":
        import signal
        process = mp.Process(target=work)
        process.start()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            process.join()
        except KeyboardInterrupt:
            process.join()
            print("parent joined", process.exitcode)
    """
    done = run(tmp_path, script, start_new_session=True)
    assert (done.stdout, done.stderr) == ("parent joined 0\n", "")


def test_a_start_may_take_as_long_as_it_takes(tmp_path):
    script = """
    if __name__ == "__mp_main__":
        time.sleep(1.5)  # a heavy import

    def load():
        time.sleep(1)

    def tell():
        print("ran", flush=True)

    if __name__ == "__main__":
        # The limits of those who say nothing, for this test.
        from framewire import pool, process
        process.OPTIONS["ready_within"] = 0.5
        pool.Pool.__init__.__kwdefaults__["ready_within"] = 0.5
        child = mp.Process(target=tell)
        child.start()
        child.join()
        print(child.exitcode, flush=True)
        with mp.Pool(1, load) as workers:
            print(workers.apply(abs, (-1,)))
    """
    done = run(tmp_path, script)
    assert (done.stdout, done.stderr) == ("ran\n0\n1\n", "")


def test_a_child_that_is_killed_before_it_began_says_why(tmp_path):
    script = """
    import signal

    if __name__ == "__mp_main__":
        os.kill(os.getpid(), signal.SIGKILL)

    if __name__ == "__main__":
        child = mp.Process(target=print)
        child.start()
        child.join()
        print(child.exitcode)
    """
    done = run(tmp_path, script)
    assert done.stdout == "-9\n"
    assert "could not start Process-1" in done.stderr
    assert "SIGKILL" in done.stderr


def test_a_pool_that_is_left_open_raises_no_alarm(tmp_path):
    script = """
    import framewire

    if __name__ == "__main__":
        pools = [framewire.Pool(2), mp.Pool(2)]
        print([pool.map(abs, [-1]) for pool in pools])
    """
    done = run(tmp_path, script)
    assert (done.stdout, done.stderr, done.returncode) == ("[[1], [1]]\n", "", 0)


def test_a_program_ends_though_nobody_takes_what_it_has_put(tmp_path):
    script = """
    if __name__ == "__main__":
        queue = mp.Queue()
        for number in range(10_000):
            queue.put(number)
        print("put")
    """
    done = run(tmp_path, script)
    assert (done.stdout, done.stderr, done.returncode) == ("put\n", "", 0)


def test_a_program_may_have_more_than_the_ordinary_limit_of_descriptors(tmp_path):
    script = """
    import resource

    if __name__ == "__main__":
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        shared = [kind() for kind in (mp.Lock, mp.RLock, mp.Semaphore, mp.Event, mp.Queue) for _ in range(50)]
        print(len(shared))
    """
    done = run(tmp_path, script)
    assert (done.stdout, done.stderr) == ("250\n", "")
