from __future__ import annotations

import logging
import sys

import pool_subjects as work
import pytest

import framewire


@pytest.fixture(scope="module")
def pool():
    with framewire.Pool(1) as pool:
        yield pool


@pytest.mark.parametrize("progress", ["tqdm", "rich", True])
def test_a_bar_is_shown(pool, capsys, progress):
    assert pool.map(work.square, range(100), progress=progress)[-1] == 99 * 99
    shown = capsys.readouterr()
    assert "100/100" in shown.err
    assert shown.out == ""
    assert pool.starmap(work.add, [(1, 2)], progress=progress) == [3]
    assert "1/1" in capsys.readouterr().err
    assert pool.map(work.square, [], progress=progress) == []


def test_what_is_installed_is_taken(pool, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    pool.map(work.square, range(100), progress=True)
    assert "━" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "rich", None)
    pool.map(work.square, range(100), progress=True)
    assert capsys.readouterr().err.endswith("100/100\n")


@pytest.mark.parametrize("name", ["tqdm", "rich"])
def test_a_bar_that_is_not_installed_is_refused_before_anything_is_done(pool, monkeypatch, name, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    done = tmp_path / "done"
    with pytest.raises(ModuleNotFoundError, match=f"pip install {name}") as caught:
        pool.map(work.touch, [str(done)], progress=name)
    assert caught.value.name == name
    with pytest.raises(ValueError, match="'dots'"):
        pool.map(work.touch, [str(done)], progress="dots")
    with pytest.raises(TypeError, match="function of"):
        pool.map(work.touch, [str(done)], progress=7)
    pool.map(work.square, range(3))
    assert not done.exists()


def test_a_function_is_told_each_step(pool, tmp_path):
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        (tmp_path / str(done)).touch()

    # Each task ends only after its predecessor's end was told.
    pool.map(work.wait_for, [str(tmp_path / str(step)) for step in range(3)], progress=tell)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with pytest.raises(LookupError):
        pool.map(work.fail_at, range(20), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20)
    assert pool.map(work.square, [], progress=lambda done, total: told.append((done, total))) == []
    assert told[-1] == (0, 0)


def test_a_display_that_fails_is_logged_once_and_the_map_goes_on(pool, caplog):
    def fail(done: int, _total: int) -> None:
        if done:
            raise KeyError(done)

    with caplog.at_level(logging.ERROR, "framewire.pool"):
        assert pool.map(work.square, range(2000), progress=fail)[-1] == 1999 * 1999
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]
