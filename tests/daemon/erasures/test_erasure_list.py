"""The list of erasures: each person once, durable, and a damaged line is named."""

import fcntl
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rlwd.daemon.erasures.erasure_list import note_erased, read_listed


def test_each_person_stands_there_once_by_policy(tmp_path: Path) -> None:
    """The first time of an erasure stays; another policy's people are not this one's."""
    path = tmp_path / "erased.jsonl"
    assert read_listed(path, "a") == {}
    note_erased(path, "a", {"h1": 1.0, "h2": 2.0})
    note_erased(path, "b", {"h3": 3.0})
    note_erased(path, "a", {"h1": 9.0})
    assert read_listed(path, "a") == {"h1": 1.0, "h2": 2.0}
    assert read_listed(path, "b") == {"h3": 3.0}
    assert path.stat().st_mode & 0o777 == 0o600


def test_policies_that_write_at_once_lose_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one cuts off at the end of their list is never what another one has just written."""
    path, waits = tmp_path / "erased.jsonl", fcntl.flock
    note_erased(path, "a", {"h1": 1.0})
    others = [Thread(target=note_erased, args=(path, "b", {f"h{n}": 1.0})) for n in range(2)]

    def meanwhile(file: Any, kind: int) -> None:
        waits(file, kind)
        while others:
            others.pop().start()

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    started = [*others]
    note_erased(path, "a", {"h2": 2.0})
    for one in started:
        one.join()
    assert set(read_listed(path, "b")) == {"h0", "h1"}
    assert set(read_listed(path, "a")) == {"h1", "h2"}


def test_a_line_that_was_cut_off_is_none(tmp_path: Path) -> None:
    """What it would have said was not begun; the next person takes its place."""
    path = tmp_path / "erased.jsonl"
    note_erased(path, "a", {"h1": 1.0})
    with path.open("ab") as file:
        file.write(b'{"policy":"a","user_ha')
    assert read_listed(path, "a") == {"h1": 1.0}
    note_erased(path, "a", {"h2": 2.0})
    assert read_listed(path, "a") == {"h1": 1.0, "h2": 2.0}


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """With file and number: nobody is passed over in silence."""
    path = tmp_path / "erased.jsonl"
    path.write_bytes(b'{"policy":"a","user_hash":"h","at":1.0}\nrubbish\n')
    with pytest.raises(ValueError, match=r"erasures: .*erased\.jsonl, line 2: "):
        read_listed(path, "a")


def test_a_place_that_takes_nothing_is_named(tmp_path: Path) -> None:
    """By the config's key."""
    with pytest.raises(OSError, match="No such file or directory: 'erasures: "):
        note_erased(tmp_path / "gone" / "erased.jsonl", "a", {"h": 1.0})
