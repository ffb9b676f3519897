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


# ruff: noqa: E501, the reasons
# What is different here, and why; docs/design/python-multiprocessing.md has the same for a reader.
_INSIDE = "it looks into attributes of the standard library's own objects"
DIFFERENT = {
    "TestInternalDecorators.test_only_run_in_spawn_testsuite": "it tests a helper of this suite, with all start methods",
    "TestResourceTracker.test_resource_tracker_reused": "there is no tracker process",
    "TestResourceTracker.test_resource_tracker_sigint": "there is no tracker process",
    "TestResourceTracker.test_resource_tracker_sigkill": "there is no tracker process",
    "TestResourceTracker.test_resource_tracker_sigterm": "there is no tracker process",
    "TestSimpleQueue.test_closed": _INSIDE,
    "TestStartMethod.test_context": "there is one start method",
    "TestStartMethod.test_get_all": "there is one start method",
    "TestStartMethod.test_mixed_startmethod": "there is one start method",
    "TestStartMethod.test_set_get": "there is one start method",
    "TestSyncManagerTypes.test_pool": "a manager's pool is the standard library's, and this suite has replaced its queue",
    "WithProcessesTestCondition.test_notify": _INSIDE,
    "WithProcessesTestCondition.test_notify_all": _INSIDE,
    "WithProcessesTestCondition.test_notify_n": _INSIDE,
    "WithProcessesTestEvent.test_repr": "its repr has no address",
    "WithProcessesTestPool.test_enter": "a pool that was closed can be entered again; it refuses its tasks",
    "WithProcessesTestPool.test_imap_handle_iterable_exception": "an input that fails does so when it is read, which is ahead",
    "WithProcessesTestPool.test_make_pool": _INSIDE,
    "WithProcessesTestPool.test_map_async_callbacks": "a callback may come a moment after the result",
    "WithProcessesTestPool.test_resource_warning": "a pool that is dropped just ends",
    "WithProcessesTestPool.test_traceback": "the remote traceback's class is Framewire's",
    "WithProcessesTestPoolWorkerErrors.test_async_error_callback": "a callback may come a moment after the result",
    "WithProcessesTestPoolWorkerErrors.test_unpickleable_result": "the error is that of pickle itself",
    "WithProcessesTestPoolWorkerLifetime.test_pool_worker_lifetime": _INSIDE,
    "WithProcessesTestProcess.test_parent_process": "a grandchild doesn't outlive its parent",
    "WithProcessesTestQueue.test_queue_feeder_donot_stop_onexc": "there is no feeder thread: put itself raises",
    "WithProcessesTestQueue.test_queue_feeder_on_queue_feeder_error": "there is no feeder thread",
    "WithProcessesTestSharedCTypes.test_synchronize": "sharedctypes.synchronized without a lock makes one of the standard library's",
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


# Of the rest (threads, and objects that a manager has) nothing is ours.
theirs.install_tests_in_module_dict(globals(), "spawn")
for name, found in list(globals().items()):
    if not (isinstance(found, type) and issubclass(found, unittest.TestCase)):
        continue
    if name.startswith(("WithManager", "WithThreads")):
        del globals()[name]
        continue
    limited = type(name, (_Limited, found), {"__module__": __name__, "__qualname__": name})
    for different, why in DIFFERENT.items():
        kind, _, test = different.partition(".")
        if kind == name:
            setattr(limited, test, unittest.skip(why)(getattr(limited, test)))
    globals()[name] = limited
del name, found, limited

if __name__ == "__main__":
    unittest.main()
