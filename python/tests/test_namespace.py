"""Names and values, between threads, processes, the living and the dead."""

import asyncio
import gc
import os
import pickle
import random
import signal
import threading
import time

import numpy as np
import pytest
from peer import Peer, hear, say

import framewire
import framewire.multiprocessing

LIMIT = 30


def test_attributes_are_there_for_all():
    ns = framewire.Namespace(x=1, text="über")
    ns.nested = {"list": [1, (2, 3)], "none": None}
    assert (ns.x, ns.text, ns.nested) == (1, "über", {"list": [1, (2, 3)], "none": None})
    assert repr(ns) == "framewire.Namespace(x=1, text='über', nested={'list': [1, (2, 3)], 'none': None})"
    del ns.x
    assert not hasattr(ns, "x")
    assert "text" in dir(ns)
    for missing in (lambda: ns.x, lambda: delattr(ns, "x"), lambda: ns._update_with("x", str)):
        with pytest.raises(AttributeError, match="no process has set 'x'"):
            missing()
    ns._update(a=1, b=2)
    assert ns._asdict() == {"text": "über", "nested": ns.nested, "a": 1, "b": 2}
    assert ns._update_with("a", lambda a: a + 1) == ns.a == 2
    with ns._lock:
        ns.a += 1
    assert ns.a == 3


def test_what_is_had_is_a_copy():
    ns = framewire.Namespace(numbers=[1])
    ns.numbers.append(2)
    assert ns.numbers == [1]
    numbers = ns.numbers
    numbers.append(2)
    ns.numbers = numbers
    assert ns.numbers == [1, 2]


def test_names_with_an_underscore_are_not_shared():
    ns = framewire.Namespace()
    for wrong in (lambda: setattr(ns, "_x", 1), lambda: delattr(ns, "_x"), lambda: ns._update(_x=1)):
        with pytest.raises(AttributeError, match="begin with '_'"):
            wrong()
    with pytest.raises(AttributeError):
        ns._x  # noqa: B018
    with pytest.raises(AttributeError, match="begin with '_'"):
        framewire.Namespace(_x=1)


def test_a_dict_is_a_dict():
    shared = framewire.Dict({"a": 1}, b=2)
    own = {"a": 1, "b": 2}
    for both in (shared, own):
        both["c"] = [3]
        both.update({"d": 4}, e=5)
        both.update([("f", 6)])
        both |= {"g": 7}
        del both["a"]
        both["b"] = 20
        assert both.pop("d") == 4
        assert both.pop("none", "default") == "default"
        assert both.setdefault("h", 8) == 8
        assert both.setdefault("h", 9) == 8
        assert both.popitem() == ("h", 8)
        assert both.get("none") is None
        assert "b" in both
        assert "a" not in both
        for missing in (lambda both=both: both["a"], lambda both=both: both.pop("a")):
            with pytest.raises(KeyError) as raised:
                missing()
            assert raised.value.args == ("a",)
        with pytest.raises(KeyError):
            del both["a"]
    assert shared == own
    assert (list(shared), list(reversed(shared)), len(shared)) == (list(own), list(reversed(own)), len(own))
    assert list(shared.items()) == list(own.items())
    assert list(shared.values()) == list(own.values())
    assert shared.keys() == own.keys()
    assert shared.keys() & {"b"} == {"b"}
    assert (shared | {"z": 1}) == (own | {"z": 1})
    assert ({"z": 1} | shared) == ({"z": 1} | own)
    assert repr(shared) == f"framewire.Dict({own!r})"
    assert shared.copy() == own
    shared.clear()
    assert not shared
    with pytest.raises(KeyError, match="there is none"):
        shared.popitem()
    with pytest.raises(KeyError) as raised:
        shared[1, "a"]
    assert raised.value.args == ((1, "a"),)


