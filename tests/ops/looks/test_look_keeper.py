"""What a release saw of a rollout is kept: bounded, by segment and day, and through a restart."""

import itertools
from pathlib import Path

import pytest
from rollouts_by_hand import HOUR, CrowdedHouse

from rlwd.ops.looks.look import Look
from rlwd.ops.looks.looks_table import (
    LAST,
    add_look,
    find_parts,
    last_looks,
    looks,
    put_parts,
    thin_looks,
)
from rlwd.ops.looks.part import Parts
from rlwd.ops.stages.record import Stage
from rlwd.streams.state.store import Store

DAY = 24 * HOUR


@pytest.fixture
def house(tmp_path: Path) -> CrowdedHouse:
    """A release whose v0 serves."""
    house = CrowdedHouse(tmp_path)
    house.turn(60.0, 0)
    return house


def kept(house: CrowdedHouse, version: str) -> list[Look]:
    with house.ledger.store.reading() as view:
        return looks(view, "policy", version)


def test_every_look_at_people_is_kept_with_all_metrics(house: CrowdedHouse) -> None:
    """From the first look of the canary to the one that promoted it, intervals and users stand there."""
    name = house.make(0.9).version
    ended = house.until_ended(HOUR, 120)
    assert ended.stage is Stage.SETTLED
    found = kept(house, name)
    assert {look.stage for look in found} == {"canary", "promoted"}
    assert {look.step for look in found if look.stage == "canary"} == {0, 1}
    last = found[-1]
    assert [point.name for point in last.metrics] == [
        "reward",
        "feedback_rate",
        "error_rate",
        "cut_off_rate",
    ]
    reward = last.metrics[0]
    assert reward.low is not None
    assert reward.high is not None
    assert reward.change is not None
    assert reward.low < reward.change < reward.high
    assert (reward.kind, reward.margin, reward.direction) == ("non-inferior", 0.08, "higher")
    assert sum(point.alpha for point in last.metrics) == pytest.approx(0.05)
    assert last.since_promotion
    assert [a.at for a in found] == sorted(a.at for a in found)
    with house.ledger.store.reading() as view:
        assert last_looks(view, "policy")[name] == last


def test_segments_and_days_are_kept_for_the_time_after_the_content(house: CrowdedHouse) -> None:
    """They add up to all answers that candidate and control gave, each with its own interval."""
    name = house.make(0.9).version
    house.until_ended(HOUR, 120)
    with house.ledger.store.reading() as view:
        parts = find_parts(view, "policy", name)
        (all_answers,) = view.execute(
            "SELECT COUNT(*) FROM episodes WHERE salt = ? AND variant IN ('candidate', 'control')",
            (name,),
        ).fetchone()
    assert parts is not None
    for by in ("segment", "day"):
        chosen = [part for part in parts.parts if part.by == by]
        assert sum(sum(part.answers) for part in chosen) == all_answers
        assert all(part.metrics[0].users > 0 for part in chosen if min(part.answers) > 20)
    assert {p.name for p in parts.parts if p.by == "segment"} == {"reply", "title", "code"}


def test_a_rollout_that_is_ended_by_hand_between_two_looks_is_closed_too(
    house: CrowdedHouse,
) -> None:
    """What was said until then is in its parts, though no look ended it."""
    name = house.make(0.72).version
    house.until_met()
    house.turn(HOUR, 400)
    with house.ledger.store.transaction() as tx:
        put_parts(tx, "policy", name, Parts(at=0.0, parts=()))
        house.controller.refuse(tx, "ann: no", house.clock)
    house.turn(60.0, 0)
    with house.ledger.store.reading() as view:
        parts = find_parts(view, "policy", name)
    assert parts is not None
    assert parts.parts


def test_looks_survive_a_restart_and_go_on(house: CrowdedHouse) -> None:
    """A new daemon on the same tables adds to what the last one saw."""
    name = house.make(0.72).version
    house.until_met()
    house.turn(HOUR, 60)
    before = kept(house, name)
    house.restart()
    house.turn(HOUR, 60)
    assert kept(house, name)[: len(before)] == before
    assert len(kept(house, name)) == len(before) + 1


def a_look(at: float, **more: object) -> Look:
    known: dict[str, object] = {
        "stage": "canary",
        "step": 0,
        "outcome": "WAIT",
        "reason": "",
        "exposed": (1, 1),
        "e_value": 1.0,
        "srm_alpha": 0.001,
        "alpha_promote": 0.05,
        "planned_users": 10,
        "harm_planned_users": 10,
    }
    return Look(at=at, **{**known, **more})  # type: ignore[arg-type]


def test_a_long_rollout_keeps_a_bounded_number_of_looks(house: CrowdedHouse) -> None:
    """A week of looks every ten seconds is about a thousand; the last hour keeps the most."""
    store: Store = house.ledger.store
    week, every = 7 * DAY, 10.0
    with store.transaction() as tx:
        at = 0.0
        while at < week:
            add_look(tx, "policy", "v", a_look(at, step=int(at > 3 * DAY)))
            at += every
            if at % 20_000 == 0:
                thin_looks(tx, "policy", "v", at)
        thin_looks(tx, "policy", "v", at)
        found = [look.at for look in looks(tx, "policy", "v")]
        assert 300 < len(found) < 1500
        assert found[0] == 0.0
        assert found[-1] == at - every
        assert next(at for at in found if at > 3 * DAY) == 3 * DAY + every
        old = itertools.pairwise(look for look in found if look < at - HOUR)
        assert max((b - a) / (at - a) for a, b in old) < 0.05
        thin_looks(tx, "policy", "v", at, ended=True)
        assert LAST / 2 <= len(looks(tx, "policy", "v")) <= LAST + 3
