"""Names and values that processes share, without a process that serves them."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Coroutine,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import Any, Protocol, TypeVar, cast, overload

from framewire._core import Map, RLock
from framewire.errors import ForkedError

__all__ = ["Dict", "Namespace"]

_K = TypeVar("_K")
_V = TypeVar("_V")
_T = TypeVar("_T")

#: What all values may take, unless another limit is given. It costs addresses only: memory is taken as values come.
_LIMIT_BYTES = 1 << 30
_NOTHING: Any = object()


class _HasKeys(Protocol):
    def keys(self) -> Iterable[Any]: ...
    def __getitem__(self, key: Any, /) -> Any: ...


class Namespace:
    """Attributes that processes share, as those of `multiprocessing.Manager().Namespace()`, without its server process.

    `ns.x = 1` in one process is `ns.x` in all others, also if the first is killed in the next instant; killed before,
    nothing has changed. It can be passed to any process. What is had is a copy, as with a manager: a list that is
    changed is not changed for others until it is set again. Values are pickled (an array of any size is, too: it is
    copied in and out); locks, queues and what else this library shares can't be, they travel in messages.

    What begins with "_" isn't shared. There are, named as in `collections.namedtuple`: `_update` (many at once),
    `_update_with`, `_asdict`, `_lock`, `_version`, `_wait_changed`, `_wait_changed_async`.

    Args:
        _limit_bytes: what all values may take, with some 40 bytes for each; memory is taken as they come.
        values: the first attributes.

    Raises:
        OutOfMemoryError: from setting, if it would have more than its limit. Nothing has changed then.
        AttributeError: from getting and deleting what isn't there.

    """

    __slots__ = ("__weakref__", "_lock", "_map")

    _map: Map
    _lock: RLock
    """A lock for whatever takes several steps: it keeps those out who take it, too."""

    def __init__(self, /, *, _limit_bytes: int = _LIMIT_BYTES, **values: Any) -> None:
        object.__setattr__(self, "_map", Map(_limit_bytes))
        object.__setattr__(self, "_lock", RLock())
        if values:
            self._update(**values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        try:
            return self._map[name]
        except KeyError:
            raise AttributeError(f"no process has set {name!r} in this namespace") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._map[_shared(name)] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._map[_shared(name)]
        except KeyError:
            raise AttributeError(f"no process has set {name!r} in this namespace") from None

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *self._map.keys()]

    def __repr__(self) -> str:
        try:
            values = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        except ForkedError:
            return "<framewire.Namespace of another process>"
        return f"framewire.Namespace({values})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _namespace, (self._map, self._lock)

    def _update(self, /, **values: Any) -> None:
        """Set many: all or none, whoever dies, and nobody sees some without the others."""
        self._map.set_all([(_shared(name), value) for name, value in values.items()])

    def _update_with(self, name: str, function: Callable[[Any], _T], default: Any = _NOTHING) -> _T:
        """Replace an attribute by what `function` makes of it. See `Dict.update_with`."""
        try:
            return _update_with(self._map, _shared(name), function, default)
        except KeyError:
            raise AttributeError(f"no process has set {name!r} in this namespace") from None

    def _asdict(self) -> dict[str, Any]:
        """All attributes as at one moment, in the order in which they came."""
        return dict(self._map.items())

    @property
    def _version(self) -> int:
        """How often it was changed."""
        return self._map.version

    def _wait_changed(self, version: int | None = None, timeout: float | None = None) -> bool:
        """Wait until it is changed, or was since it had that version, for at most `timeout` seconds. True if it was."""
        return self._map.wait_changed(self._version if version is None else version, timeout)

    def _wait_changed_async(self, version: int | None = None) -> Coroutine[Any, Any, bool]:
        """As `_wait_changed`, in a task. Cancelling it is safe at any time."""
        return self._map.wait_changed_async(self._version if version is None else version)


class Dict(MutableMapping[_K, _V]):
    """A dict that processes share, as `multiprocessing.Manager().dict()`, without its server process.

    Each method is one step to all others, and each change has happened whole or not at all, whoever is killed. It can
    be passed to any process. What is had is a copy, as with a manager: a list that is changed is not changed for others
    until it is set again (`update_with` does both). Values are pickled (an array of any size is, too: it is copied in
    and out); locks, queues and what else this library shares can't be, they travel in messages.

    Keys are str, int, float, bytes, None and tuples of these: what is equal in every process. `True` comes back as `1`,
    and `2.0` as `2`.

    Args:
        values: the first entries, as for `dict`.
        limit_bytes: what all entries may take, with some 40 bytes for each; memory is taken as they come.
        more: further entries.

    Raises:
        OutOfMemoryError: from setting, if it would have more than its limit. Nothing has changed then.
        KeyError: from getting and deleting what isn't there.
        TypeError: for a key that isn't one of the above.

    """

    __slots__ = ("__weakref__", "_lock", "_map")

    @overload
    def __init__(self, /, *, limit_bytes: int = ...) -> None: ...
    @overload
    def __init__(self: Dict[str, _V], /, *, limit_bytes: int = ..., **more: _V) -> None: ...
    @overload
    def __init__(
        self, values: Mapping[_K, _V] | Iterable[tuple[_K, _V]], /, *, limit_bytes: int = _LIMIT_BYTES
    ) -> None: ...
    @overload
    def __init__(
        self: Dict[str, _V],
        values: Mapping[str, _V] | Iterable[tuple[str, _V]],
        /,
        *,
        limit_bytes: int = ...,
        **more: _V,
    ) -> None: ...
    def __init__(self, values: Any = (), /, *, limit_bytes: int = _LIMIT_BYTES, **more: Any) -> None:
        self._map = Map(limit_bytes)
        self._lock = RLock()
        if values or more:
            self.update(values, **more)

    @property
    def lock(self) -> RLock:
        """A lock for whatever takes several steps: it keeps those out who take it, too.

        No method alone needs it, and a process that is killed or stopped holding it keeps nobody from those.
        """
        return self._lock

    def __getitem__(self, key: _K) -> _V:
        return cast(_V, self._map[key])

    def __setitem__(self, key: _K, value: _V) -> None:
        self._map[key] = value

    def __delitem__(self, key: _K) -> None:
        del self._map[key]

    def __contains__(self, key: object) -> bool:
        return key in self._map

    def __len__(self) -> int:
        return len(self._map)

    def __iter__(self) -> Iterator[_K]:
        return iter(self.keys())

    def __reversed__(self) -> Iterator[_K]:
        return reversed(list(self))

    def __repr__(self) -> str:
        try:
            return f"framewire.Dict({self.copy()!r})"
        except ForkedError:
            return "<framewire.Dict of another process>"

    def __or__(self, other: Mapping[_K, _V]) -> dict[_K, _V]:
        return self.copy() | dict(other)

    def __ror__(self, other: Mapping[_K, _V]) -> dict[_K, _V]:
        return dict(other) | self.copy()

    def __ior__(self, other: Mapping[_K, _V]) -> Dict[_K, _V]:
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _dict, (self._map, self._lock)

    def copy(self) -> dict[_K, _V]:
        """All of it as at one moment, as a dict of this process's own."""
        return dict(self._map.items())

    def keys(self) -> KeysView[_K]:
        """The keys as at one moment, in the order in which they came."""
        return dict.fromkeys(self._map.keys()).keys()

    def values(self) -> ValuesView[_V]:
        """The values as at one moment."""
        return self.copy().values()

    def items(self) -> ItemsView[_K, _V]:
        """The entries as at one moment."""
        return self.copy().items()

    @overload
    def pop(self, key: _K, /) -> _V: ...
    @overload
    def pop(self, key: _K, /, default: _V | _T) -> _V | _T: ...
    def pop(self, key: _K, /, default: Any = _NOTHING) -> Any:
        """Take a key away, and give its value: to one of all who try."""
        try:
            return self._map.pop(key)
        except KeyError:
            if default is _NOTHING:
                raise
            return default

    def popitem(self) -> tuple[_K, _V]:
        """Take the entry away that came last."""
        return cast(tuple[_K, _V], self._map.popitem())

    def setdefault(self, key: _K, default: Any = None, /) -> Any:
        """Give a key's value; if it has none, set this one: the first of all who try."""
        return self._map.setdefault(key, default)

    def clear(self) -> None:
        """Take all away at once."""
        self._map.clear()

    def update(self, values: Any = (), /, **more: Any) -> None:
        """Set many: all or none, whoever dies, and nobody sees some without the others."""
        pairs: list[tuple[Any, Any]]
        if isinstance(values, Dict):
            pairs = values._map.items()
        elif hasattr(values, "keys"):
            source = cast(_HasKeys, values)
            pairs = [(key, source[key]) for key in source.keys()]  # noqa: SIM118 - as `dict` does
        else:
            pairs = [(key, value) for key, value in values]
        self._map.set_all([*pairs, *more.items()])

    def update_with(self, key: _K, function: Callable[[Any], _T], default: Any = _NOTHING) -> _T:
        """Replace a value by what `function` makes of it, and give that: `d.update_with("cars", lambda n: n + 1, 0)`.

        Of many processes that do so at once none is lost. The function runs while nobody waits for it: if somebody else
        has changed the value meanwhile, it is called again, with the new one. So it shouldn't do anything else.

        Args:
            key: whose value.
            function: from the value to the next one.
            default: the value of a key that has none; without it that is a KeyError.

        """
        return _update_with(self._map, key, function, default)

    @property
    def version(self) -> int:
        """How often it was changed. Ask before looking at what may change, and then give it to `wait_changed`."""
        return self._map.version

    def wait_changed(self, version: int | None = None, timeout: float | None = None) -> bool:
        """Wait until it is changed, or was since it had that version, for at most `timeout` seconds. True if it was."""
        return self._map.wait_changed(self.version if version is None else version, timeout)

    def wait_changed_async(self, version: int | None = None) -> Coroutine[Any, Any, bool]:
        """As `wait_changed`, in a task. Cancelling it is safe at any time."""
        return self._map.wait_changed_async(self.version if version is None else version)

    @property
    def limit_bytes(self) -> int:
        """How many bytes all entries may take."""
        return self._map.limit_bytes

    @property
    def used_bytes(self) -> int:
        """How many bytes they take: each its pickled key and value, and some 40 more."""
        return self._map.used_bytes


def _update_with(shared: Map, key: Any, function: Callable[[Any], _T], default: Any) -> _T:
    while True:
        version: int | None
        try:
            value, version = shared.versioned(key)
        except KeyError:
            if default is _NOTHING:
                raise
            value, version = default, None
        following = function(value)
        if shared.compare_and_set(key, version, following):
            return following


def _shared(name: str) -> str:
    if name.startswith("_"):
        raise AttributeError(f"could not share {name!r}: names that begin with '_' are this process's own")
    return name


def _namespace(shared: Map, lock: RLock) -> Namespace:
    namespace = object.__new__(Namespace)
    object.__setattr__(namespace, "_map", shared)
    object.__setattr__(namespace, "_lock", lock)
    return namespace


def _dict(shared: Map, lock: RLock) -> Dict[Any, Any]:
    made: Dict[Any, Any] = Dict.__new__(Dict)
    made._map = shared
    made._lock = lock
    return made
