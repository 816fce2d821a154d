"""Doubt: which looks a promotion waits for, and which behaviours in them are a reason to ask more people."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.doubt import doubt_of
from rlwd.ops.drift.drift_look import BehaviourLook, DriftLook
from rlwd.ops.rollout import candidates_table
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.state_machine import begin
from rlwd.ops.stages.watch_settings import BARS, WatchSettings
from rlwd.streams.open import open_store
from rlwd.streams.state.store import Store

WATCH = WatchSettings()
VERSION = "policy@v000001-a"
SHOWN_AT = 100.0
"""When the candidate's rewards were shown."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty state database with the tables of releases."""
    opened = open_store(tmp_path / "rlwd.db", {"ops": candidates_table.MIGRATIONS})
    yield opened
    opened.close()


def seems(name: str, users: int, rate: float, reference: float = 0.0) -> BehaviourLook:
    """A behaviour of so many users, and nothing shown of it."""
    return BehaviourLook(
        name=name,
        rate=rate,
        reference=reference,
        low=None,
        high=None,
        users=users,
        bar=BARS[name],
        passed=False,
    )


def looked(
    store: Store, *behaviours: BehaviourLook, at: float = 200.0, total: bool = False
) -> None:
    """Keep a look at the candidate."""
    look = DriftLook(
        version=VERSION,
        against="",
        at=at,
        answers=9,
        reward=None,
        reference_reward=None,
        behaviours=behaviours,
        total=total,
    )
    with store.transaction() as tx:
        alarms_table.save_look(tx, "policy", look)


def doubt(store: Store, settings: WatchSettings = WATCH, shown_at: float = SHOWN_AT) -> str:
    """Return what the promotion of a canary waits for, whose rewards are shown since then."""
    begun = begin(VERSION, "1" * 64, "policy@v000000-b", now=0.0, settings=RolloutSettings())
    rollout: Rollout = msgspec.structs.replace(begun, stage=Stage.CANARY, doubted_since=shown_at)
    with store.reading() as view:
        return doubt_of(view, "policy", rollout, settings)


def test_a_look_from_before_the_rewards_were_shown_is_not_enough(store: Store) -> None:
    """Nor is none, nor one in all alone; where nothing is watched none is waited for."""
    calm = seems("asks", 60, 0.1)
    assert "a look at what it does now" in doubt(store)
    assert doubt(store, WatchSettings(bars=dict.fromkeys(BARS, 0.0))) == ""
    looked(store, calm, total=True)
    looked(store, calm, at=SHOWN_AT - 1.0)
    assert "a look at what it does now" in doubt(store)
    looked(store, calm, at=SHOWN_AT)
    assert doubt(store) == ""
    assert "a look at what it does now" in doubt(store, shown_at=0.0)


@pytest.mark.parametrize(("users", "waits"), [(3, False), (8, True)])
def test_what_hardly_anybody_shows_is_no_doubt(store: Store, users: int, waits: bool) -> None:
    """One of three people with an open list, of 60 who were asked, would hold it to its deadline.

    One of three of four who were asked in all is told by asking more.
    """
    looked(store, seems("empty", 60, 0.0), seems("unfinished_todos", users, 1 / users))
    assert ("unfinished_todos" in doubt(store)) is waits
    looked(store, seems("empty", 4, 0.0), seems("unfinished_todos", 3, 1 / 3))
    assert "unfinished_todos" in doubt(store)


@pytest.mark.parametrize(("users", "waits"), [(WATCH.users - 1, False), (WATCH.users, True)])
def test_a_reference_that_stays_small_is_no_ground_for_doubt(
    store: Store, users: int, waits: bool
) -> None:
    """More people who ask the candidate tell nothing of what so few got from v0 long ago."""
    looked(store, seems("digits", 60, 0.1, 0.1))
    looked(store, seems("digits", users, 0.1, 0.0), total=True)
    said = doubt(store)
    assert said.startswith("the promotion waits while") is waits
    assert ("in all, step by step: digits 0.100 against 0.000" in said) is waits


@pytest.mark.parametrize(("error", "waits"), [(0.06, False), (0.04, True), (None, True)])
def test_what_the_references_own_noise_may_be_is_no_ground_for_doubt(
    store: Store, error: float | None, waits: bool
) -> None:
    """Of what stays the same; beside its control a candidate waits for more people on both sides."""
    seeming = msgspec.structs.replace(seems("digits", 60, 0.1), reference_error=error)
    looked(store, seems("asks", 60, 0.0))
    looked(store, seeming, total=True)
    assert ("digits" in doubt(store)) is waits
    looked(store, seeming)
    assert "digits" in doubt(store)
