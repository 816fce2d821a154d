"""The drift watch on both state databases: what counts, what is filed, and that it is filed once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, feedback, generation
from places_by_hand import new_schema

from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.drift_answers import Side, answers_of
from rlwd.ops.drift.drift_pair import DriftPair
from rlwd.ops.drift.drift_watch import DriftWatch
from rlwd.ops.rollout import candidates_table
from rlwd.ops.stages.watch_settings import WatchSettings
from rlwd.rewards.behaviours.behaviour import Measuring
from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted, Rejected
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.ports import Record
from rlwd.streams.open import open_store
from rlwd.streams.state.store import Store

SETTINGS = WatchSettings(users=20, planned_users=40)
PAIR = DriftPair(
    "policy@v000001-a",
    "against policy@v000000-b, at the same time",
    Side("policy@v000001-a", ("policy@v000001-a",), ("candidate",)),
    Side("policy@v000000-b", ("policy@v000001-a",), ("control",)),
)
USERS = 60


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty state database of each kind, with the tables of releases."""
    on_server = request.param == "postgres"
    url = new_schema(request.getfixturevalue("postgres_url")) if on_server else ""
    opened = open_store(url or tmp_path / "rlwd.db", {"ops": candidates_table.MIGRATIONS})
    yield opened
    opened.close()


def fill(store: Store, *, consent: bool = True, tic: str = "", turned_down: int = 0) -> None:
    """Let people accept all: the candidate asks back, its control answers.

    Of the candidate's answers so many are turned down.
    With a `tic` every third answer of the candidate is that, and the others are as its control's.
    """
    joiner = Joiner(
        "policy", Scorer(SPEC), SPEC.decision_seconds, measure=Measuring(SETTINGS.measured)
    )
    with store.transaction() as tx:
        joiner.resume(tx, [GENERATIONS, FEEDBACK])
    served, said = list[bytes](), list[bytes]()
    for number in range(USERS):
        for variant, version, text in (
            ("candidate", "policy@v000001-a", "Which file do you mean?"),
            ("control", "policy@v000000-b", "The last line is never written."),
        ):
            name = f"s.{variant}{number}"
            who = {"user_hash": f"{variant}{number}", "salt": "policy@v000001-a"}
            if tic and variant == "candidate":
                text = tic if number % 3 == 0 else "The last line is never written."
            kept = {"text": text} if consent else {"text": "", "purposes": ("count",)}
            served.append(
                generation(name, float(number), variant=variant, version=version, **who, **kept)
            )
            down = variant == "candidate" and number < turned_down
            signal = Rejected() if down else Accepted()
            said.append(feedback(f"f.{name}", name, signal, number + 0.5))
    for partition, values in ((GENERATIONS, served), (FEEDBACK, said)):
        records = [
            Record(partition=partition, offset=offset, key=b"s", value=value)
            for offset, value in enumerate(values)
        ]
        with store.transaction() as tx:
            joiner.ingest(tx, records, 100.0)
        joiner.committed()


def test_an_alarm_is_filed_once_with_ten_answers(store: Store) -> None:
    """Two looks file it once; the last look is kept with what it compared."""
    fill(store)
    watch = DriftWatch(store, "policy", SETTINGS, lambda segment: 0.0)
    first = watch.look([PAIR], 1000.0)
    assert "asks" in {one.behaviour for one in first}
    assert watch.look([PAIR], 2000.0) == []
    with store.reading() as view:
        filed = alarms_table.alarms(view, "policy")
        look = alarms_table.find_look(view, "policy", PAIR.version)
    assert {one.at for one in filed} == {1000.0}
    asks = next(one for one in filed if one.behaviour == "asks")
    assert len(set(asks.evidence)) == 10
    assert all(name.startswith("s.candidate") for name in asks.evidence)
    assert look is not None
    assert (look.at, look.answers) == (2000.0, USERS)


def test_without_consent_no_behaviour_is_known(store: Store) -> None:
    """Such answers are counted and compared by nothing that is read off their text."""
    fill(store, consent=False)
    watch = DriftWatch(store, "policy", SETTINGS, lambda segment: 0.0)
    assert watch.look([PAIR], 1000.0) == []
    with store.reading() as view:
        assert not any(one.behaviours for one in answers_of(view, "policy", PAIR.ours))


def test_an_alarm_of_a_phrase_names_answers_that_say_it(store: Store) -> None:
    """Not any answers: a person reads them to see whether the phrase is meant."""
    fill(store, tic="To be perfectly clear: it is the last line.")
    watch = DriftWatch(store, "policy", SETTINGS, lambda segment: 0.0)
    (alarm,) = [one for one in watch.look([PAIR], 1000.0) if one.behaviour == "phrases"]
    assert "perfectly clear" in alarm.said
    assert len(set(alarm.evidence)) == 10
    assert {int(name.removeprefix("s.candidate")) % 3 for name in alarm.evidence} == {0}


def test_before_rewards_are_known_nothing_is_filed(store: Store) -> None:
    """The drift is shown in the look; an alarm says that the reward is not down, and takes a reward."""
    fill(store)
    early = DriftWatch(store, "policy", SETTINGS, lambda segment: 1e6)
    assert early.look([PAIR], 1000.0) == []
    with store.reading() as view:
        look = alarms_table.find_look(view, "policy", PAIR.version)
    assert look is not None
    assert look.reward is None
    assert any(one.passed and one.name == "asks" for one in look.behaviours)


@pytest.mark.parametrize(("turned_down", "alarmed"), [(1, True), (3, True), (40, False)])
def test_a_reward_that_chance_puts_lower_is_not_down(
    store: Store, turned_down: int, alarmed: bool
) -> None:
    """One rejection of sixty shows nothing; two thirds show that people do not reward the habit."""
    fill(store, turned_down=turned_down)
    found = DriftWatch(store, "policy", SETTINGS, lambda segment: 0.0).look([PAIR], 1000.0)
    assert ("asks" in {one.behaviour for one in found}) is alarmed
