"""What blocks return, as boxes and as JSON."""

import enum
import json
import time
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from framewire import Box
from framewire.findings import BadResult, convert


def found(result, unit="pixels", width=200, height=100):
    boxes, text = convert(result, block="people", unit=unit, width=width, height=height)
    assert "\n" not in text
    return boxes, json.loads(text)


BOX = {"x": 20, "y": 10, "w": 100, "h": 50}
DRAWN = (0.1, 0.1, 0.5, 0.5, "", 1.0)


@pytest.mark.parametrize("result", [BOX, [BOX], (BOX,), {"boxes": [BOX], "count": 1}])
def test_a_box_alone_in_a_list_or_beside_other_things_is_drawn(result):
    boxes, plain = found(result)
    assert boxes == [DRAWN]
    assert plain == (list(result) if isinstance(result, tuple) else result)


def test_boxes_may_be_objects_with_label_and_score():
    @dataclass
    class Person:
        x: float
        y: float
        w: float
        h: float
        score: float
        label: str = "person"
        track: int = 7

    point = namedtuple("point", "x y w h")
    boxes, plain = found(
        [Box(20, 10, 100, 50, "car", 0.5), Person(0, 0, 200, 100, np.float32(0.25)), point(0, 0, 2, 1)]
    )
    assert boxes == [(0.1, 0.1, 0.5, 0.5, "car", 0.5), (0, 0, 1, 1, "person", 0.25), (0, 0, 0.01, 0.01, "", 1.0)]
    assert plain[1] == {"x": 0, "y": 0, "w": 200, "h": 100, "score": 0.25, "label": "person", "track": 7}
    assert found({**BOX, "label": 3})[0][0][4] == "3"


def test_fractions_are_as_they_are():
    assert found({"x": 0.1, "y": 0.1, "w": 0.5, "h": 0.5}, unit="fractions")[0] == [DRAWN]


@pytest.mark.parametrize(
    "result", [None, [], {}, {"count": 3}, [1, "two"], {"x": 1, "y": 2}, "text", 1.5, {"boxes": None}]
)
def test_everything_else_is_passed_on_and_draws_nothing(result):
    assert found(result) == ([], result)


def test_numpy_is_at_home():
    class Kind(enum.Enum):
        CAT = "cat"

    result = {
        "n": np.int64(3),
        "f": np.float32(0.5),
        "yes": np.bool_(True),
        "array": np.arange(4).reshape(2, 2),
        "kind": Kind.CAT,
        "text": np.str_("é"),
        "big": 2**70,
        "long": np.longdouble(1.5),
        "longs": np.array([1.5, 2.5], np.longdouble),
        "pairs": np.zeros(2, [("a", "i4"), ("b", "f4")]),
        "hidden": np.ma.array([1, 2], mask=[False, True]),
    }
    plain = {"n": 3, "f": 0.5, "yes": True, "array": [[0, 1], [2, 3]], "kind": "cat", "text": "é", "big": 2**70}
    plain |= {"long": 1.5, "longs": [1.5, 2.5], "pairs": [[0, 0.0], [0, 0.0]], "hidden": [1, None]}
    assert found(result) == ([], plain)
    assert found([dict(zip("xywh", row, strict=True)) for row in np.array([[20, 10, 100, 50]])])[0] == [DRAWN]


