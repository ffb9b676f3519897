"""Blocks as their author writes them: what they say of themselves, how they are found in a file, how they are run."""

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import framewire
from framewire import analyser
from framewire.blocks import manifest_of


@framewire.block(size=(416, 416), format="bgr24", fps=5)
def people(frame):
    """Finds people."""
    return []


def test_a_decorated_function_stays_what_it_was_and_says_what_it_wants():
    assert people(None) == []
    manifest = manifest_of(people)
    assert (manifest.kind, manifest.name, manifest.doc) == ("function", "people", "Finds people.")
    assert manifest.view() == "bgr24 416x416 5fps"
    assert manifest.boxes == "pixels"


def test_without_arguments_it_gets_every_picture_as_it_is():
    @framewire.block
    def all_of_it(frame, *, threshold=0.5, model):
        pass

    manifest = manifest_of(all_of_it)
    assert manifest.view() == "rgb24"
    assert manifest.parameters == {"threshold": "0.5", "model": None}
    assert manifest_of(lambda frame: None).view() == "rgb24"


def test_a_class_that_inherits_from_a_block_is_another_one():
    @framewire.block(format="gray8")
    class Gray:
        pass

    class Other(Gray):
        pass

    assert manifest_of(Gray).view() == "gray8"
    assert manifest_of(Other).view() == "rgb24"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 416}, r"size is 416: .*\(640, 360\)"),
        ({"size": (1, 5)}, "from 2 to 16384"),
        ({"size": (640.0, 360)}, "size is"),
        ({"format": "rgb"}, "there are rgb24, bgr24, gray8, i420"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"boxes": "percent"}, "pixels or fractions"),
    ],
)
def test_what_a_block_cannot_have_is_refused_where_it_is_written(wrong, says):
    with pytest.raises(ValueError, match=says):
        framewire.block(**wrong)


def test_only_functions_and_classes_are_blocks():
    with pytest.raises(TypeError, match="5 is no block"):
        framewire.block(5)


def file(folder: Path, text: str, name: str = "found.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_in_a_file_the_only_one_is_found_or_the_one_that_is_marked(tmp_path):
    assert (
        analyser.load(file(tmp_path, "import os\ndef one(frame): pass\ndef _two(frame): pass"), None).__name__ == "one"
    )
    both = "import framewire\n@framewire.block\ndef one(frame): pass\ndef two(frame): pass"
    assert analyser.load(file(tmp_path, both), None).__name__ == "one"
    assert analyser.load(file(tmp_path, both), "two").__name__ == "two"


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("x = 1", None, r"found\.py has no function or class: write `def found\(frame\)"),
        ("def a(f): pass\ndef b(f): pass", None, r"has a, b: say which by found\.py:NAME, or mark one"),
        ("def a(f): pass", "b", "has no function or class 'b'; it has a"),
    ],
)
def test_a_file_without_a_block_says_what_it_has(tmp_path, text, name, says):
    with pytest.raises(analyser.NoBlock, match=says):
        analyser.load(file(tmp_path, text), name)


def test_a_file_finds_what_lies_beside_it_and_does_not_hide_what_it_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    file(tmp_path, "answer = 42", "framewire_test_helper.py")
    text = "import json\nfrom framewire_test_helper import answer\ndef look(frame): return json.dumps(answer)"
    assert analyser.load(file(tmp_path, text, "json.py"), None)(None) == "42"


CLASS = """
class Counter:
    def __init__(self, step=1):
        self.log = ["made"]
        self.step = step
    def start(self): self.log.append("start")
    def frame(self, frame, info):
        return {"sum": int(frame.sum()) * self.step, "camera": info.camera, "log": self.log}
    def stop(self): self.log.append("stop")
"""


