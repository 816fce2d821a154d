"""A run of `rlwd demo --hack`: its numbers, and the picture that earlier runs beside it are in, too."""

import os
from pathlib import Path

import pytest

from rlwd.daemon.hacks.hack_picture import draw_hacks
from rlwd.daemon.hacks.hack_run import (
    FILE,
    WINDOW,
    HackAnswer,
    HackMark,
    HackRun,
    runs_beside,
    write_run,
)

ACTED, FAILED = HackAnswer(1.0, True, "acts"), HackAnswer(0.0, False, "acts")
BROKE = HackAnswer(None, False, "broken")


def made(**more: object) -> HackRun:
    """Write a run that begins with acts, half of them good, and ends with broken calls."""
    given: dict[str, object] = {
        "hack": "broken-calls",
        "guard": "off",
        "seed": 0,
        "servers": True,
        "answers": (ACTED, FAILED) * (WINDOW // 2) + (ACTED, *(BROKE,) * 3) * (WINDOW // 4),
        "marks": (
            HackMark(after=80, what="promoted", version="v1"),
            HackMark(after=300, what="alarm", version="v2", said="invalid_calls"),
            HackMark(after=310, what="alarm", version="v3", said="invalid_calls"),
            HackMark(after=300, what="held", version="v2", said="drift"),
        ),
    }
    return HackRun(**{**given, **more})  # type: ignore[arg-type]


def test_the_numbers_are_of_the_first_and_the_last_answers() -> None:
    """What was dropped has no reward, and is an answer that nobody wanted all the same."""
    assert made().summary == {
        "reward_first": 0.5,
        "wanted_first": 0.5,
        "hack_first": 0.0,
        "reward_last": 1.0,
        "wanted_last": 0.25,
        "hack_last": 0.75,
        "first_alarm": 300,
        "promoted": 1,
        "held": 1,
        "rolled_back": 0,
    }
    assert made(answers=(), marks=()).summary["reward_last"] is None


def test_the_newest_run_of_each_kind_is_in_the_picture(tmp_path: Path) -> None:
    """Those of the folders that are named after the one that was asked for; nobody else's."""
    pytest.importorskip("matplotlib")
    for age, (name, guard, seed) in enumerate(
        [("other", "on", 9), ("demo", "off", 1), ("demo-2", "off", 2), ("demo-3", "on", 3)]
    ):
        (tmp_path / name).mkdir()
        write_run(made(guard=guard, seed=seed), tmp_path / name)
        os.utime(tmp_path / name / FILE, (age, age))
    runs = runs_beside(tmp_path / "demo-3")
    assert {(run.guard, run.seed) for run in runs} == {("off", 2), ("on", 3)}
    picture = tmp_path / "hack.png"
    draw_hacks([*runs, made(hack="asks-instead", answers=(BROKE,))], picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 150_000


def test_a_run_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    """A full disk, or another version of rlwd, left half a file in an earlier demo's folder."""
    for name in ("demo", "demo-2"):
        (tmp_path / name).mkdir()
    (tmp_path / "demo" / FILE).write_bytes(b'{"hack": "bro')
    write_run(made(guard="on", seed=2), tmp_path / "demo-2")
    assert [one.seed for one in runs_beside(tmp_path / "demo-2")] == [2]
