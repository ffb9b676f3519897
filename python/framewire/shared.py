"""Memory that processes share: plain, and as ctypes with a lock."""

import ctypes
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from framewire._core import Block, Lock, RLock

__all__ = ["Array", "RawArray", "RawValue", "SharedMemory", "Synchronized", "SynchronizedArray", "Value"]

_TYPECODES: dict[str, Any] = {
    "c": ctypes.c_char,
    "u": ctypes.c_wchar,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
    "?": ctypes.c_bool,
}


class SharedMemory:
    """So many bytes that any process which gets this object reads and writes. It has no name, and needs no `unlink`.

    The memory goes when nobody has it any more, however they ended.
    """

    def __init__(self, size: int) -> None:
        self._block = Block(size)

    @property
    def buf(self) -> memoryview:
        """The bytes."""
        return memoryview(self._block)

    @property
    def size(self) -> int:
        """How many bytes."""
        return len(self._block)

    def close(self) -> None:
        """Do nothing: the memory goes with its last view. As in the standard library."""

    def unlink(self) -> None:
        """Do nothing: there is no name. As in the standard library."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared_memory, (self._block,)


def _shared_memory(block: Block) -> SharedMemory:
    memory = SharedMemory.__new__(SharedMemory)
    memory._block = block
    return memory


class _Shared:
    """A ctypes object in shared memory, and its lock."""

    def __init__(self, kind: Any, block: Block, lock: Lock | RLock) -> None:
        self._kind = kind
        self._block = block
        self._obj = kind.from_buffer(block)
        self._lock = lock
        self.acquire = lock.acquire
        self.release = lock.release

    def get_lock(self) -> Lock | RLock:
        """The lock, for what takes more than one look."""
        return self._lock

    def get_obj(self) -> Any:
        """The ctypes object itself, which nothing locks."""
        return self._obj

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        kind, length = _described(self._kind)
        return _received, (type(self), kind, length, self._block, self._lock)


class Synchronized(_Shared):
    """A number that processes share, with a lock: what `Value` makes."""

    @property
    def value(self) -> Any:
        """The number. Hold the lock for what looks and changes: `with value: value.value += 1`."""
        with self._lock:
            return self._obj.value

    @value.setter
    def value(self, value: Any) -> None:
        with self._lock:
            self._obj.value = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        with self._lock:
            return getattr(self._obj, name)


class SynchronizedArray(_Shared):
    """Numbers that processes share, with a lock: what `Array` makes."""

    def __len__(self) -> int:
        return len(self._obj)

    def __getitem__(self, index: Any) -> Any:
        with self._lock:
            return self._obj[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        with self._lock:
            self._obj[index] = value

    def __getslice__(self, start: int, stop: int) -> Any:
        return self[start:stop]

    @property
    def value(self) -> Any:
        """The text, for an array of "c" or "u"."""
        with self._lock:
            return self._obj.value

    @value.setter
    def value(self, value: Any) -> None:
        with self._lock:
            self._obj.value = value

    @property
    def raw(self) -> Any:
        """All bytes, for an array of "c"."""
        with self._lock:
            return self._obj.raw

    @raw.setter
    def raw(self, value: Any) -> None:
        with self._lock:
            self._obj.raw = value


def RawValue(typecode_or_type: Any, *args: Any) -> Any:
    """A ctypes object in shared memory, without a lock. It can't be passed on: pass a `Value`."""
    kind = _kind(typecode_or_type)
    obj = kind.from_buffer(Block(ctypes.sizeof(kind)))
    obj.__init__(*args)
    return obj


def RawArray(typecode_or_type: Any, size_or_initializer: int | Iterable[Any]) -> Any:
    """A ctypes array in shared memory, without a lock. It can't be passed on: pass an `Array`."""
    kind, values = _array(typecode_or_type, size_or_initializer)
    obj = kind.from_buffer(Block(max(ctypes.sizeof(kind), 1)))
    obj.__init__(*values)
    return obj


def Value(typecode_or_type: Any, *args: Any, lock: bool | Lock | RLock = True) -> Any:
    """Make a number that processes share.

    Args:
        typecode_or_type: a letter as in the module `array`, or a ctypes type.
        args: its first value.
        lock: True for an RLock of its own, a lock to be used, or False for none (then it is as `RawValue`).

    """
    if lock is False:
        return RawValue(typecode_or_type, *args)
    kind = _kind(typecode_or_type)
    shared = Synchronized(kind, Block(ctypes.sizeof(kind)), RLock() if lock is True else lock)
    shared.get_obj().__init__(*args)
    return shared


def Array(typecode_or_type: Any, size_or_initializer: int | Iterable[Any], *, lock: bool | Lock | RLock = True) -> Any:
    """Make numbers that processes share. `numpy.frombuffer(array.get_obj(), dtype)` copies nothing.

    Args:
        typecode_or_type: a letter as in the module `array`, or a ctypes type.
        size_or_initializer: how many zeros, or the first values.
        lock: as in `Value`.

    """
    if lock is False:
        return RawArray(typecode_or_type, size_or_initializer)
    kind, values = _array(typecode_or_type, size_or_initializer)
    shared = SynchronizedArray(kind, Block(max(ctypes.sizeof(kind), 1)), RLock() if lock is True else lock)
    if values:
        shared.get_obj().__init__(*values)
    return shared


def _kind(typecode_or_type: Any) -> Any:
    if not isinstance(typecode_or_type, str):
        return typecode_or_type
    try:
        return _TYPECODES[typecode_or_type]
    except KeyError:
        known = "".join(_TYPECODES)
        raise TypeError(
            f"could not share a {typecode_or_type!r}: the letters are {known}, or give a ctypes type"
        ) from None


def _array(typecode_or_type: Any, size_or_initializer: int | Iterable[Any]) -> tuple[Any, list[Any]]:
    kind = _kind(typecode_or_type)
    if isinstance(size_or_initializer, int):
        if size_or_initializer < 0:
            raise ValueError("could not make an array of less than 0 numbers")
        return kind * size_or_initializer, []
    values = list(size_or_initializer)
    return kind * len(values), values


def _described(kind: Any) -> tuple[Any, int | None]:
    """A ctypes array's type is made when it is needed, and can't be pickled by its name."""
    if issubclass(kind, ctypes.Array):
        return kind._type_, kind._length_
    return kind, None


def _received(shared: type[_Shared], kind: Any, length: int | None, block: Block, lock: Lock | RLock) -> _Shared:
    return shared(kind if length is None else kind * length, block, lock)