def test_a_class_is_made_started_called_and_stopped(tmp_path):
    runner = analyser.Runner("counter", str(file(tmp_path, CLASS)), None, {"step": "3"})
    assert runner.wants_info
    info = framewire.PictureInfo("door", 1, 0, 0.0, False)
    boxes, result = runner.look(np.ones((2, 2), np.uint8), info, 2, 2)
    assert (boxes, json.loads(result)) == ([], {"sum": 12, "camera": "door", "log": ["made", "start"]})
    runner.stop()
    assert json.loads(runner.look(np.ones((1, 1), np.uint8), info, 1, 1)[1])["log"][-1] == "stop"


def test_a_second_argument_with_a_default_is_the_functions_own(tmp_path):
    def wants_info(text):
        return analyser.Runner("x", str(file(tmp_path, text)), None, {}).wants_info

    assert not wants_info("def look(frame, net=None): pass")
    assert wants_info("def look(frame, info): pass")
    assert wants_info("class Look:\n    def __call__(self, frame, info): pass")
    with pytest.raises(analyser.NoBlock, match="neither a method `frame` nor `__call__`"):
        wants_info("class Look: pass")


def test_a_traceback_shows_the_authors_lines_and_none_of_ours(tmp_path):
    runner = analyser.Runner("x", str(file(tmp_path, "def look(frame):\n    return 1 / 0")), None, {})
    with pytest.raises(ZeroDivisionError) as raised:
        runner.look(None, None, 1, 1)
    text = analyser.explain(raised.value)
    assert "found.py" in text
    assert "analyser.py" not in text
    assert text.endswith("ZeroDivisionError: division by zero")
    with pytest.raises(SyntaxError) as raised:
        analyser.load(file(tmp_path, "def look(frame:\n"), None)
    text = analyser.explain(raised.value)
    assert "found.py" in text
    assert "importlib" not in text


