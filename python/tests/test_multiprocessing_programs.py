"""Whole programs of the drop-in: each is run by an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

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
