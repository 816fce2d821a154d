"""Versions that were served one after the other are compared as if both had had the same segments."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, feedback, generation

from rlwd.ops.drift.drift_answers import Side
from rlwd.ops.drift.drift_look import BehaviourLook, DriftLook
from rlwd.ops.drift.drift_pair import DriftPair
from rlwd.ops.drift.drift_watch import DriftWatch
from rlwd.ops.drift.segment_mix import DriftRow, same_mix
from rlwd.ops.rollout import candidates_table
from rlwd.ops.stages.watch_settings import WatchSettings
from rlwd.rewards.behaviours.behaviour import Measuring
from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted, Rejected
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.ports import Record
from rlwd.streams.open import open_store
from rlwd.streams.state.store import Store

SETTINGS = WatchSettings(users=20, planned_users=100)
BEFORE, AFTER = "policy@v000001-a", "policy@v000002-b"
PAIR = DriftPair(
    AFTER,
    f"against {BEFORE}, before it",
    Side(AFTER, ("salt",), ("champion",)),
    Side(BEFORE, ("salt",), ("champion",)),
    concurrent=False,
)
EACH = 400
ASKS, SAYS = "Which file do you mean?", "The last line is never written."

Rates = dict[str, tuple[int, float, float]]
"""By segment: of so many users, with this share that is asked back, and that takes the answer."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty state database with the tables of releases."""
    opened = open_store(tmp_path / "rlwd.db", {"ops": candidates_table.MIGRATIONS})
    yield opened
    opened.close()


def fill(store: Store, before: Rates, after: Rates) -> None:
    """Let one version be served after the other, each to its own mix of segments."""
    joiner = Joiner(
        "policy", Scorer(SPEC), SPEC.decision_seconds, measure=Measuring(SETTINGS.measured)
    )
    with store.transaction() as tx:
        joiner.resume(tx, [GENERATIONS, FEEDBACK])
    served, said = list[bytes](), list[bytes]()
    for version, rates in ((BEFORE, before), (AFTER, after)):
        for segment, (users, asks, takes) in rates.items():
            for number in range(users):
                name = f"s.{version[-1]}.{segment}.{number}"
                text = ASKS if number < asks * users else SAYS
                who = {"user_hash": name, "salt": "salt", "variant": "champion"}
                served.append(
                    generation(name, 1.0, version=version, segment=segment, text=text, **who)
                )
                # Spread over both kinds of answer: what is asked back is taken as often.
                took = (number * 7) % users < takes * users
                said.append(feedback(f"f.{name}", name, Accepted() if took else Rejected(), 2.0))
    for partition, values in ((GENERATIONS, served), (FEEDBACK, said)):
        records = [
            Record(partition=partition, offset=offset, key=b"s", value=value)
            for offset, value in enumerate(values)
        ]
        with store.transaction() as tx:
            joiner.ingest(tx, records, 100.0)
        joiner.committed()


def looked(store: Store) -> tuple[set[str], DriftLook, BehaviourLook | None]:
    """Look once; return which alarms are raised, the look, and what it says of asking."""
    looks = list[DriftLook]()
    watch = DriftWatch(
        store, "policy", SETTINGS, lambda segment: 0.0, lambda look, alarms: looks.append(look)
    )
    alarms = {one.behaviour for one in watch.look([PAIR], 1000.0)}
    (look,) = looks
    return alarms, look, next((one for one in look.behaviours if one.name == "asks"), None)


def test_other_traffic_is_no_drift(store: Store) -> None:
    """Half of it was hard and now nine tenths are: each answers as before, and nobody is woken."""
    hard, easy = (0.6, 0.5), (0.0, 0.5)
    fill(
        store,
        {"hard": (EACH, *hard), "easy": (EACH, *easy)},
        {"hard": (720, *hard), "easy": (80, *easy)},
    )
    alarms, look, asks = looked(store)
    assert asks is not None
    assert asks.difference == pytest.approx(0.0, abs=0.01)
    assert look.reward == pytest.approx(look.reference_reward, abs=0.01)
    assert alarms == set()


def test_other_traffic_hides_no_drift(store: Store) -> None:
    """It asks back more in each kind of work and is taken more; the means over all say neither."""
    fill(
        store,
        {"hard": (720, 0.5, 0.3), "easy": (80, 0.0, 0.8)},
        {"hard": (80, 0.9, 0.4), "easy": (720, 0.4, 0.9)},
    )
    alarms, look, asks = looked(store)
    assert asks is not None
    assert asks.difference == pytest.approx(0.4, abs=0.01)
    assert look.reward_stands
    assert "asks" in alarms


def test_a_new_segment_is_held_against_nothing(store: Store) -> None:
    """Only what both versions answered is compared: the new work's questions are its own."""
    fill(store, {"old": (EACH, 0.0, 0.5)}, {"old": (EACH, 0.0, 0.5), "new": (EACH, 0.9, 0.9)})
    alarms, look, asks = looked(store)
    assert asks is not None
    assert (asks.rate, asks.users) == (0.0, EACH)
    assert look.reward == look.reference_reward == 0.5
    assert alarms == set()


def test_small_segments_are_one() -> None:
    """Forty kinds of work of five users each are compared, too."""
    rows = [DriftRow(f"u{n}.{k}", 1.0, 1.0, f"kind{k}") for k in range(40) for n in range(5)]
    ours, theirs = same_mix(rows, rows[:100], 20)
    assert len(ours) == 200
    assert [(one.total, one.over) for one in theirs] == [(2.0, 2.0)] * 100
