"""What a type checker makes of processes and pools."""

from __future__ import annotations

import pytest

api = pytest.importorskip("mypy.api")

PROGRAM = """
import asyncio
import framewire

class Detector(framewire.Process):
    def start(self, threshold: float = 0.5) -> None: ...
    @framewire.command
    def detect(self, image: bytes, scale: int = 1) -> list[float]:
        return []
    @framewire.command
    async def fetch(self, url: str) -> bytes:
        return b""
    def own(self) -> None:
        reveal_type(self.detect(b"", 2))

handle = Detector.spawn(threshold=0.3)
reveal_type(handle)
reveal_type(Detector.detect(handle, b"", scale=2))
reveal_type(Detector.fetch(handle, "x").wait())
reveal_type(handle.detect(b""))
Detector.detect(handle, "wrong")
with framewire.Pool(2) as pool:
    reveal_type(pool.map(len, ["a"]))
    reveal_type(pool.apply_async(len, ("a",)).get())

async def wait(results: framewire.Queue[int], reader: framewire.Reader) -> None:
    reveal_type(await asyncio.create_task(results.get_async()))
    reveal_type(await Detector.begin())
    reveal_type(await pool.apply_async(len, ("a",)))
    with reader.next() as frame:
        reveal_type(frame)
    reveal_type(reader.next(1.0))

reveal_type(framewire.Dict(a=1))
reveal_type(framewire.Dict({1: "a"}))
empty: framewire.Dict[bytes, int] = framewire.Dict()
any_queue = framewire.Queue(5)
any_queue.put("x")
"""


def test_commands_are_typed(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    # A configuration of its own: the package's checks the package.
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = True\n")
    told, errors, _ = api.run(["--config-file", str(config), "--cache-dir", str(tmp_path / "cache"), str(path)])
    assert not errors
    revealed = [line.split('"')[1] for line in told.splitlines() if "Revealed type" in line]
    assert revealed == [
        "list[float]",
        "framewire.handle.Handle[program.Detector]",
        "framewire.commands.Call[list[float]]",
        "bytes",
        "framewire.commands.Call[Any]",
        "list[int]",
        "int",
        "int",
        "framewire.handle.Handle[program.Detector]",
        "int",
        "framewire._core.Frame",
        "framewire._core.Frame | None",
        "framewire.namespace.Dict[str, int]",
        "framewire.namespace.Dict[int, str]",
    ], told
    [wrong] = [line for line in told.splitlines() if "error:" in line]
    assert 'Argument 2 to "__call__" of "Command" has incompatible type "str"; expected "bytes"' in wrong