def test_keys_are_equal_as_in_python():
    keys = [
        "a",
        "",
        "i1",
        b"a",
        b"",
        0,
        -1,
        1 << 100,
        -(1 << 70),
        0.5,
        float("inf"),
        None,
        (),
        (1, "a"),
        ((1,), ("a",)),
        ("1", "a"),
    ]
    shared = framewire.Dict([(key, index) for index, key in enumerate(keys)])
    assert list(shared) == keys
    assert [type(key) for key in shared] == [type(key) for key in keys]
    for index, key in enumerate(keys):
        assert shared[key] == index
    shared[1] = "one"
    assert (shared[True], shared[1.0], shared[np.float64(1)]) == ("one", "one", "one")
    shared[1e300] = "large"
    assert shared[int(1e300)] == "large"
    shared[True, 2.0] = "tuple"
    assert shared[1, 2] == "tuple"
    for wrong in ([], {}, frozenset(), object(), (1, [])):
        with pytest.raises(TypeError, match="as a key that processes share"):
            shared[wrong] = 1
        with pytest.raises(TypeError, match="as a key that processes share"):
            wrong in shared  # noqa: B015
    deep = ()
    for _ in range(200):
        deep = (deep,)
    with pytest.raises(RecursionError, match="tuples more than 100 deep"):
        shared[deep] = 1


def test_large_values_go_in_and_out():
    ns = framewire.Namespace()
    array = np.arange(3_000_000, dtype="f4").reshape(1000, 3000)
    ns.array = array
    assert np.array_equal(ns.array, array)
    mine = ns.array
    mine[0, 0] = 7
    assert ns.array[0, 0] == 0
    shared = framewire.Dict(array=array)
    assert shared.pop("array").shape == (1000, 3000)
    assert shared.setdefault("array", array).shape == (1000, 3000)
    assert shared.update_with("array", lambda array: array[:10])[9, 0] == 27_000


def test_a_full_one_says_so_and_is_as_before():
    shared = framewire.Dict(a=1, limit_bytes=100_000)
    before = shared.copy()
    for too_much in (
        lambda: shared.update(b=bytes(60_000), c=bytes(60_000)),
        lambda: shared.setdefault("b", bytes(200_000)),
        lambda: shared.update_with("a", lambda _: bytes(200_000)),
    ):
        with pytest.raises(framewire.OutOfMemoryError, match=r"would take \d+ bytes, and 100000 were declared"):
            too_much()
        assert shared == before
    with pytest.raises(MemoryError):
        shared["b"] = bytes(200_000)
    assert (shared.limit_bytes, shared.used_bytes < 200) == (100_000, True)
    for wrong in (0, 1 << 60):
        with pytest.raises(ValueError, match="is the least limit"):
            framewire.Dict(limit_bytes=wrong)
    with pytest.raises(framewire.OutOfMemoryError):
        framewire.Namespace(_limit_bytes=4096).x = bytes(5000)


def test_what_cannot_be_pickled_is_refused_and_nothing_changes():
    ns = framewire.Namespace(x=1)
    for thing in (ns, framewire.Dict(), framewire.Lock(), framewire.Queue(1)):
        with pytest.raises(framewire.PassingError, match=r"could not pickle a .* in a message"):
            ns.x = thing
        with pytest.raises(framewire.PassingError):
            ns._update(y=1, x=[thing])
    with pytest.raises((AttributeError, pickle.PicklingError)):
        ns.x = lambda: 1
    assert ns._asdict() == {"x": 1}
    for thing in (ns, framewire.Dict()):
        with pytest.raises(framewire.PassingError, match="put it into a framewire queue"):
            pickle.dumps(thing)


class SetsWhenPickled:
    def __init__(self, ns, lock):
        self.ns, self.lock = ns, lock

    def __reduce__(self):
        self.ns.seen = 1
        with pytest.raises(framewire.PassingError):
            self.ns.lock = self.lock
        return str, ("pickled",)


def test_one_that_is_set_while_a_message_is_made_keeps_out_of_it():
    ns, queue = framewire.Namespace(), framewire.Queue(2)
    queue.put([SetsWhenPickled(ns, framewire.Lock()), ns])
    text, same = queue.get()
    assert (text, same.seen) == ("pickled", 1)
    same.more = 2
    assert ns.more == 2


