"""CPython's own tests of multiprocessing, with Framewire in its place: `python suite.py [-v] [TEST…]`.

A child imports this file too, as its main module, and so finds the same classes.
"""

import importlib
import multiprocessing
import signal
import types
import unittest

from framewire import multiprocessing as ours

# Before anything is replaced: ours are made of the standard library's.
base_manager = importlib.import_module("multiprocessing.managers").BaseManager
modules = ["pool", "managers", "sharedctypes"]
replaced = [(multiprocessing, ours)] + [
    (importlib.import_module(f"multiprocessing.{name}"), importlib.import_module(f"framewire.multiprocessing.{name}"))
    for name in modules
]
for original, our in replaced:
    for name in our.__all__:
        if not isinstance(getattr(our, name), types.ModuleType):
            setattr(original, name, getattr(our, name))

from test import _test_multiprocessing as theirs  # noqa: E402  (it takes the names when it is imported)

multiprocessing.managers.BaseManager = base_manager  # which the standard library calls by its name

# One that hangs fails alone. Longer than the longest of them sleeps.
SECONDS_A_TEST = 40


# ruff: noqa: E501, the reasons
# What is different here, and why; docs/design/python-multiprocessing.md has the same for a reader.
DIFFERENT = {
    "TestInternalDecorators.test_only_run_in_spawn_testsuite": "it tests a helper of this suite, with all start methods",
    "TestPoolNotLeakOnFailure.test_release_unused_processes": "it makes a pool of mock processes",
    "TestResourceTracker.test_resource_tracker_sigint": "there is no tracker process",
    "TestResourceTracker.test_resource_tracker_sigkill": "there is no tracker process",
    "TestResourceTracker.test_resource_tracker_sigterm": "there is no tracker process",
    "TestStartMethod.test_context": "there is one start method",
    "TestStartMethod.test_get_all": "there is one start method",
    "TestStartMethod.test_mixed_startmethod": "there is one start method",
    "WithProcessesTestEvent.test_repr": "its repr has no address",
    "WithProcessesTestPool.test_imap_handle_iterable_exception": "what came before an input that fails is given; there, only whole chunks of it",
    "WithProcessesTestPoolWorkerErrors.test_unpickleable_result": "the error is that of pickle itself",
    "WithProcessesTestProcess.test_parent_process": "a grandchild doesn't outlive its parent",
    "WithProcessesTestQueue.test_queue_feeder_donot_stop_onexc": "there is no feeder thread: put itself raises",
    "WithProcessesTestQueue.test_queue_feeder_on_queue_feeder_error": "there is no feeder thread",
}


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


# Of the rest nothing is ours: threads, and what a manager has, but for its pool.
OURS_OF_A_MANAGER = ["WithManagerTestPool"]
theirs.install_tests_in_module_dict(globals(), "spawn")
for name, found in list(globals().items()):
    if not (isinstance(found, type) and issubclass(found, unittest.TestCase)):
        continue
    if name.startswith(("WithManager", "WithThreads")) and name not in OURS_OF_A_MANAGER:
        del globals()[name]
        continue
    if hasattr(found, "check_invariant"):
        found.check_invariant = lambda self, condition: None  # it counts the standard library's own semaphores
    limited = type(name, (_Limited, found), {"__module__": __name__, "__qualname__": name})
    for different, why in DIFFERENT.items():
        kind, _, test = different.partition(".")
        if kind == name:
            setattr(limited, test, unittest.skip(why)(getattr(limited, test)))
    globals()[name] = limited
del name, found, limited

if __name__ == "__main__":
    unittest.main()