@pytest.mark.parametrize(
    ("result", "unit", "says"),
    [
        ({**BOX, "w": "wide"}, "pixels", r"people: result\.w is 'wide' \(str\): give a number"),
        ([BOX, {**BOX, "x": None}], "pixels", r"people: result\[1\]\.x is None"),
        ({"boxes": [BOX, {"x": 1}]}, "pixels", r"people: result\.boxes\[1\] is .*a box has x, y, w and h"),
        ({"boxes": 5}, "pixels", r"people: result\.boxes is 5: give a list"),
        ({**BOX, "h": -1}, "pixels", r"result\.h is -1: give the width and height"),
        ({**BOX, "score": True}, "pixels", r"result\.score is True \(bool\)"),
        ({**BOX, "x": float("nan")}, "pixels", r"result\.x is nan: JSON has no such number"),
        (BOX, "fractions", r'result\.x is 20, but this block gives fractions: use @framewire\.block\(boxes="pixels"\)'),
        ({"x": 0.1, "y": 0.1, "w": 0.5, "h": 0.5}, "pixels", r'0\.5 by 0\.5 pixels: .*boxes="fractions"'),
        ({"a": {"b": [object()]}}, "pixels", r"people: result\.a\.b\[0\] is of the type object"),
        ({1: "one"}, "pixels", r"result has the key 1 \(int\): keys are texts"),
        ({"s": {1, 2}}, "pixels", r"result\.s is of the type set"),
        ({"b": b"bytes"}, "pixels", r"result\.b is of the type bytes"),
        (np.array([1.0, np.inf]), "pixels", r"result\[1\] is inf"),
        ("\ud800", "pixels", "lone surrogate"),
        ({"a": ["fine", "\ud800"]}, "pixels", r"people: result\.a\[1\] has a character that is none"),
        ([{"v": [1, float("inf")]}], "pixels", r"people: result\[0\]\.v\[1\] is inf"),
        ({"v": 10**5000}, "pixels", r"people: result\.v is too large a number"),
        ([Box(1e300, 0, 10, 10)], "pixels", r"people: result\[0\]\.x is 1e\+300: that is too large to be drawn"),
        ([Box(0, 0, 10, 10, score=1e39)], "pixels", r"people: result\[0\]\.score is 1e\+39: that is too large"),
        (
            {"boxes": [Box(0, -(10**400), 10, 10)]},
            "fractions",
            r"people: result\.boxes\[0\]\.y is -1000*\.\.\.0*: that is",
        ),
        (
            {"pad": "x" * (1 << 20)},
            "pixels",
            r"people: result has 1\.0 MiB as JSON, and 1 MiB is the most: give a smaller",
        ),
        ("é" * (600 << 10), "pixels", r"people: result has 1\.2 MiB as JSON"),
        (1j, "pixels", "result is of the type complex"),
        (np.clongdouble(1), "pixels", "result is of the type clongdouble"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(result, unit, says):
    with pytest.raises(BadResult, match=says):
        found(result, unit)


def test_a_structure_that_contains_itself_ends():
    knot = []
    knot.append(knot)
    with pytest.raises(BadResult, match="nested more than 32 deep"):
        found(knot)


def test_classes_of_ones_own_are_what_they_are_made_of():
    class Label(enum.StrEnum):
        CAT = "cat"

    class Number(int):
        pass

    @dataclass
    class Alone:
        v: int

    @dataclass
    class Named(str):
        other: int = 1

    assert found(OrderedDict(a=Label.CAT, b=Number(3), c=Alone(1), d=Named())) == (
        [],
        {"a": "cat", "b": 3, "c": {"v": 1}, "d": ""},
    )
    with pytest.raises(BadResult, match=r"result\.q is of the type deque"):
        found({"q": deque([1])})


def test_what_was_returned_is_not_changed():
    kept = {"boxes": [dict(BOX), (1, np.int64(2))][:1], "more": (1, [np.int64(2)])}
    found(kept)
    assert type(kept["more"]) is tuple
    assert type(kept["more"][1][0]) is np.int64


def test_it_costs_little_more_than_the_writing_of_json():
    """The path to each part was made for each, and cost more than all the rest; a large array's was seconds."""

    def once(work):
        begun = time.process_time()
        work()
        return time.process_time() - begun

    def ratio(one, other):
        # In turns: what others do at the moment slows down either.
        both = [(once(one), once(other)) for _ in range(20)]
        return min(times[0] for times in both) / min(times[1] for times in both)

    boxes = [Box(1, 2, 30, 40, "face", 0.5) for _ in range(1000)]
    plain = [{"x": 1, "y": 2, "w": 30, "h": 40, "label": "face", "score": 0.5} for _ in boxes]
    mask = np.zeros((90, 640), np.uint8)
    assert ratio(lambda: found(boxes), lambda: json.loads(json.dumps(plain))) < 4.5
    assert ratio(lambda: found(mask), lambda: json.loads(json.dumps(mask.tolist()))) < 2.5