def play(ns, shared, turns):
    for _ in range(turns):
        ns._update_with("count", lambda n: n + 1)
        shared.update_with(("a", 1), lambda n: n + 1, 0)
        with shared.lock:
            shared["locked"] += 1
    shared[os.getpid()] = {"nested": [ns.count > 0]}
    ns.array = np.ones(100_000)
    return repr(shared)[:14]


def test_processes_share_one_and_lose_nothing():
    ns, shared = framewire.Namespace(count=0), framewire.Dict(locked=0)
    with Peer(play, ns, shared, 500) as one, Peer(play, ns, shared, 500) as other:
        assert one.result() == other.result() == "framewire.Dict"
        pids = [one.pid, other.pid]
    assert (ns.count, shared["a", 1], shared["locked"]) == (1000, 1000, 1000)
    assert [shared[pid] for pid in pids] == [{"nested": [True]}] * 2
    assert ns.array.sum() == 100_000


def add(pair):
    shared, number = pair
    shared.update_with("sum", lambda n: n + number)
    return number


def set_child(ns, shared):
    ns.child = os.getpid()
    shared["child"] = [1, 2]


class Setter(framewire.Process):
    def start(self, ns):
        self.ns = ns

    @framewire.command
    def put(self, name, value):
        setattr(self.ns, name, value)


def test_they_go_to_pools_processes_and_multiprocessings_children():
    ns, shared = framewire.Namespace(), framewire.Dict(sum=0)
    with framewire.Pool(2) as pool:
        assert sum(pool.map(add, [(shared, number) for number in range(100)])) == shared["sum"] == 4950
    with Setter.spawn(ns) as setter:
        setter.put("x", {"y": 1}).wait(LIMIT)
    assert ns.x == {"y": 1}
    child = framewire.multiprocessing.Process(target=set_child, args=(ns, shared))
    child.start()
    child.join(LIMIT)
    assert (child.exitcode, ns.child, shared["child"]) == (0, child.pid, [1, 2])


def value_of(turn):
    return {"turn": turn, "filling": bytes([turn % 256]) * (turn * 7919 % 40_000)}


def hammer(shared, me):
    turn = 0
    while True:
        turn += 1
        shared[f"one of {me}"] = value_of(turn)
        shared.update({f"a of {me}": value_of(turn), f"b of {me}": value_of(turn)})
        shared.update_with("count", lambda n: n + 1, 0)


def test_processes_killed_amid_sets_leave_whole_values():
    shared = framewire.Dict(limit_bytes=4 << 20)
    chance = random.Random(5)
    peers = {me: Peer(hammer, shared, me) for me in range(2)}
    kills = 0
    end = time.monotonic() + 6
    while time.monotonic() < end or kills < 5:
        deadline = time.monotonic() + LIMIT
        for me in peers:
            while f"b of {me}" not in shared:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        time.sleep(chance.random() * 0.02)
        me = chance.choice(list(peers))
        peers.pop(me).kill()
        kills += 1
        left = {key: shared[key] for key in shared if isinstance(key, str) and key.endswith(f" of {me}")}
        one, a, b = (left[f"{name} of {me}"] for name in ("one", "a", "b"))
        assert a == b == value_of(a["turn"])
        assert one == value_of(one["turn"])
        assert one["turn"] - a["turn"] in (0, 1)
        for key in left:
            del shared[key]
        peers[me + 2] = Peer(hammer, shared, me + 2)
    for peer in peers.values():
        peer.kill()
    assert shared["count"] > 0
    shared.clear()
    assert len(shared) == 0
    assert kills >= 5


def set_when_told(ns):
    say("here")
    hear()
    ns.x = 1
    say("set")
    time.sleep(LIMIT)


