"""What the engine, written in Rust, gives to Python. The public classes are in `framewire` itself."""

from collections.abc import Callable, Coroutine
from types import GenericAlias, TracebackType
from typing import Any, Generic, Literal, NoReturn, Self, final, overload

from typing_extensions import TypeVar, disjoint_base

from framewire.exit import ExitKind

_T = TypeVar("_T")
_Item = TypeVar("_Item", default=Any)

__version__: str

@disjoint_base
class Lock:
    """A lock between processes. Any process may release it.

    If its owner dies, the next one gets it, and is told: with `robust="recover"`, `recovered` is True then; with
    `robust="raise"`, `acquire` raises `OwnerDiedError`, with the lock held (a `with` raises it without).

    It can be passed to any process in a message, at any time. It belongs to a process, not to a thread.
    """

    def __new__(cls, *, robust: Literal["recover", "raise"] = "recover") -> Self: ...
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it, and wait for that if `block`, for at most `timeout` seconds.

        Returns:
            Whether it is had.

        Raises:
            OwnerDiedError: if its last owner died, and it is `robust="raise"`.
            ForkedError: in a forked child.

        """
    def acquire_async(self) -> Coroutine[Any, Any, bool]:
        """Take it, in a task. Cancelling it is safe at any time: the lock isn't had then. Raises as `acquire`."""
    def release(self) -> None:
        """Let go of it.

        Raises:
            ValueError: if nobody holds it.

        """
    def locked(self) -> bool:
        """Whether somebody living has it at this moment."""
    def mark_consistent(self) -> None:
        """Say that what it protects is in order again: the next one isn't told of the death any more.

        Raises:
            AssertionError: if it isn't held here.

        """
    @property
    def recovered(self) -> bool:
        """Whether this handle last took it from one who died holding it."""
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def __aenter__(self) -> Coroutine[Any, Any, bool]: ...
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Coroutine[Any, Any, None]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@disjoint_base
class RLock:
    """A lock between processes that the thread which has it can take again; only that thread can release it.

    What becomes of it when its owner dies is as for `Lock`. All tasks of an event loop are one thread: it can't tell
    them apart, and has no `acquire_async`.
    """

    def __new__(cls, *, robust: Literal["recover", "raise"] = "recover") -> Self: ...
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """As `Lock.acquire`."""
    def release(self) -> None:
        """Let go of it once.

        Raises:
            AssertionError: if this thread doesn't hold it.

        """
    def locked(self) -> bool:
        """Whether somebody living has it at this moment."""
    def mark_consistent(self) -> None:
        """As `Lock.mark_consistent`."""
    @property
    def recovered(self) -> bool:
        """As `Lock.recovered`."""
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@disjoint_base
class Condition:
    """Waiting, with a lock (an `RLock`, if none is given), for others to change what it protects. Up to 256 can wait.

    Whoever dies waiting is in nobody's way, and what it was notified of goes to another one. If somebody dies holding
    the lock, one who waits gets it, and is told as with `acquire`.
    """

    def __new__(cls, lock: Lock | RLock | None = None) -> Self: ...
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """As the lock's."""
    def release(self) -> None:
        """As the lock's."""
    def wait(self, timeout: float | None = None) -> bool:
        """Let go of the lock, wait to be notified for at most `timeout` seconds, and take the lock again.

        Returns:
            Whether it was notified.

        Raises:
            AssertionError: if this thread (a `Lock`: this process) doesn't hold the lock.

        """
    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        """Wait until `predicate()` is true, for at most `timeout` seconds; what it said last is the result."""
    def notify(self, n: int = 1) -> None:
        """Notify up to `n` of those who wait, longest first."""
    def notify_all(self) -> None:
        """Notify all who wait."""
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@disjoint_base
class Semaphore:
    """Up to `value` at a time, between processes; `release` may add to them, up to 1024 (or `value`).

    The permits of a process that dies come back, unless `robust=False`: that is for counting what one process makes
    and another takes. Those of a `with` block come back in any case.
    """

    def __new__(cls, value: int = 1, *, robust: bool = True) -> Self: ...
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take a permit, and wait for one if `block`, for at most `timeout` seconds. True if it is had."""
    def acquire_async(self) -> Coroutine[Any, Any, Literal[True]]:
        """Take a permit, in a task. Cancelling it is safe at any time: no permit is taken then."""
    def release(self) -> None:
        """Give a permit back, or one more. From any process.

        Raises:
            ValueError: if there may be no more than there are.

        """
    def get_value(self) -> int:
        """How many permits there are to be had at this moment, with those of the dead."""
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def __aenter__(self) -> Coroutine[Any, Any, Literal[True]]: ...
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Coroutine[Any, Any, None]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@disjoint_base
class BoundedSemaphore:
    """As `Semaphore`, but there are never more than `value` permits: to release one too many is a `ValueError`."""

    def __new__(cls, value: int = 1, *, robust: bool = True) -> Self: ...
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """As `Semaphore.acquire`."""
    def acquire_async(self) -> Coroutine[Any, Any, Literal[True]]:
        """As `Semaphore.acquire_async`."""
    def release(self) -> None:
        """Give a permit back. From any process.

        Raises:
            ValueError: if all are there.

        """
    def get_value(self) -> int:
        """As `Semaphore.get_value`."""
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def __aenter__(self) -> Coroutine[Any, Any, Literal[True]]: ...
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Coroutine[Any, Any, None]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@disjoint_base
class Event:
    """A flag that any process can set, and that any can wait for."""

    def __new__(cls) -> Self: ...
    def is_set(self) -> bool:
        """Whether it is set."""
    def set(self) -> None:
        """Set it, and wake all who wait."""
    def clear(self) -> None:
        """Take it back: who comes from now on waits."""
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for at most `timeout` seconds. True if it was."""
    def wait_async(self) -> Coroutine[Any, Any, Literal[True]]:
        """Wait until it is set, in a task. Cancelling it is safe at any time."""
    def fileno(self) -> int:
        """Give a descriptor that is readable while it is set, for `select` and event loops.

        Once readable it stays so until this handle's `is_set` or `clear` is called when it isn't set any more.
        """
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Map:
    """Objects by name, between processes: what `framewire.Namespace` and `framewire.Dict` are made of.

    Each method is one step to all others. Objects are pickled. Keys: str, int, float, bytes, None and tuples of these.
    """

    def __new__(cls, limit_bytes: int) -> Self: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...
    def __delitem__(self, key: Any, /) -> None: ...
    def __contains__(self, key: Any, /) -> bool: ...
    def __len__(self) -> int: ...
    def versioned(self, key: Any) -> tuple[Any, int]:
        """The value of a key, and the map's version when it was set."""
    def compare_and_set(self, key: Any, version: int | None, value: Any) -> bool:
        """Set a key's value if it still has that version (None: if it has none). Whether it was."""
    def setdefault(self, key: Any, value: Any) -> Any:
        """Give a key's value; if it has none, this one, which is set then."""
    def pop(self, key: Any) -> Any:
        """Take a key away, and give its value."""
    def popitem(self) -> tuple[Any, Any]:
        """Take the key away that came last, and give it with its value."""
    def set_all(self, pairs: list[tuple[Any, Any]]) -> None:
        """Set many: all or none, whoever dies, and nobody sees some without the others."""
    def clear(self) -> None:
        """Take all away at once."""
    def keys(self) -> list[Any]:
        """All keys, in the order in which they came."""
    def items(self) -> list[tuple[Any, Any]]:
        """All keys and values as at one moment, in the order in which they came."""
    @property
    def version(self) -> int:
        """How often it was changed."""
    @property
    def limit_bytes(self) -> int:
        """How many bytes all entries may take."""
    @property
    def used_bytes(self) -> int:
        """How many they take."""
    def wait_changed(self, version: int, timeout: float | None = None) -> bool:
        """Wait until it was changed since it had that version, for at most `timeout` seconds. True if it was."""
    def wait_changed_async(self, version: int) -> Coroutine[Any, Any, Literal[True]]:
        """As `wait_changed`, in a task. Cancelling it is safe at any time."""
    def __reduce__(self) -> tuple[Any, ...]: ...

