"""Parameters of blocks, as they are written on a command line."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest

from framewire import analyser
from framewire.parameters import BadParameter, typed


class Colour(Enum):
    RED = "r"
    GREEN = "g"


def block(
    frame,
    info,
    net=None,
    *,
    threshold: float = 0.5,
    label="cat",
    count: int = 1,
    mirror: bool = False,
    model: Path | None = None,
    mode: Literal["fast", "exact"] = "fast",
    colour: Colour = Colour.RED,
    classes: list[str] = [],  # noqa: B006, as users write it
    size: tuple[int, int] = (1, 1),
    limit: Optional[int] = None,  # noqa: UP045, as users write it
    either: int | str = 0,
    more: dict[str, Any] = {},  # noqa: B006
    parts=(1, 2),
    share: Annotated[float, "0 to 1"] = 0.5,
    shares: list[Annotated[int, "%"]] | None = None,
    theirs: "NoSuchType" = 3,  # noqa: F821
):
    pass


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("threshold", "0.25", 0.25),
        ("threshold", "1", 1.0),
        ("label", "0.5", "0.5"),
        ("label", "", ""),
        ("label", "a=b,c", "a=b,c"),
        ("count", "-3", -3),
        ("mirror", "Yes", True),
        ("mirror", "off", False),
        ("model", "/models/a.onnx", Path("/models/a.onnx")),
        ("model", "none", None),
        ("mode", "exact", "exact"),
        ("colour", "g", Colour.GREEN),
        ("colour", "GREEN", Colour.GREEN),
        ("classes", "cat, dog", ["cat", "dog"]),
        ("classes", "", []),
        ("size", "640,360", (640, 360)),
        ("limit", "7", 7),
        ("either", "7", 7),
        ("either", "seven", "seven"),
        ("more", '{"a": [1]}', {"a": [1]}),
        ("parts", "3,x", (3, "x")),
        ("share", "0.7", 0.7),
        ("shares", "1,2", [1, 2]),
        ("net", "tiny", "tiny"),
        ("net", "[1]", [1]),
    ],
)
def test_a_text_becomes_what_the_annotation_or_the_default_says(name, text, value):
    # What only a type checker understands is no reason to fail: the defaults are left.
    got = typed("block", without(block, "theirs"), {name: text})[name]
    assert (got, type(got)) == (value, type(value))


def without(function, name):
    """The function without an argument, whose annotation can't be read."""
    import inspect

    signature = inspect.signature(function)
    rest = [it for it in signature.parameters.values() if it.name != name]

    def other(*args, **kwargs):
        pass

    other.__signature__ = signature.replace(parameters=rest)
    return other


def test_an_annotation_that_cannot_be_read_leaves_the_default():
    assert typed("block", block, {"theirs": "4"}) == {"theirs": 4}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "treshold",
            "1",
            r"block has no parameter 'treshold'; is it threshold\? It has net=None, threshold: float = 0.5",
        ),
        ("frame", "1", "no parameter 'frame'"),
        ("info", "1", "no parameter 'info'"),
        ("threshold", "high", r"can't have threshold='high': it is to be a number\. It has .*threshold: float = 0\.5"),
        ("count", "1.5", "to be a whole number"),
        ("mirror", "maybe", "one of true, yes, on, 1, false"),
        ("mode", "slow", "one of fast, exact"),
        ("colour", "blue", "one of r, g, RED, GREEN"),
        ("size", "640", "2 values with commas"),
        ("size", "640,x", "a whole number"),
        ("limit", "x", "a whole number or none"),
        ("more", "x", "a dict, as JSON"),
        ("share", "much", r"can't have share='much': it is to be a number\. It has"),
    ],
)
def test_what_is_none_or_cannot_be_is_told_with_what_there_is(name, text, says):
    with pytest.raises(BadParameter, match=says):
        typed("block", without(block, "theirs"), {name: text})


def test_what_has_no_default_is_needed():
    def has(frame, *, model=Path("x.onnx")):
        raise AssertionError

    assert typed("has", has, {"model": "a"}) == {"model": Path("a")}

    def needs(frame, *, model: Path, size=3):
        pass

    assert typed("needs", needs, {"model": "a"}) == {"model": Path("a")}
    with pytest.raises(BadParameter, match=r"needs needs model: pathlib\.Path: give it by --set model="):
        typed("needs", needs, {"size": "4"})


def test_a_class_has_those_of_its_making(tmp_path):
    file = tmp_path / "counter.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Counter:\n"
        "    step: int\n    factor: float = 2\n    def frame(self, frame): return self.step * self.factor\n"
    )
    runner = analyser.Runner("counter", str(file), None, {"step": "3"})
    assert runner.look(None, None, 1, 1) == ([], "6")
    with pytest.raises(BadParameter, match=r"counter needs step: int"):
        analyser.Runner("counter", str(file), None, {})


def test_an_argument_with_a_default_can_be_set_and_is_not_the_info(tmp_path):
    file = tmp_path / "look.py"
    file.write_text("def look(frame, threshold=0.5): return threshold")
    runner = analyser.Runner("look", str(file), None, {"threshold": "0.75"})
    assert not runner.wants_info
    assert runner.look(None, None, 1, 1) == ([], "0.75")