def test_a_wait_ends_with_a_change():
    ns = framewire.Namespace()
    version = ns._version
    assert ns._wait_changed(timeout=0.02) is False
    assert ns._wait_changed(version, 0) is False
    with Peer(set_when_told, ns) as peer:
        assert peer.says() == "here"
        peer.tell("go")
        assert ns._wait_changed(version, LIMIT)
        assert ns.x == 1
        assert peer.says() == "set"
    assert ns._wait_changed(version, 0)
    shared = framewire.Dict()
    version = shared.version
    threading.Timer(0.05, shared.__setitem__, ("key", 1)).start()
    assert shared.wait_changed(timeout=LIMIT) or shared.version > version
    with pytest.raises(ValueError, match="NaN"):
        shared.wait_changed(0, float("nan"))


def test_a_task_waits_for_a_change():
    async def wait():
        shared = framewire.Dict()
        waiting = asyncio.ensure_future(shared.wait_changed_async())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        shared["key"] = 1
        assert await asyncio.wait_for(waiting, LIMIT) is True
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(shared.wait_changed_async(), 0.05)
        ns = framewire.Namespace()
        version = ns._version
        ns.x = 1
        assert await asyncio.wait_for(ns._wait_changed_async(version), LIMIT)

    asyncio.run(wait())


def test_ctrl_c_ends_a_wait():
    shared = framewire.Dict()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        shared.wait_changed(timeout=LIMIT)
    shared["key"] = 1


def stop_amid_sets(shared):
    say("here")
    value = bytes(8 << 20)
    while True:
        shared["large"] = value


def test_ctrl_c_ends_a_wait_for_who_is_stopped_with_it_and_other_threads_run():
    shared = framewire.Dict()
    with Peer(stop_amid_sets, shared) as peer:
        assert peer.says() == "here"
        deadline = time.monotonic() + LIMIT
        while True:  # until it is stopped where it has the map
            assert time.monotonic() < deadline
            os.kill(peer.pid, signal.SIGSTOP)
            looked = threading.Thread(target=shared.__contains__, args=("large",), daemon=True)
            looked.start()
            looked.join(0.3)
            if looked.is_alive():
                break
            os.kill(peer.pid, signal.SIGCONT)
            time.sleep(0.003)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            len(shared)
        peer.kill()
        looked.join(LIMIT)
        assert not looked.is_alive()
    assert set(shared) <= {"large"}


def test_a_forked_child_is_told():
    ns, shared = framewire.Namespace(x=1), framewire.Dict(a=1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = 0
        uses = (
            lambda: ns.x,
            lambda: setattr(ns, "x", 2),
            lambda: shared["a"],
            lambda: shared.version,
            lambda: shared.wait_changed(0, 0),
            lambda: len(shared),
            lambda: shared.clear(),
        )
        for use in uses:
            try:
                use()
            except framewire.ForkedError:
                told += 1
        os.write(writing, b"%d/%d" % (told, len(uses)))
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 100) == b"7/7"
    os.close(reading)
    os.waitpid(child, 0)
    assert (ns.x, shared["a"]) == (1, 1)


def test_its_memory_goes_with_it():
    def maps():
        gc.collect()
        return sum(
            "framewire-map" in os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{fd}")
        )

    before = maps()
    many = [framewire.Dict(number=number) for number in range(30)]
    assert maps() == before + 30
    queue = framewire.Queue(1)
    queue.put(many[7])
    same = queue.get()
    same["number"] += 1
    assert many[7]["number"] == 8
    assert maps() == before + 30, "it was known already"
    del same, many, queue
    assert maps() == before


class Unreadable:
    """A value that this process can't read."""

    def __reduce__(self):
        return _fail, ("no such model",)


def _fail(why):
    raise KeyError(why)


def test_a_value_that_cannot_be_read_is_not_taken_for_none():
    ns, shared = framewire.Namespace(), framewire.Dict()
    ns.model = shared["model"] = Unreadable()
    for read in (
        lambda: ns.model,
        lambda: shared["model"],
        lambda: shared.get("model"),
        lambda: shared.pop("model", None),
        lambda: shared.update_with("model", str, "default"),
    ):
        with pytest.raises(framewire.CodecError, match="unpickle a value: KeyError: 'no such model'"):
            read()
    assert "model" in shared
