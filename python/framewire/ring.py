"""The writer of a ring: frames to any number of readers, without copies."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self

from framewire._core import Reader, RingWriter
from framewire.errors import PassingError

__all__ = ["Writer"]

Policy = Literal["latest", "drop-oldest", "every", "max-rate", "block"]
PixelFormat = Literal["gray8", "rgb24", "bgr24", "i420"]

_KEYFRAME, _DAMAGED, _DISCONTINUITY = 1, 2, 4


class Writer:
    """The one writer of a ring.

    It never waits for a reader, but for those that wish for the policy "block". Memory is paid for when it is made; a
    larger frame later makes the ring grow, up to `budget_bytes`.

    Args:
        depth: how many of the newest frames stay readable for a reader that lags, 1 to 512.
        frame_bytes: the size of a frame in bytes.
        budget_bytes: how much memory the ring may take for its frames; None for what the machine has.

    Raises:
        OutOfMemoryError: if there isn't so much memory.

    """

    def __init__(self, depth: int = 4, frame_bytes: int = 0, *, budget_bytes: int | None = None) -> None:
        self._ring = RingWriter(depth, frame_bytes, budget_bytes)

    @contextmanager
    def reserve(
        self,
        shape: int | Sequence[int],
        dtype: Any = "uint8",
        *,
        format: PixelFormat | None = None,
        pts_ns: int = 0,
        captured_ns: int | None = None,
        keyframe: bool = False,
        damaged: bool = False,
        discontinuity: bool = False,
    ) -> Iterator[Any]:
        """Lend a slot as a numpy array to fill in place; it is published at the end of the block.

        If the block raises, nobody sees the frame. Don't write to the array after the block: it is others' then.

        Args:
            shape: the array's shape.
            dtype: what its elements are: bool, integers, floats, complex numbers.
            format: what picture it is, if it is one (uint8): gray8 of (height, width), rgb24 or bgr24 of (height,
            width, 3), i420 of
                (height * 3 / 2, width).
            pts_ns: presentation time in nanoseconds, on the source's own axis.
            captured_ns: when it was captured, as `time.monotonic_ns()`; None for now.
            keyframe: decoding can begin here.
            damaged: something was lost, and the content shows it.
            discontinuity: it doesn't continue what came before.

        Yields:
            The array. It holds what an earlier frame left there.

        Raises:
            ValueError: if the array can't be such a frame.
            OutOfMemoryError: if the frame is larger than any before, and there is no memory for that.

        """
        import numpy as np

        dimensions = (shape,) if isinstance(shape, int) else tuple(shape)
        kind = np.dtype(dtype)
        item = _item(kind)
        size = self._ring.check(dimensions, item, format)
        memory = self._ring.reserve(size)
        array: np.ndarray[Any, Any] = np.ndarray(dimensions, kind, buffer=memoryview(memory))
        flags = _KEYFRAME * keyframe + _DAMAGED * damaged + _DISCONTINUITY * discontinuity
        try:
            yield array
        except BaseException:
            array.flags.writeable = False
            self._ring.give_up()
            raise
        array.flags.writeable = False
        captured, wall = _clocks(captured_ns)
        self._ring.publish(dimensions, item, format, pts_ns, captured, wall, flags)

    def write(
        self,
        data: Any,
        *,
        format: PixelFormat | None = None,
        pts_ns: int = 0,
        captured_ns: int | None = None,
        keyframe: bool = False,
        damaged: bool = False,
        discontinuity: bool = False,
    ) -> int:
        """Publish a copy of an array, or of anything with the buffer protocol.

        Args:
            data: an array of any shape, or bytes. The rest is as in `reserve`.
            format: as in `reserve`.
            pts_ns: as in `reserve`.
            captured_ns: as in `reserve`.
            keyframe: as in `reserve`.
            damaged: as in `reserve`.
            discontinuity: as in `reserve`.

        Returns:
            The frame's number.

        """
        captured, wall = _clocks(captured_ns)
        flags = _KEYFRAME * keyframe + _DAMAGED * damaged + _DISCONTINUITY * discontinuity
        try:
            view = memoryview(data)
        except TypeError:
            raise TypeError(
                f"could not write a {type(data).__name__}: a frame is a numpy array, bytes, or another object with the "
                "buffer protocol; numpy.asarray() makes an array of a list"
            ) from None
        shape, item = view.shape or (), _native(view.format)
        memory = self._ring.reserve(self._ring.check(shape, item, format))
        try:
            if view.nbytes:
                if not view.c_contiguous:
                    _copy_strided(memory, data)
                elif view.nbytes < _LARGE_BYTES:
                    memoryview(memory)[:] = view.cast("B")
                else:
                    _copy_large(memory, view)
        except BaseException:
            self._ring.give_up()
            raise
        return self._ring.publish(shape, item, format, pts_ns, captured, wall, flags)

    def reader(
        self,
        policy: Policy = "latest",
        *,
        leases: int = 2,
        depth: int | None = None,
        n: int | None = None,
        hz: float | None = None,
        block_timeout: float | None = None,
        detach: bool = False,
    ) -> Reader:
        """Make a reader, to be used here or passed to another process in a message, before its first use.

        Args:
            policy: what it takes when it can't take everything: "latest" only; "drop-oldest", up to `depth` behind;
            "every" `n`th;
                "max-rate", `hz` a second; "block": all, and the writer waits.
            leases: how many frames it may hold at once.
            depth: for "drop-oldest"; None for all that the ring keeps.
            n: for "every".
            hz: for "max-rate", in frames a second.
            block_timeout: for "block": how many seconds the writer waits for a frame to be taken; None for 1.
            detach: for "block": a reader that is late is let go, instead of losing the frame.

        """
        return self._ring.reader(policy, leases, depth, n, hz, block_timeout, detach)

    def serve(self, address: str, *, allow: Literal["user", "anyone"] | Sequence[int] = "user") -> None:
        """Let readers in at an address, for as long as this writer lives.

        Args:
            address: "@name" (which vanishes with this process), or the path of a socket to be made.
            allow: whom: processes of this "user", "anyone" who can reach it, or users by number. Root is always let in.

        """
        self._ring.serve(address, allow if isinstance(allow, str) else list(allow))

    @property
    def published(self) -> int:
        """How many frames were published."""
        return self._ring.published

    @property
    def readers(self) -> int:
        """How many readers have joined."""
        return self._ring.readers

    def close(self) -> None:
        """End the ring. Readers get what is left, then `ClosedError`."""
        self._ring.close()

    def __reduce__(self) -> Any:
        raise PassingError(
            "could not pickle a ring's writer: a ring has one, in the process that made it; give the other process a "
            "reader (`writer.reader()`), or make the writer there and have its readers sent here"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _clocks(captured_ns: int | None) -> tuple[int, int]:
    """The time of capture by the monotonic and by the wall clock."""
    now, wall = time.monotonic_ns(), time.time_ns()
    if captured_ns is None:
        return now, wall
    return captured_ns, wall - (now - captured_ns)


_items: dict[Any, str] = {}


def _item(kind: Any) -> str:
    """The format of an element, as in the module `struct`."""
    known = _items.get(kind)
    if known is None:
        import numpy as np

        known = _items[kind] = _native(memoryview(np.empty(1, kind).data).format) if kind.kind in "biufc" else str(kind)
    return known


def _native(item: str) -> str:
    return item.removeprefix("@").removeprefix("=")


# From here on the copy takes so long, tens of microseconds, that other threads should run meanwhile.
_LARGE_BYTES = 256 * 1024


def _copy_large(memory: Any, view: memoryview) -> None:
    try:
        import numpy as np
    except ImportError:
        memoryview(memory)[:] = view.cast("B")
        return
    # One memcpy, as the other; numpy lets go of the GIL for it.
    np.copyto(np.frombuffer(memory, np.uint8), np.frombuffer(view.cast("B"), np.uint8))


def _copy_strided(memory: Any, data: Any) -> None:
    import numpy as np

    array = np.asarray(data)
    np.copyto(np.ndarray(array.shape, array.dtype, buffer=memoryview(memory)), array)
