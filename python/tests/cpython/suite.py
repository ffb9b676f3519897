"""CPython's own tests of multiprocessing, with Framewire in its place: `python suite.py [-v] [TEST…]`.

A child imports this file too, as its main module, and so finds the same classes.
"""

import multiprocessing
import signal
import types
import unittest

from framewire import multiprocessing as ours

for name in ours.__all__:
    if not isinstance(getattr(ours, name), types.ModuleType):  # those are the standard library's, or made of it
        setattr(multiprocessing, name, getattr(ours, name))

from test import _test_multiprocessing as theirs  # noqa: E402  (it takes the names when it is imported)

# One that hangs fails alone. Longer than the longest of them sleeps.
SECONDS_A_TEST = 40


def _tired(signum, frame):
    raise TimeoutError(f"no end after {SECONDS_A_TEST} s")


class _Limited:
    def run(self, result=None):
        signal.signal(signal.SIGALRM, _tired)
        signal.alarm(SECONDS_A_TEST)
        try:
            return super().run(result)
        finally:
            signal.alarm(0)


theirs.install_tests_in_module_dict(globals(), "spawn")
for name, found in list(globals().items()):
    if isinstance(found, type) and issubclass(found, unittest.TestCase):
        limited = type(name, (_Limited, found), {"__module__": __name__, "__qualname__": name})
        globals()[name] = limited

if __name__ == "__main__":
    unittest.main()