@disjoint_base
class Barrier:
    """A point that none of `parties` passes before all have come to it; whoever comes last runs `action` first.

    A party that dies waiting there breaks it for the others; so does a limit that passes, or an action that raises.
    """

    def __new__(
        cls, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> Self: ...
    def wait(self, timeout: float | None = None) -> int:
        """Wait for the others for at most `timeout` seconds (or the barrier's own).

        Returns:
            As which one this came: 0 to `parties - 1`.

        Raises:
            threading.BrokenBarrierError: if it is broken, or the limit passes.

        """
    def reset(self) -> None:
        """Begin anew. Who waits is told that it broke."""
    def abort(self) -> None:
        """Break it: who waits is told, and who comes."""
    @property
    def parties(self) -> int:
        """How many it is for."""
    @property
    def n_waiting(self) -> int:
        """How many wait at this moment."""
    @property
    def broken(self) -> bool:
        """Whether it is broken."""
    def __reduce__(self) -> tuple[Any, ...]: ...

@disjoint_base
class RWLock:
    """What many may read at once, and one may change at a time. A writer that waits is preferred to readers that come.

    A dead reader is simply gone. After a dead writer, `acquire_read` and `acquire_write` say "recovered" until a
    writer has called `mark_consistent`. Any thread of the process that holds it may release it.
    """

    def __new__(cls) -> Self: ...
    def acquire_read(self, block: bool = True, timeout: float | None = None) -> Literal["clean", "recovered"] | None:
        """Wait until nobody writes, for at most `timeout` seconds. None if it isn't had by then."""
    def acquire_write(self, block: bool = True, timeout: float | None = None) -> Literal["clean", "recovered"] | None:
        """Wait until nobody reads or writes, for at most `timeout` seconds. None if it isn't had by then."""
    def release_read(self) -> None:
        """End reading, once.

        Raises:
            ValueError: if this process doesn't read.

        """
    def release_write(self) -> None:
        """End writing.

        Raises:
            ValueError: if this process doesn't write.

        """
    def mark_consistent(self) -> None:
        """Say that what it protects is in order again. Hold it for writing."""
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Block:
    """So many zeroed bytes that processes share, by the buffer protocol. Nothing locks them."""

    def __new__(cls, size: int) -> Self: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, view: memoryview, /) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Lent:
    """Bytes of shared memory, lent by the buffer protocol for as long as any view of them lives."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, view: memoryview, /) -> None: ...

@final
class Operation:
    """A wait under way. Dropped before it is done, it has taken nothing."""

    def poll(self, bell: Bell, key: int) -> tuple[Any] | None:
        """Go on with it: `(result,)` when it is done; None if `key` will be among what `bell` names."""
    def cancel(self) -> None:
        """Give it up."""

@final
class Bell:
    """What an event loop watches for all its operations."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """Readable when operations are to be polled again."""
    def take(self) -> list[int]:
        """Which ones."""

@final
class Lease:
    """An object that this process has from a queue, and has not acknowledged.

    As a context manager it gives the object, acknowledges it at the end of the block, and gives it back if the block
    raises. Dropped, or its process dead, the next one gets the object.
    """

    @property
    def item(self) -> Any:
        """The object."""
    @property
    def deliveries(self) -> int:
        """How often it was delivered, with this time."""
    def done(self) -> None:
        """Acknowledge it: nobody will get it again."""
    def give_back(self) -> None:
        """Give it back: the next one gets it, before everything that waits.

        Raises:
            Error: if it was given back or acknowledged before.

        """
    def __enter__(self) -> Any: ...
    def __exit__(self, exception: type[BaseException] | None, /, *_more: object) -> None: ...

@disjoint_base
class SimpleQueue(Generic[_Item]):
    """A queue with nothing but `put`, `get`, `empty` and `close`. See `Queue`."""

    def __new__(
        cls,
        maxsize: int = 0,
        *,
        codec: Literal["pickle", "msgpack"] = "pickle",
        large_bytes: int = ...,
        descriptor_slots: int | None = None,
        max_deliveries: int = 5,
        dead_letters: int = 64,
    ) -> Self: ...
    def put(self, obj: _Item, block: bool = True, timeout: float | None = None) -> None:
        """As `Queue.put`."""
    def get(self, block: bool = True, timeout: float | None = None) -> _Item:
        """As `Queue.get`."""
    def put_async(self, obj: _Item) -> Coroutine[Any, Any, None]:
        """As `Queue.put_async`."""
    def get_async(self) -> Coroutine[Any, Any, _Item]:
        """As `Queue.get_async`."""
    def empty(self) -> bool:
        """Whether nothing waits."""
    def close(self) -> None:
        """As `Queue.close`."""
    def fileno(self) -> int:
        """As `Queue.fileno`."""
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@disjoint_base
class Queue(Generic[_Item]):
    """Objects from any process to any process, in order, whoever dies.

    It is bounded, and its memory is paid for when it is made: a put waits when it is full.

    Args:
        maxsize: how many objects may wait; 0 means 4096.
        codec: "pickle" between Pythons, "msgpack" with other languages.
        large_bytes: room for all that is larger than 256 bytes as a message. What is larger than 64 KiB has memory of
        its own.
        descriptor_slots: how many objects that have such memory, or shared objects in them, may be under way. Each
        costs every process a
            descriptor; None is 16, or `maxsize`. A put of another one waits.
        max_deliveries: how often an object is given to consumers that don't acknowledge it, before it is a dead
        letter; 0: always.
        dead_letters: how many of those are kept.

    """

    def __new__(
        cls,
        maxsize: int = 0,
        *,
        codec: Literal["pickle", "msgpack"] = "pickle",
        large_bytes: int = ...,
        descriptor_slots: int | None = None,
        max_deliveries: int = 5,
        dead_letters: int = 64,
    ) -> Self: ...
    def put(self, obj: _Item, block: bool = True, timeout: float | None = None) -> None:
        """Put an object, and wait for room if `block`, for at most `timeout` seconds.

        When it returns, the object is there, whatever becomes of this process.

        Raises:
            queue.Full: if there was no room.
            ClosedError: if the queue is closed (a `ValueError`).
            CodecError: if the object can't be a message.

        """
    def get(self, block: bool = True, timeout: float | None = None) -> _Item:
        """Take the next object, and wait for one if `block`, for at most `timeout` seconds.

        Large numpy arrays in it are not copied.

        Raises:
            queue.Empty: if there was none.
            ClosedError: if the queue is closed and nothing waits in it (a `ValueError`).

        """
    def put_nowait(self, obj: _Item) -> None:
        """`put` without waiting."""
    def get_nowait(self) -> _Item:
        """`get` without waiting."""
    def put_async(self, obj: _Item) -> Coroutine[Any, Any, None]:
        """Put an object, in a task. Cancelling it is safe at any time: nothing is put then."""
    def get_async(self) -> Coroutine[Any, Any, _Item]:
        """Take the next object, in a task. Cancelling it is safe at any time: nothing is taken then."""
    def lease(self, block: bool = True, timeout: float | None = None) -> Lease:
        """Take the next object on lease: `with queue.lease() as item`. Raises as `get`."""
    def lease_async(self) -> Coroutine[Any, Any, Lease]:
        """Take the next object on lease, in a task: `with await queue.lease_async() as item`.

        Cancelling it is safe at any time: nothing is taken then.
        """
    def take_dead_letter(self) -> Lease | None:
        """Take the oldest object that was delivered too often, on lease; None if there is none."""
    def qsize(self) -> int:
        """How many objects wait. Exact, at one moment of the call."""
    def empty(self) -> bool:
        """Whether nothing waits."""
    def full(self) -> bool:
        """Whether a put would have to wait."""
    @property
    def leased(self) -> int:
        """How many objects are out: taken on lease, and not acknowledged."""
    @property
    def unfinished(self) -> int:
        """How many objects were put and aren't acknowledged, nor dead letters."""
    @property
    def dead_letters(self) -> int:
        """How many dead letters there are."""
    @property
    def maxsize(self) -> int:
        """How many may wait."""
    def close(self) -> None:
        """Let nobody put anything any more, in any process. What waits is still to be got; then getters are told."""
    def join_thread(self) -> None:
        """Do nothing: no thread puts in the background."""
    def cancel_join_thread(self) -> None:
        """Do nothing, as `join_thread`."""
    def fileno(self) -> int:
        """Give a descriptor that is readable when there may be something to get, or the queue was closed.

        After each `get` of this handle's it tells anew. It may be readable for nothing.
        """
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@disjoint_base
class JoinableQueue(Generic[_Item]):
    """A `Queue` whose objects are acknowledged by `task_done`.

    What a process got and hasn't acknowledged when it dies, another one gets.
    """

    def __new__(
        cls,
        maxsize: int = 0,
        *,
        codec: Literal["pickle", "msgpack"] = "pickle",
        large_bytes: int = ...,
        descriptor_slots: int | None = None,
        max_deliveries: int = 5,
        dead_letters: int = 64,
    ) -> Self: ...
    def put(self, obj: _Item, block: bool = True, timeout: float | None = None) -> None:
        """As `Queue.put`."""
    def get(self, block: bool = True, timeout: float | None = None) -> _Item:
        """As `Queue.get`, but the object is this process's until `task_done`."""
    def put_nowait(self, obj: _Item) -> None:
        """`put` without waiting."""
    def get_nowait(self) -> _Item:
        """`get` without waiting."""
    def put_async(self, obj: _Item) -> Coroutine[Any, Any, None]:
        """As `Queue.put_async`."""
    def get_async(self) -> Coroutine[Any, Any, _Item]:
        """As `Queue.get_async`."""
    def lease(self, block: bool = True, timeout: float | None = None) -> Lease:
        """As `Queue.lease`."""
    def lease_async(self) -> Coroutine[Any, Any, Lease]:
        """As `Queue.lease_async`."""
    def take_dead_letter(self) -> Lease | None:
        """As `Queue.take_dead_letter`."""
    def task_done(self) -> None:
        """Acknowledge the object that this process got first of those it hasn't acknowledged.

        Raises:
            ValueError: if there is none.

        """
    def join(self, timeout: float | None = None) -> None:
        """Wait until everything that was put before is acknowledged, for at most `timeout` seconds.

        Raises:
            TimeoutError: if the limit passes.

        """
    def qsize(self) -> int:
        """As `Queue.qsize`."""
    def empty(self) -> bool:
        """Whether nothing waits."""
    def full(self) -> bool:
        """Whether a put would have to wait."""
    @property
    def leased(self) -> int:
        """How many objects are out: taken, and not acknowledged."""
    @property
    def unfinished(self) -> int:
        """How many objects were put and aren't acknowledged, nor dead letters."""
    @property
    def dead_letters(self) -> int:
        """How many dead letters there are."""
    @property
    def maxsize(self) -> int:
        """How many may wait."""
    def close(self) -> None:
        """As `Queue.close`."""
    def join_thread(self) -> None:
        """Do nothing: no thread puts in the background."""
    def cancel_join_thread(self) -> None:
        """Do nothing, as `join_thread`."""
    def fileno(self) -> int:
        """As `Queue.fileno`."""
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class Plane:
    """A plane of a picture: an array of uint8, read-only, in the ring's own memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns), and samples if there are several a pixel."""
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, view: memoryview, /) -> None: ...

