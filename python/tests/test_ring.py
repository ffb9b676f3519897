"""Frames from one writer to many readers."""

import asyncio
import gc
import os
import pickle
import signal
import sys
import threading
import time

import numpy as np
import pytest
from peer import Peer, hear, say

import framewire

LIMIT = 30


def test_frames_are_arrays_in_the_rings_own_memory():
    with framewire.Writer(4, 60) as writer:
        reader = writer.reader()
        assert reader.next(0.01) is None
        with writer.reserve((4, 5, 3), format="bgr24", pts_ns=40_000_000, keyframe=True) as array:
            array[:] = np.arange(60).reshape(4, 5, 3)
            assert writer.published == 0
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with reader.next(LIMIT) as frame:
            seen = np.asarray(frame)
            np.testing.assert_array_equal(seen, np.arange(60).reshape(4, 5, 3))
            assert not seen.flags.writeable
            assert not seen.flags.owndata
            assert (frame.shape, frame.strides, frame.format) == ((4, 5, 3), (15, 3, 1), "bgr24")
            assert (frame.width, frame.height, frame.sequence, frame.pts_ns) == (5, 4, 1, 40_000_000)
            assert (frame.is_keyframe, frame.is_damaged, frame.is_discontinuity) == (True, False, False)
            assert 0 <= time.monotonic_ns() - frame.captured_ns < LIMIT * 1e9
            assert abs(time.time_ns() - frame.wall_ns) < LIMIT * 1e9
            assert np.from_dlpack(frame).shape == (4, 5, 3)
            own = frame.copy()
        assert own.flags.owndata
        assert reader.counts == {"published": 1, "read": 1, "dropped": 0, "skipped": 0, "waiting": 0}


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 1, 2, 1, 2, 1, 2)])
def test_any_array_comes_as_it_was(dtype, shape):
    writer = framewire.Writer(2, 1000)
    reader = writer.reader()
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    reader.next(0.01)
    writer.write(array)
    with writer.reserve(shape, dtype) as slot:
        slot[...] = array
    seen = np.asarray(reader.next(LIMIT))
    np.testing.assert_array_equal(seen, array)
    assert seen.dtype == array.dtype
    assert seen.shape == shape


@pytest.mark.parametrize("numpy_is_there", [True, False])
@pytest.mark.parametrize("size", [256 * 1024 - 1, 256 * 1024, 1_000_000])
def test_what_is_large_is_copied_whole_with_and_without_numpy(size, numpy_is_there, monkeypatch):
    data = np.random.default_rng(1).integers(0, 255, size, "uint8").tobytes()
    writer = framewire.Writer(2, size)
    reader = writer.reader("block")
    assert reader.try_next() is None
    with monkeypatch.context() as patch:
        if not numpy_is_there:
            patch.setitem(sys.modules, "numpy", None)
        for thing in (data, bytearray(data), memoryview(data).cast("B", (1, size))):
            writer.write(thing)
            with reader.next(10) as frame:
                assert bytes(memoryview(frame).cast("B")) == data


def test_a_strided_array_is_made_contiguous():
    writer = framewire.Writer(2, 1000)
    reader = writer.reader()
    array = np.arange(24, dtype="f4").reshape(4, 6)[::2, ::3].T
    reader.next(0.01)
    writer.write(array)
    np.testing.assert_array_equal(np.asarray(reader.next(LIMIT)), array)


def test_i420_has_planes():
    writer = framewire.Writer(2, 100)
    reader = writer.reader()
    picture = np.arange(48, dtype=np.uint8).reshape(6, 8)
    reader.next(0.01)
    writer.write(picture, format="i420")
    frame = reader.next(LIMIT)
    assert (frame.shape, frame.width, frame.height) == ((6, 8), 8, 4)
    luma, blue, red = (np.asarray(plane) for plane in frame.planes)
    np.testing.assert_array_equal(luma, picture[:4])
    np.testing.assert_array_equal(blue, np.arange(32, 40).reshape(2, 4))
    np.testing.assert_array_equal(red, np.arange(40, 48).reshape(2, 4))


def test_what_cannot_be_a_frame_is_refused_and_nobody_sees_it():
    writer = framewire.Writer(2, 100)
    wrong = [((2, 2), "u1", "rgb24"), ((2, 2, 3), "f4", "rgb24"), ((5, 4), "u1", "i420"), ((2,), "u1", "jpeg")]
    wrong += [((2,), "O", None), ((2,), "U3", None), ((1,) * 8, "u1", None), ((2,), [("a", "u1")], None)]
    for shape, dtype, form in wrong:
        with pytest.raises(ValueError, match="could not write"), writer.reserve(shape, dtype, format=form):
            pytest.fail("it was lent")
    with pytest.raises(ZeroDivisionError), writer.reserve(3):
        raise ZeroDivisionError
    with writer.reserve(3), pytest.raises(framewire.Error, match="still being written"):
        writer.write(b"x")
    assert writer.published == 1
    with pytest.raises(framewire.OutOfMemoryError, match="budget"):
        framewire.Writer(4, 1 << 20, budget_bytes=1 << 20)
    with pytest.raises(ValueError, match="depth"):
        framewire.Writer(0)
    writer.close()
    with pytest.raises(framewire.ClosedError):
        writer.write(b"x")


