"""What goes wrong with pictures: when it is told, how long it is shown, and when it is too much."""

import pytest

from framewire._troubles import Troubles


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def troubles(clock):
    return Troubles(clock)


def test_every_second_picture_is_told_every_ten_seconds_and_stands(clock, troubles):
    told = []
    for number in range(500):
        clock.now = 100 + number / 25
        if number % 2:
            assert troubles.well("door") is None, "it stands"
        else:
            line, shown, ends = troubles.failed("door", "Traceback\nValueError: odd")
            assert not ends
            assert shown.startswith("door: ")
            assert shown.endswith("Traceback\nValueError: odd")
            told += [line] if line else []
    assert told == [
        "a picture of door went wrong:\nTraceback\nValueError: odd",
        "a picture of door went wrong, and 124 more since the last that was told:\nTraceback\nValueError: odd",
    ]
    clock.now += 4
    assert troubles.well("door") is None
    clock.now += 2
    assert troubles.well("door") == ""
    assert troubles.well("door") is None


def test_another_one_is_told_at_once_but_not_a_new_one_each_time(clock, troubles):
    def told(why):
        clock.now += 0.04
        troubles.well("door")
        return troubles.failed("door", why)[0]

    assert told("a")
    assert told("b")
    assert not told("a")
    assert [bool(told(f"picture {number}")) for number in range(99)].count(True) == 1
    clock.now += 10
    assert "and 98 more" in told("c")


def test_a_camera_of_which_all_go_wrong_ends_nothing_while_anothers_go_well(clock, troubles):
    for _ in range(100):
        clock.now += 0.1
        _, shown, ends = troubles.failed("door", "no model for door")
        assert not ends
        assert troubles.well("garden") is None
    assert shown == "door: 100 pictures went wrong, one after the other:\nno model for door"
    for number in range(9):
        assert not troubles.failed(["door", "garden"][number % 2], "why")[2]
    told, why, ends = troubles.failed("door", "lost")
    assert (told, ends) == (None, True)
    assert why == "10 pictures in a row went wrong, the last one of door so:\nlost"


def test_each_camera_is_named_and_the_latest_explained(clock, troubles):
    troubles.failed("door", "of door")
    clock.now += 1
    troubles.well("door")
    troubles.failed("door", "of door")
    clock.now += 1
    assert troubles.failed("garden", "of garden")[1] == (
        "door: 2 pictures went wrong\ngarden: a picture went wrong:\nof garden"
    )
    clock.now += 4.5
    assert troubles.well("door") == "garden: a picture went wrong:\nof garden"


def test_of_a_long_one_the_end_is_shown(troubles):
    shown = troubles.failed("tür", "begin" + "ä€" * 1000 + "end")[1]
    assert shown.startswith("tür: a picture went wrong:\n…")
    assert shown.endswith("ä€end")
    assert 990 < len(shown.encode()) <= 1003
    assert "\ufffd" not in shown


def test_pictures_that_could_not_be_looked_at_end_nothing(clock, troubles):
    told = []
    for number in range(100):
        clock.now += 0.04
        line, shown = troubles.passed_over("door", f"kept for {number} s", "kept")
        told += [line] if line else []
    assert told == ["a picture of door couldn't be looked at:\nkept for 0 s"]
    assert shown == "door: 100 pictures couldn't be looked at, one after the other:\nkept for 99 s"
    assert not troubles.failed("door", "why")[2]