@final
class Frame:
    """A frame in the ring's own memory, read-only. `numpy.asarray(frame)` copies nothing.

    The slot is held, and so never overwritten, until the frame is released (the end of its `with`, `release()`, or
    dropped) *and* no view of it is left.
    """

    @property
    def sequence(self) -> int:
        """The frame's number, from 1; what is missing between two was dropped."""
    @property
    def pts_ns(self) -> int:
        """Presentation time on the source's own axis, in nanoseconds."""
    @property
    def captured_ns(self) -> int:
        """When it was captured or received, by `time.monotonic_ns()`; 0 if its writer didn't say."""
    @property
    def wall_ns(self) -> int:
        """The same by `time.time_ns()`; 0 if its writer didn't say."""
    @property
    def is_keyframe(self) -> bool:
        """Whether decoding can begin here."""
    @property
    def is_damaged(self) -> bool:
        """Whether something was lost, and the content shows it."""
    @property
    def is_discontinuity(self) -> bool:
        """Whether it doesn't continue what came before."""
    @property
    def format(self) -> Literal["gray8", "rgb24", "bgr24", "i420"] | None:
        """What picture it is; None if it isn't one."""
    @property
    def width(self) -> int:
        """Width in pixels; 0 if it isn't a picture."""
    @property
    def height(self) -> int:
        """Height in pixels; 0 if it isn't a picture."""
    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape.

        (height, width) for gray8, (height, width, 3) for rgb24 and bgr24, (height * 3 / 2, width) for i420 whose
        planes follow each other, as its writer gave it for other arrays, else (bytes,).
        """
    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next, along each axis."""
    @property
    def nbytes(self) -> int:
        """How many bytes it has."""
    @property
    def planes(self) -> list[Plane]:
        """Each plane of a picture as an array of its own: one, or three (Y, U, V) for i420.

        Raises:
            ValueError: if the frame was released. So do `numpy.asarray(frame)` and `copy()`.
            ForkedError: in a forked child.

        """
    def copy(self) -> Any:
        """Make a numpy array of its own, which holds nothing."""
    def release(self) -> None:
        """Let go of it; the slot is free when no view of it is left either."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, view: memoryview, /) -> None: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any: ...
    def __reduce__(self) -> NoReturn: ...
    def __dlpack__(self, **options: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

@final
class Reader:
    """One end of a ring: it takes frames, by its own policy. For one thread, or one task, at a time.

    One that `Writer.reader` made joins at its first use; until then it can go to another process, in any message.
    `for frame in reader` and `async for frame in reader` end when the writer is gone.
    """

    @classmethod
    def connect(
        cls,
        address: str,
        policy: Literal["latest", "drop-oldest", "every", "max-rate", "block"] = "latest",
        *,
        leases: int = 2,
        depth: int | None = None,
        n: int | None = None,
        hz: float | None = None,
        block_timeout: float | None = None,
        detach: bool = False,
        timeout: float | None = 5.0,
    ) -> Self:
        """Join the ring that is served at an address.

        Args:
            address: "@name" or a path, as the writer serves it.
            timeout: how many seconds to wait for the writer; None for as long as it takes. The rest is as in
            `Writer.reader`.
            policy: as there.
            leases: as there.
            depth: as there.
            n: as there.
            hz: as there.
            block_timeout: as there.
            detach: as there.

        Raises:
            ResourceError: if nobody serves there (an `OSError`).

        """
    @overload
    def next(self, timeout: None = None) -> Frame: ...
    @overload
    def next(self, timeout: float | None = None) -> Frame | None:
        """Wait for the next frame; None if `timeout` seconds pass without one.

        Raises:
            ClosedError: when the writer is gone, and all that it left is read.
            LeasesError: if all frames that this reader may hold are held; it says by whom.

        """
    def try_next(self) -> Frame | None:
        """Take the next frame if there is one. Never waits. Raises as `next`."""
    def poll(self) -> Frame | None:
        """Take the next frame, for event loops: if there is none, `fileno()` will be readable when there may be one."""
    def next_async(self) -> Coroutine[Any, Any, Frame]:
        """Wait for the next frame, in a task.

        Cancelling it is safe at any time: it has taken nothing then. Raises as `next`.
        """
    def fileno(self) -> int:
        """Give a descriptor to watch after `poll` gave None."""
    @property
    def counts(self) -> dict[Literal["published", "read", "dropped", "skipped", "waiting"], int]:
        """What became of the frames. `published` is the sum of the others, at every instant."""
    @property
    def leases(self) -> int:
        """How many frames it may hold."""
    def close(self) -> None:
        """Leave the ring. Frames that are held stay."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Frame: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, Frame]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class RingWriter:
    """The writing end of a ring, as `framewire.Writer` uses it."""

    def __new__(cls, depth: int, frame_bytes: int, budget_bytes: int | None = None) -> Self: ...
    def reserve(self, size: int) -> Lent:
        """Lend a slot of `size` bytes. One at a time."""
    def publish(
        self,
        shape: tuple[int, ...],
        item: str,
        format: str | None,
        pts_ns: int,
        captured_ns: int,
        wall_ns: int,
        flags: int,
    ) -> int:
        """Publish the slot as such an array; its number."""
    @staticmethod
    def check(shape: tuple[int, ...], item: str, format: str | None) -> int:
        """Check what `publish` will be told; how many bytes it takes."""
    def give_up(self) -> None:
        """Give the slot up: nobody sees it."""
    def reader(
        self,
        policy: str,
        leases: int,
        depth: int | None,
        n: int | None,
        hz: float | None,
        block_timeout: float | None,
        detach: bool,
    ) -> Reader:
        """Make a reader, to be used here or passed on."""
    def serve(self, address: str, allow: str | list[int]) -> None:
        """Let readers in at an address."""
    @property
    def published(self) -> int:
        """How many frames were published."""
    @property
    def readers(self) -> int:
        """How many readers have joined."""
    def close(self) -> None:
        """End the ring."""

