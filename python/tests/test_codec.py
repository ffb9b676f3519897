"""Objects in messages."""

import gc
import math
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

from framewire import _core, errors


def there_and_back(thing, plain=False):
    bytes_, descriptors = _core._dumps(thing, plain)
    return _core._loads(bytes_, descriptors), len(bytes_), len(descriptors)


def test_what_pickle_knows_comes_back_the_same():
    things = [
        None,
        True,
        1,
        2**80,
        1.5,
        "text",
        b"bytes",
        [1, (2, {3: {4}})],
        {"a": b"x" * 1000},
        range(3),
        ValueError("why"),
    ]
    for thing in things:
        back, _, descriptors = there_and_back(thing)
        assert repr(back) == repr(thing)
        assert descriptors == 0


class Number(int):
    pass


class Text(str):
    pass


@pytest.mark.parametrize(
    "thing",
    [
        *[
            None,
            False,
            0,
            -1,
            2**63 - 1,
            -(2**63),
            2**63,
            2**64,
            0.0,
            -0.0,
            math.inf,
            "",
            "é",
            "\ud800",
            b"",
            bytes(5000),
        ],
        *["x" * 1024, "x" * 1025, "x" * 100_000, Number(5), Text("text"), bytearray(b"mine"), (), [], {}, (1,), [1]],
        *[{1: "a", None: 2.5, "c": (True, [b"d"])}, {(1, 2): 3}, [[[[1]]]], list(range(100)), (Number(1), Text("a"))],
        *[["é" * 1024] * 15, {"large": "x" * 70_000}, [b"x" * 70_000], frozenset({1}), {"a": {2}}],
    ],
    ids=lambda thing: repr(thing)[:30],
)
def test_whatever_way_it_goes_it_comes_as_it_was(thing):
    back, _, _ = there_and_back(thing)
    assert (repr(back), type(back)) == (repr(thing), type(thing))
    if isinstance(thing, tuple | list):
        assert [type(item) for item in back] == [type(item) for item in thing]


def test_a_single_value_needs_no_pickle_and_what_is_shared_stays_so():
    assert _core._dumps(7, False) == (b"\x07", [])
    assert there_and_back("text")[1] == len("text") + 1
    shared = [1]
    first, second = there_and_back([shared, shared])[0]
    assert first is second
    itself = []
    itself.append(itself)
    back = there_and_back(itself)[0]
    assert back[0] is back


def test_small_messages_are_small():
    assert there_and_back(1)[1] < 32


@pytest.mark.parametrize("size", [0, 65_536, 65_537, 1_000_000])
def test_a_large_array_goes_as_memory_of_its_own(size):
    array = np.arange(size, dtype=np.uint8)
    (back, also, words), in_message, descriptors = there_and_back((array, array[::2], ["x"] * 3))
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(also, array[::2])
    assert words == ["x"] * 3
    assert descriptors == (1 if size > 0 else 0)
    if size == 1_000_000:
        assert in_message < 1000


def test_what_was_received_can_be_changed_and_that_changes_nothing_else():
    array = np.zeros(100_000, np.float64)
    bytes_, descriptors = _core._dumps({"a": array, "b": array + 1}, False)
    twice = _core._loads(bytes_, [os.dup(descriptor) for descriptor in descriptors])
    once = _core._loads(bytes_, descriptors)
    once["a"][7] = 3
    assert twice["a"][7] == 0
    assert array[7] == 0
    assert once["a"].ctypes.data % 64 == 0
    assert once["b"].ctypes.data % 64 == 0
    np.testing.assert_array_equal(twice["b"], 1)


def test_what_was_read_only_stays_so():
    array = np.zeros(100_000)
    array.flags.writeable = False
    back, _, _ = there_and_back(array)
    assert not back.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


def test_many_buffers_are_one_descriptor():
    arrays = [np.full(70_000 + n, n % 256, np.uint8) for n in range(300)]
    back, _, descriptors = there_and_back(arrays)
    assert descriptors == 1
    assert all((one == n % 256).all() and len(one) == 70_000 + n for n, one in enumerate(back))


def test_a_large_pickle_without_buffers_goes_as_memory_too():
    text = "x" * 1_000_000
    back, in_message, descriptors = there_and_back(text)
    assert (back, descriptors) == (text, 1)
    assert in_message < 1000


def test_the_memory_is_given_back_with_the_last_view():
    def memory_mappings():
        with open("/proc/self/maps") as maps:
            return sum("framewire-blob" in line for line in maps)

    before = memory_mappings()
    back, _, _ = there_and_back(np.zeros(1_000_000, np.uint8))
    view = back[5:10]
    del back
    assert memory_mappings() == before + 1
    del view
    gc.collect()
    assert memory_mappings() == before


def test_plain_values():
    things = [
        None,
        True,
        -5,
        2**63,
        -(2**63),
        2**64 - 1,
        1.5,
        math.inf,
        "text",
        b"bytes",
        [1, [2]],
        {"a": {"b": [None]}},
    ]
    for thing in things:
        assert there_and_back(thing, plain=True)[0] == thing
    assert there_and_back((1, bytearray(b"x")), plain=True)[0] == [1, b"x"]
    assert _core._dumps({"a": 1}, True) == (b"\x81\xa1a\x01", [])
    for wrong, why in [
        ({1: 2}, "keys are str"),
        (2**64, "64 bits"),
        (object(), "builtins.object|object"),
        ({1}, "set"),
    ]:
        with pytest.raises(errors.CodecError, match=why):
            _core._dumps(wrong, True)
    itself = []
    itself.append(itself)
    with pytest.raises(RecursionError):
        _core._dumps(itself, True)


def test_what_cannot_be_pickled_says_so_as_pickle_does():
    with pytest.raises((pickle.PicklingError, AttributeError)):
        _core._dumps(lambda: None, False)


@pytest.mark.parametrize(
    "broken", [b"", b"\xc1", b"\xc7\x01\x50\xc0", b"\xc7\x01\x07\xc0", b"\x92\x01", b"\xd4\x50\x90"]
)
def test_nonsense_is_refused(broken):
    with pytest.raises(errors.CodecError, match="could not"):
        _core._loads(broken, [])


def test_a_wait_ends_with_its_limit_and_without_the_gil():
    began = time.monotonic()
    _core._sleep(0.12)
    assert 0.12 <= time.monotonic() - began < 5
    counted = 0
    going = True

    def count():
        nonlocal counted
        while going:
            counted += 1

    counting = threading.Thread(target=count)
    counting.start()
    before = counted
    _core._sleep(0.1)
    going = False
    counting.join()
    assert counted > before + 1000
    _core._sleep(-1.0)
    with pytest.raises(ValueError, match="NaN"):
        _core._sleep(math.nan)


def test_ctrl_c_is_heard_within_100_ms():
    took = []
    for _ in range(5):
        sent = []

        def interrupt(sent=sent):
            _core._sleep(0.02)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            _core._sleep(None)
        took.append(time.monotonic() - sent[0])
        thread.join()
    assert sorted(took)[2] < 0.1


def test_errors_are_also_what_the_standard_library_would_raise():
    with pytest.raises(OSError, match="it did"):
        _core._raise("it did")
    assert issubclass(errors.TimeoutError, TimeoutError)
    assert issubclass(errors.ClosedError, ValueError)
    assert issubclass(errors.ForkedError, RuntimeError)
