"""What a file of blocks says of itself: which function or class is one, and which pictures it wants."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar, overload

from framewire.parameters import parameters_of

Format = Literal["rgb24", "bgr24", "gray8", "i420"]
"""How pixels are stored: `rgb24` and `bgr24` are arrays of (height, width, 3), `gray8` of (height, width), `i420` of
(height * 3 // 2, width) as OpenCV has it; all of `uint8`."""

Unit = Literal["pixels", "fractions"]
"""What a block's boxes are in: pixels of the picture that it got, or fractions of its width and height."""

FORMATS: tuple[Format, ...] = ("rgb24", "bgr24", "gray8", "i420")
UNITS: tuple[Unit, ...] = ("pixels", "fractions")
MARK = "__framewire_block__"
_MIN_SIDE, _MAX_SIDE = 2, 16_384

_B = TypeVar("_B", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Box:
    """Something that was found, as a rectangle from its upper left corner.

    A dict with the same keys, of which `label` and `score` may be missing, means the same.
    """

    x: float
    y: float
    w: float
    h: float
    label: str = ""
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """Of which picture the array is; a block's second argument, if it takes one."""

    camera: str
    """The camera's name."""
    sequence: int
    """1, 2, 3, … as its decoder rendered them; what is missing was passed over. It begins anew with the decoder."""
    pts_ns: int
    """When it is to be shown, on the camera's own clock, in nanoseconds."""
    captured_unix_ms: float
    """When it was received from the camera, in milliseconds since 1970."""
    damaged: bool
    """Something was lost on the way, and the picture shows it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a block says of itself before it runs."""

    kind: Literal["function", "class"]
    name: str
    doc: str
    size: tuple[int, int] | None
    format: Format
    fps: float | None
    boxes: Unit
    parameters: dict[str, str | None]
    """Its keyword arguments, and their defaults as text; `None` for one that has none."""

    def view(self) -> str:
        """The pictures that it wants, as the engine writes it: `rgb24 416x416 5fps`."""
        size = "" if self.size is None else f" {self.size[0]}x{self.size[1]}"
        return f"{self.format}{size}" + ("" if self.fps is None else f" {self.fps:g}fps")

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


@overload
def block(work: _B, /) -> _B: ...
@overload
def block(
    *,
    size: tuple[int, int] | None = None,
    format: Format = "rgb24",
    fps: float | None = None,
    boxes: Unit = "pixels",
) -> Callable[[_B], _B]: ...
def block(
    work: Any = None,
    /,
    *,
    size: tuple[int, int] | None = None,
    format: Format = "rgb24",
    fps: float | None = None,
    boxes: Unit = "pixels",
) -> Any:
    """Makes a function or a class a block: `framewire run … --analyse FILE.py` shows it every camera's pictures.

    A function is called with each picture: a read-only `numpy` array in shared memory. A class is made once,
    `start()` is called, then its instance (or its method `frame`) with each picture, then `stop()`; `start` and `stop`
    may be missing. If the function or method takes a second argument, that is a `PictureInfo`. None may be `async def`,
    or have a `yield`.

    It may keep three pictures of each camera beside the one that it is given; of what it keeps for longer, or more of,
    it keeps a `frame.copy()`. If it keeps more, further pictures are passed over.

    Its other keyword arguments are its parameters, and so are those of a class: `--set threshold=0.5` gives one, as the
    type of its annotation, or else of its default.

    It returns what it found: a box (`Box`, or a dict with `x`, `y`, `w`, `h`), a list of them, or a dict with such a
    list as `boxes`. All else that it returns is passed on as JSON: dicts, lists, dataclasses, texts and numbers, also
    numpy's; at most 1 MiB of it.

    Args:
        work: The function or class.
        size: The largest width and height in pixels, each 2 or more. Pictures fit inside and keep their shape; none is
            made larger. Without: as the camera has it.
        format: How pixels are stored.
        fps: The most pictures a second; all without. A block that is slower gets the newest, and skips the rest.
        boxes: What its boxes are in: `"pixels"` of the picture that it got, or `"fractions"` of its width and height.

    Raises:
        ValueError: An argument is none of what it may be.
        TypeError: What is decorated is neither a function nor a class.
    """
    _check(size, format, fps, boxes)

    def mark(work: _B) -> _B:
        setattr(work, MARK, _manifest(work, size, format, fps, boxes))
        return work

    return mark if work is None else mark(work)


def manifest_of(work: Any) -> Manifest:
    """The manifest of what was decorated, or, with the defaults, of what wasn't."""
    # Not a base class's: its subclass is another block.
    known = vars(work).get(MARK) if hasattr(work, "__dict__") else None
    return known if isinstance(known, Manifest) else _manifest(work, None, "rgb24", None, "pixels")


def _check(size: Any, format: Any, fps: Any, boxes: Any) -> None:
    def is_side(side: Any) -> bool:
        return isinstance(side, int) and not isinstance(side, bool) and _MIN_SIDE <= side <= _MAX_SIDE

    is_size = isinstance(size, tuple | list) and len(size) == 2 and all(map(is_side, size))
    if size is not None and not is_size:
        raise ValueError(
            f"size is {size!r}: give width and height in pixels, from {_MIN_SIDE} to {_MAX_SIDE}, such as (640, 360)"
        )
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}: there are {', '.join(FORMATS)}")
    if fps is not None and not (isinstance(fps, int | float) and 0 < fps < float("inf")):
        raise ValueError(f"fps is {fps!r}: give a number above 0, or None for all pictures")
    if boxes not in UNITS:
        raise ValueError(f"boxes is {boxes!r}: they are in {' or '.join(UNITS)}")


def _manifest(work: Any, size: Any, format: Format, fps: float | None, boxes: Unit) -> Manifest:
    if not (inspect.isclass(work) or callable(work)):
        raise TypeError(f"{work!r} is no block: decorate a function or a class")
    manifest = Manifest(
        kind="class" if inspect.isclass(work) else "function",
        name=getattr(work, "__name__", type(work).__name__),
        doc=inspect.getdoc(work) or "",
        size=None if size is None else (size[0], size[1]),
        format=format,
        fps=fps,
        boxes=boxes,
        parameters={},
    )
    return replace(manifest, parameters=_parameters(work))


def _parameters(work: Any) -> dict[str, str | None]:
    """What can be set, and its default as text."""
    known = parameters_of(work).values()
    return {it.name: None if it.default is inspect.Parameter.empty else repr(it.default) for it in known}
