"""As :mod:`multiprocessing.shared_memory`: blocks with names, which outlive processes by design.

A block without a name, which nobody can leak, is :class:`framewire.SharedMemory`.
"""

from multiprocessing.shared_memory import ShareableList, SharedMemory

__all__ = ["ShareableList", "SharedMemory"]
