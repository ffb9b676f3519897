"""Video and data streams through isolated processes, any of which may be killed."""

from framewire._core import __version__
from framewire.blocks import Box, PictureInfo, block
from framewire.errors import (
    ClosedError,
    CodecError,
    Error,
    ForkedError,
    LeasesError,
    OutOfMemoryError,
    OwnerDiedError,
    PassingError,
    ResourceError,
    TimeoutError,  # noqa: A004
)

__all__ = [
    "Box",
    "ClosedError",
    "CodecError",
    "Error",
    "ForkedError",
    "LeasesError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PassingError",
    "PictureInfo",
    "ResourceError",
    "TimeoutError",
    "__version__",
    "block",
]