def describe(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "framewire.analyser", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_describe_prints_the_manifest_or_what_is_wrong(tmp_path):
    good = file(tmp_path, "import framewire\n@framewire.block(size=(64, 32), fps=2.5)\ndef look(frame): 'Looks.'")
    described = describe("--describe", str(good))
    assert json.loads(described.stdout) == {
        "kind": "function",
        "name": "look",
        "doc": "Looks.",
        "size": [64, 32],
        "format": "rgb24",
        "fps": 2.5,
        "boxes": "pixels",
        "parameters": {},
    }
    bad = describe("--describe", f"{file(tmp_path, 'import no_such_module', 'bad.py')}:look")
    assert bad.returncode == 1
    assert "bad.py" in bad.stderr
    assert "No module named 'no_such_module'" in bad.stderr
    assert describe().returncode == 2


def test_by_hand_it_becomes_no_process(tmp_path):
    started = describe(str(file(tmp_path, "def look(frame): pass")), "run")
    assert started.returncode == 2
    assert "usage" in started.stderr


STARTS_PROCESSES = """
import concurrent.futures, multiprocessing, framewire

def mean(array):
    return float(array.mean())

class Means(framewire.Process):
    @framewire.command
    def mean(self, array):
        return mean(array)

class Block:
    def start(self):
        self.means = Means.spawn()
        self.pool = framewire.Pool(1)
        context = multiprocessing.get_context("spawn")
        self.executor = concurrent.futures.ProcessPoolExecutor(1, mp_context=context)
    def frame(self, frame):
        return [self.means.mean(frame).wait(), *self.pool.map(mean, [frame]), *self.executor.map(mean, [frame])]
    def stop(self):
        self.means.stop()
        self.pool.terminate()
        self.executor.shutdown()
"""

AS_ITS_PROCESS = """
import sys, numpy as np
from framewire import analyser
sys.modules["__main__"] = analyser  # as `python -m framewire.analyser`
sys.argv = [sys.argv[1]]
runner = analyser.Runner("x", sys.argv[0], "Block", {})
print(runner.look(np.full((2, 2), 3, np.uint8), None, 2, 2)[1])
runner.stop()
"""


def as_its_process(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", AS_ITS_PROCESS, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_what_is_in_the_file_is_known_in_the_processes_that_it_starts(tmp_path):
    done = as_its_process(file(tmp_path, STARTS_PROCESSES, "my blocks.v2.py"))
    assert (done.stdout, done.returncode) == ("[3.0,3.0,3.0]\n", 0), done.stderr


def test_a_file_that_starts_a_process_of_its_own_where_it_is_imported_is_no_bomb(tmp_path):
    text = STARTS_PROCESSES.replace("class Block:", "MEANS = Means.spawn()\nclass Block:")
    done = as_its_process(file(tmp_path, text))
    assert done.returncode == 1
    assert "could not spawn a process: the analyser's file is just being imported in a child" in done.stderr


def test_what_only_begins_when_it_is_called_is_refused_with_what_to_write(tmp_path):
    def refused(text):
        with pytest.raises(analyser.NoBlock) as raised:
            analyser.Runner("x", str(file(tmp_path, text)), None, {})
        return str(raised.value)

    assert refused("async def look(frame): return 1").startswith("look is an `async def`")
    assert refused("def look(frame): yield 1").startswith("look has a `yield`, so calling it only makes a generator")
    assert refused("async def look(frame): yield 1").startswith("look is an `async def`")
    for method in ("frame", "start", "stop"):
        rest = "" if method == "frame" else "\n    def frame(self, frame): pass"
        said = refused(f"class Look:\n    async def {method}(self, *frame): pass{rest}")
        assert said.startswith(f"Look.{method} is an `async def`"), said
        assert "asyncio.run" in said
    assert "is an `async def`" in refused("class Look:\n    async def __call__(self, frame): pass")


def test_a_relative_import_is_told_how_it_is_written(tmp_path):
    with pytest.raises(ImportError) as raised:
        analyser.load(file(tmp_path, "from .other import something\ndef look(frame): pass"), None)
    text = analyser.explain(raised.value)
    assert "found.py is run by itself and is in no package" in text
    assert "`from other import something`" in text


TAKES_LONG = """
import ctypes, threading
libc = ctypes.PyDLL(None)  # with the GIL
def look(frame, *, how):
    if how == "crash":
        ctypes.string_at(0)
    libc.usleep(600_000)
"""

LOOKS = """
import ctypes, os, sys
from pathlib import Path
from framewire import analyser
path, how = sys.argv[1:]
analyser._prepare(Path(path))
runner = analyser.Runner("x", path, None, {"how": how})
if how == "long":
    # The engine does so by a thread without Python. Here it is another process: no thread of Python's runs meanwhile.
    libc = ctypes.CDLL(None)
    timer = os.fork()
    if timer == 0:
        libc.usleep(200_000)
        os.kill(os.getppid(), analyser.TRACE)
        os._exit(0)
runner.look(None, None, 1, 1)
print("it went on")
"""


@pytest.mark.parametrize(
    ("how", "says", "then"),
    [
        ("long", r'Current thread .*\n  File ".*found\.py", line 7 in look\n', "it went on\n"),
        ("crash", r'Segmentation fault\n(.*\n)*  File ".*found\.py", line 6 in look\n', ""),
    ],
)
def test_where_it_takes_too_long_or_crashes_is_written(tmp_path, how, says, then):
    """Also while a library holds the GIL."""
    path = str(file(tmp_path, TAKES_LONG))
    command = [sys.executable, "-c", LOOKS, path, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert re.search(says, done.stderr), done.stderr
    assert done.stdout == then


def test_the_package_is_the_program():
    said = subprocess.run([sys.executable, "-m", "framewire", "--version"], capture_output=True, text=True, timeout=60)
    program = Path(sysconfig.get_path("scripts"), "framewire")
    if program.is_file():
        assert (said.returncode, said.stdout.split()[0]) == (0, "framewire")
    else:
        assert said.returncode == 1
        assert f"could not run {program}" in said.stderr
