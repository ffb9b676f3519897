"""Video and data streams through isolated processes, any of which may be killed."""

from framewire._core import __version__

__all__ = ["__version__"]