def test_a_slot_is_held_while_any_view_of_it_lives():
    writer = framewire.Writer(1, 16)
    reader = writer.reader(leases=1)
    reader.next(0.01)
    writer.write(bytes([1] * 16))
    with reader.next(LIMIT) as frame:
        view = np.asarray(frame)[3:5]
    with pytest.raises(ValueError, match="released"):
        memoryview(frame)
    for n in range(2, 20):
        writer.write(bytes([n] * 16))
    assert list(view) == [1, 1]
    with pytest.raises(framewire.LeasesError) as told:
        reader.next(0)
    assert "all 1 frames" in str(told.value)
    assert f"process {os.getpid()}: frame 1 by thread MainThread" in str(told.value)
    del view
    with reader.next(LIMIT) as frame:
        assert bytes(frame) == bytes([19] * 16)
    # Dropped is released.
    writer.write(b"x")
    reader.next(LIMIT)
    gc.collect()
    writer.write(b"y")
    assert bytes(reader.next(LIMIT)) == b"y"


def test_policies():
    writer = framewire.Writer(10, 8)
    readers = {
        "latest": writer.reader("latest"),
        "drop-oldest": writer.reader("drop-oldest", depth=3, leases=5),
        "every": writer.reader("every", n=4, leases=5),
        "max-rate": writer.reader("max-rate", hz=0.01),
        "block": writer.reader("block", leases=10, block_timeout=LIMIT),
    }
    for reader in readers.values():
        assert reader.next(0.01) is None
    for n in range(8):
        writer.write(bytes([n]))

    def all_of(reader):
        frames = []
        while (frame := reader.try_next()) is not None:
            frames.append(frame.sequence)
            frame.release()
        return frames

    got = {policy: all_of(reader) for policy, reader in readers.items()}
    assert got["latest"] == [8]
    assert got["drop-oldest"] == [6, 7, 8]
    assert got["block"] == list(range(1, 9))
    assert len(got["every"]) == 2
    assert len(got["max-rate"]) == 1
    for reader in readers.values():
        counts = reader.counts
        assert counts["published"] == sum(counts.values()) - counts["published"]
    for wrong in ({"policy": "all"}, {"policy": "max-rate"}, {"policy": "block", "block_timeout": -1}):
        with pytest.raises(ValueError, match="could not make a reader"):
            writer.reader(**wrong)


def read_all(reader):
    say(reader.next(0.01) is None)
    sums = []
    for frame in reader:
        with frame:
            sums.append(int(np.asarray(frame).sum()))
    return sums