_Exit = tuple[ExitKind, str, int | None]

def run_child(host: Any, arguments: list[str], zygote: Any = None) -> int | None:
    """Live as the child that `arguments` name, and give its exit code; `None` if they name none.

    With a `zygote`, copies of this interpreter do.
    """

def flush_log() -> None:
    """Wait until what was said so far has been told, for a second at most."""

@final
class Pending:
    """Something to come. For asyncio it is an operation as `framewire.aio.run` takes them; one can also block on it."""

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for it; `None` when `timeout` seconds are over. It can be waited for again then."""
    def poll(self, bell: Bell, key: int) -> tuple[Any] | None:
        """Goes on with it: `(result,)` when it has come; `None` if `key` will be among what `bell` names."""
    def cancel(self) -> None:
        """Give it up: a call is cancelled."""

@final
class Call:
    """A question that hasn't been put yet."""

    def wait(self, timeout: float | None = None) -> Any:
        """Asks and waits for the answer, `timeout` seconds at most."""
    def begin(self) -> Pending:
        """Asks; the answer is to come."""
    def detach(self) -> None:
        """Asks, and doesn't want to know."""

@final
class Handle:
    """A process under supervision, over all its incarnations."""

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def state(self) -> str: ...
    @property
    def restarts(self) -> int: ...
    @property
    def exit(self) -> _Exit | None:
        """How it ended for good."""
    @property
    def last_exit(self) -> tuple[_Exit, list[str]] | None:
        """How its latest incarnation ended, and what it wrote last."""
    def call(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
        """Put a call together; its arguments are encoded now."""
    def next_event(self) -> Pending:
        """Ask for the next event, to come, in a tuple; `None` when there will never be another one."""
    def dropped_events(self) -> int:
        """How many events were dropped because nobody read them."""
    def ended(self) -> Pending:
        """Its end for good, to come."""
    def sentinel(self, bell: Bell) -> None:
        """Have `bell` rung at its end for good."""
    def stop(self, grace: float) -> None:
        """Stop it for good; it is gone when this returns."""
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def interrupt(self) -> None: ...
    def detach(self) -> None: ...

@final
class Starting:
    """A process that was started and may not be ready yet. Dropped, it is stopped."""

    def handle(self) -> Handle:
        """Give a handle on it already."""
    def wait(self) -> Handle:
        """Wait until it is ready."""

@final
class System:
    """A supervisor: its thread starts processes, watches and stops them."""

    def __new__(cls) -> System: ...
    def begin(
        self,
        command: list[str],
        zygote: list[str] | None,
        preparation: bytes | None,
        configuration: Any,
        options: dict[str, Any],
    ) -> Starting:
        """Start a process: `preparation` is what a Python child takes first, `None` for other programs.

        With the command of a `zygote` it is a copy of that, if there can be one.
        """
    def stop_all(self, grace: float) -> None:
        """Stop all processes and start no more; they are gone when this returns."""

@final
class ChildContext:
    """A process's view of the world."""

    @property
    def name(self) -> str:
        """Its name."""
    def emit(self, event: Any) -> None:
        """Says something unasked."""
    def progress(self) -> None:
        """Says that the command being handled goes on."""
    def is_cancelled(self) -> bool:
        """Whether the answer to the call being handled isn't wanted any more."""
    def watch(self, fileno: int, callback: Callable[[], object]) -> int:
        """Has `callback` called whenever the descriptor is readable; gives the number that ends it."""
    def unwatch(self, number: int) -> None:
        """End a watch."""
    def invite(self) -> None:
        """From now on Python's own loop gets turns."""

@final
class Outcome:
    """What a coroutine came to."""

    def done(self, value: Any) -> None:
        """Tell that it returned this."""
    def failed(self, error: BaseException) -> None:
        """Tell that it raised this."""

@final
class Group:
    """Some tasks' outcomes."""

    def __new__(cls) -> Group: ...
    def take(self, into: list[tuple[int, bool, Any]], number: int | None, count: int, timeout: float | None) -> None:
        """Put the outcomes that are there into a list: number, whether it is an answer, and that or the exception.

        Waits until the one of that number is there, or so many, or all, but not longer than `timeout` seconds. Each is
        put as it is read, so that an interruption loses none.
        """
    def given(self) -> int:
        """How many were given."""
    def left(self) -> int:
        """How many outcomes are to be taken, now or when they come."""
    def wait(self, timeout: float | None) -> bool:
        """Wait until all have an outcome; whether that is so."""
    def is_done(self) -> bool:
        """Whether all have an outcome."""
    def notify(self, bell: Bell, key: int) -> None:
        """Has `bell` name `key` when all have an outcome."""
    def notify_next(self, bell: Bell, key: int, number: int | None) -> None:
        """Has `bell` name `key` when the outcome of that number is there, or any if it is none; or when all are."""

@final
class Pool:
    """Workers that share tasks."""

    def __new__(
        cls,
        system: System,
        command: list[str],
        zygote: list[str] | None,
        preparation: bytes,
        configuration: Any,
        staff: dict[str, Any],
    ) -> Pool: ...
    def submit(self, group: Group, first: int, function: bytes, items: list[Any]) -> None:
        """Give one task for each item, numbered from `first`; `function` is pickled. Outcomes come to `group`."""
    def close(self) -> None:
        """Take no more tasks; what was taken is done."""
    def terminate(self) -> None:
        """End everything now."""
    def join(self, timeout: float | None = None) -> bool:
        """Wait until the workers are gone; whether they are."""
    def workers(self) -> list[tuple[str, int | None]]:
        """Names and process identifiers of the workers that take tasks now."""

@final
class Descriptor:
    """A copy of a descriptor, to be sent in a message, or received with one."""

    def __new__(cls, fileno: int) -> Descriptor: ...
    def detach(self) -> int:
        """Take it: the number is the caller's to close."""

def pickle_by(dumps: Callable[..., bytes]) -> None:
    """Pickle messages by this function, called as `pickle.dumps`."""

def become_analyser(arguments: list[str]) -> int | None:
    """Become an analyser, if `arguments` are those of one, and give its exit code at its end; else give `None`."""

def log_record(said: dict[str, Any]) -> None:
    """Say what a record of `logging` says to this process's parent, if that listens: it never waits."""

def log(level: int, text: str) -> None:
    """Log a line of `logging`, whose levels are numbers."""