def test_a_write_that_is_interrupted_loses_nothing():
    with framewire.Writer(1, 10) as writer:
        reader = writer.reader("block", block_timeout=1000.0)
        assert reader.next(0.01) is None  # it has joined
        writer.write(b"first")
        timer = threading.Timer(0.05, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            writer.write(b"never")
        timer.join(LIMIT)
        with reader.next(LIMIT) as frame:
            assert bytes(frame) == b"first"
        writer.write(b"second")
        with reader.next(LIMIT) as frame:
            assert bytes(frame) == b"second"
        # In another thread nobody is asked; the reader's own limit counts.
        writer.write(b"third")
        waiting = threading.Thread(target=writer.write, args=(b"fourth",))
        waiting.start()
        assert bytes(reader.next(LIMIT)) == b"third"
        waiting.join(LIMIT)
        assert bytes(reader.next(LIMIT)) == b"fourth"


def test_a_reader_goes_to_another_process_in_a_message():
    writer = framewire.Writer(8, 1000)
    with Peer(read_all, writer.reader("block", block_timeout=LIMIT)) as peer:
        assert peer.says() is True
        for n in range(50):
            writer.write(np.full(10, n, np.uint16))
        writer.close()
        assert peer.result() == [n * 10 for n in range(50)]


def test_a_reader_in_use_stays_where_it_is():
    writer = framewire.Writer(2, 10)
    reader = writer.reader()
    reader.try_next()
    with pytest.raises(framewire.PassingError, match="in use"):
        framewire.Queue().put(reader)


def hold_all(reader):
    frames = []
    for frame in reader:
        frames.append(frame)
        say(frame.sequence)
        if len(frames) == reader.leases:
            hear()
    return


def test_a_killed_reader_lets_go_of_everything():
    writer = framewire.Writer(1, 1000)
    with Peer(hold_all, writer.reader("drop-oldest", leases=3)) as peer:
        until = time.monotonic() + LIMIT
        while writer.readers == 0 and time.monotonic() < until:
            time.sleep(0.001)
        for n in range(1, 4):
            writer.write(b"x")
            assert peer.says() == n
    until = time.monotonic() + LIMIT
    while writer.readers and time.monotonic() < until:
        time.sleep(0.001)
    assert writer.readers == 0
    for _ in range(20):
        writer.write(b"y")


def write_until_killed(address):
    writer = framewire.Writer(4, 1000)
    writer.serve(address)
    say("serves")
    while True:
        writer.write(bytes(1000))
        time.sleep(0.001)


def test_what_a_killed_writer_left_is_read_and_then_it_is_told():
    address = f"@python-test-{os.getpid()}"
    with Peer(write_until_killed, address) as peer:
        assert peer.says() == "serves"
        reader = framewire.Reader.connect(address, "drop-oldest", leases=8)
        first = reader.next(LIMIT)
        peer.kill()
        assert bytes(first) == bytes(1000)
        for frame in reader:
            with frame:
                assert bytes(frame) == bytes(1000)
        with pytest.raises(framewire.ClosedError, match="writer is gone"):
            reader.next()
        assert bytes(first) == bytes(1000)
    with pytest.raises(OSError, match="is its writer running"):
        framewire.Reader.connect(address, timeout=0.05)


def test_tasks_wait_for_frames():
    writer = framewire.Writer(4, 16)
    reader = writer.reader("drop-oldest")

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.next_async(), 0.05)

        async def produce():
            for n in range(20):
                writer.write(bytes([n]))
                await asyncio.sleep(0.002)
            writer.close()

        producing = asyncio.create_task(produce())
        got = []
        async for frame in reader:
            with frame:
                got += bytes(frame)
        await producing
        assert got == list(range(20))

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_two_threads_are_told_to_have_a_reader_each():
    writer = framewire.Writer(4, 16)
    reader = writer.reader()
    assert reader.next(0.01) is None
    thread = threading.Thread(target=reader.next, args=(LIMIT,))
    thread.start()
    until = time.monotonic() + LIMIT
    told = None
    while told is None and time.monotonic() < until:
        try:
            reader.try_next()
        except framewire.Error as error:
            told = str(error)
    assert "two threads" in told
    writer.write(b"x")
    thread.join(LIMIT)
    assert not thread.is_alive()


def refused(make):
    """Which error comes of each way to an array."""
    try:
        make()
    except Exception as error:
        return type(error).__name__
    return "none"


def test_a_frame_that_was_released_is_no_array():
    with framewire.Writer(depth=4, frame_bytes=64) as writer, writer.reader() as reader:
        assert reader.try_next() is None
        writer.write(np.arange(24, dtype=np.uint8).reshape(6, 4), format="i420")
        frame = reader.next(LIMIT)
        planes = frame.planes
        ways = [
            lambda: np.asarray(frame),
            lambda: np.array([frame]),
            lambda: np.mean(frame),
            lambda: frame.__array__(),
            frame.copy,
            lambda: frame.planes,
            lambda: np.asarray(planes[0]),
            lambda: memoryview(frame),
        ]
        assert [refused(way) for way in ways] == ["none"] * len(ways)
        ways.append(frame.__dlpack__)  # numpy may refuse what can only be read
        assert frame.__array__(np.float32, copy=True).dtype == np.float32
        pid = os.fork()
        if pid == 0:
            os._exit(0 if all(refused(way) == "ForkedError" for way in ways) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        frame.release()
        assert [refused(way) for way in ways] == ["ValueError"] * len(ways)
        with pytest.raises(ValueError, match="released"):
            np.asarray(frame)


def test_what_is_refused_says_what_to_do():
    with framewire.Writer(depth=2) as writer, writer.reader() as reader:
        reader.try_next()
        writer.write(b"1234")
        with reader.next() as frame, pytest.raises(framewire.PassingError, match=r"copy\(\)"):
            pickle.dumps(frame)
        with pytest.raises(framewire.PassingError, match="reader"):
            pickle.dumps(writer)
        with pytest.raises(framewire.PassingError, match="for, or make the other process one"):
            pickle.dumps(reader)
        with pytest.raises(TypeError, match=r"numpy\.asarray"):
            writer.write([1, 2])
        with pytest.raises(ValueError, match="no address"):
            writer.serve("")
        with pytest.raises(ValueError, match='depth is for the policy "drop-oldest"'):
            writer.reader("latest", depth=3)
        with pytest.raises(ValueError, match=r"max-rate.*and 0 is none"):
            writer.reader("max-rate", hz=0.0)
        with pytest.raises(ValueError, match="block_timeout is -1 seconds"):
            writer.reader("block", block_timeout=-1.0)
