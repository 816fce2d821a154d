"""After a change of spec what waits is scored again, and no batch mixes two specs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon_by_hand import decide, open_daemon_ledger
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback, generation
from places_by_hand import new_schema

from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.answers.answer_rows import LATEST
from rlwd.streams.events.signals import Copied, Kept
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.rescore import rescore
from rlwd.streams.rescore.rescore import Rescore
from rlwd.streams.rescore.rescorings_table import find_rescoring

NEW = Spec(
    name="new",
    parts={"accepted": 1.0, "kept": 3.0},
    decisive=("accepted", "rejected", "copied"),
    decision={"default": 500.0},
    ready={"default": 0.0, "late": 50.0},
    undecided={"title": 0.3},
)
ROW = "SELECT reward, stage, fate, spec_version FROM episodes WHERE generation_id = ?"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with the daemon's tables, under the old spec."""
    made = open_daemon_ledger(tmp_path / "rlwd.db")
    with made.store.transaction() as tx:
        made.ends = made.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    yield made
    made.store.close()


def change(ledger: Ledger, spec: Spec) -> Rescore:
    """Start again with another spec."""
    ledger.joiner = Joiner("policy", Scorer(spec), spec.decision_seconds)
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    return Rescore(ledger.store, ledger.joiner.scoring)


def seal_now(ledger: Ledger, episodes: int, **more: Any) -> Any:
    given = {"parent_sequence": 0, "max_policy_age": 8, "age": lambda version: 0, "now": 2000.0}
    with ledger.store.transaction() as tx:
        return seal(
            tx, "policy", BatchSettings(episodes=episodes, held_out=0.0), **{**given, **more}
        )


def traffic(ledger: Ledger) -> None:
    """Every kind of answer: decided, half kept, copied, silent, excluded by a rule."""
    for name, more in (
        ("taken", {}),
        ("late", {"segment": "late"}),
        ("greedy", {"sampling": {"temperature": 0.0}}),
    ):
        decide(ledger, name, 10.0, **more)
    decide(ledger, "refused", 10.0, taken=False)
    ledger.take(*(generation(name, 10.0) for name in ("copied", "silent")))
    ledger.take(
        feedback("k", "taken", Kept(fraction=0.5, horizon_seconds=5.0), 16.0),
        feedback("kg", "greedy", Kept(fraction=0.5, horizon_seconds=5.0), 16.0),
        feedback("c", "copied", Copied(), 16.0),
        feedback("ck", "copied", Kept(fraction=0.25, horizon_seconds=5.0), 16.0),
        partition=FEEDBACK,
    )


def rows(ledger: Ledger) -> dict[str, Any]:
    with ledger.store.reading() as view:
        found = view.execute(
            "SELECT generation_id, reward, parts, stage, fate, undecided,"
            " CASE WHEN stage = 'open' THEN due END FROM episodes"
        ).fetchall()
    return {name: rest for name, *rest in found}


def test_what_waits_is_as_in_a_fresh_replay(ledger: Ledger, tmp_path: Path) -> None:
    """Rewards, parts, stages, fates and horizons are those of a state that never knew the old spec."""
    traffic(ledger)
    again = change(ledger, NEW)
    fresh = open_daemon_ledger(tmp_path / "fresh.db")
    change(fresh, NEW)
    traffic(fresh)
    assert rows(ledger) != rows(fresh)
    again.step(100.0)
    assert rows(ledger) == rows(fresh)
    assert ledger.ask(ROW, "taken") == (0.625, "ready", "waiting", NEW.version)
    assert ledger.ask(ROW, "copied")[:2] == (0.25, "ready"), "its kind decides now"
    assert ledger.ask(ROW, "late")[1] == "scored", "it waits for as long as the spec says"
    assert ledger.ask(ROW, "greedy")[:3] == (0.625, "closed", "excluded:greedy")
    assert ledger.close(read_past=400.0) == 1
    assert ledger.ask(ROW, "silent")[:2] == (None, "open"), "by the new horizon"
    fresh.store.close()


def test_it_is_the_same_on_postgresql(ledger: Ledger, postgres_url: str) -> None:
    """Where several daemons write, rows are held while they are scored; what comes of it is the same."""
    shared = open_daemon_ledger(new_schema(postgres_url))
    with shared.store.transaction() as tx:
        shared.ends = shared.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    for one in (ledger, shared):
        traffic(one)
        change(one, NEW).step(100.0)
    assert rows(shared) == rows(ledger)
    shared.store.close()


def test_no_batch_mixes_two_specs(ledger: Ledger) -> None:
    """While only some of what waits was scored again, a batch is of these alone."""
    for number in range(6):
        decide(ledger, f"old{number}", 10.0 + number)
    again = change(ledger, NEW)
    for number in range(3):
        decide(ledger, f"new{number}", 100.0 + number)
    assert seal_now(ledger, 6, spec_version=NEW.version) is None
    batch = seal_now(ledger, 3, spec_version=NEW.version)
    assert (batch.spec_version, len(batch.episodes)) == (NEW.version, 3)
    assert seal_now(ledger, 7) is None, "one spec alone where none is asked for, too"
    again.step(200.0)
    batch = seal_now(ledger, 6, spec_version=NEW.version)
    assert batch.spec_version == NEW.version
    assert {one.generation_id for one in batch.episodes} == {f"old{n}" for n in range(6)}


def test_a_sealed_batch_keeps_its_rewards_and_comparisons_take_the_new(ledger: Ledger) -> None:
    """What is frozen is not touched; what an answer is worth to a comparison is by the new spec."""
    traffic(ledger)
    ledger.close(read_past=111.0)
    sealed = seal_now(ledger, 2)
    content = ledger.ask("SELECT content, hash FROM batches")
    change(ledger, NEW).step(200.0)
    assert ledger.ask("SELECT content, hash FROM batches") == content
    for one in sealed.episodes:
        assert ledger.ask(ROW, one.generation_id)[0::3] == (one.reward, SPEC.version)
    latest = f"SELECT {LATEST}, late_spec FROM episodes WHERE generation_id = ?"
    assert ledger.ask(latest, "taken") == (0.625, NEW.version)
    assert ledger.ask(latest, "copied") == (0.25, NEW.version), "censored, and yet read"
    assert ledger.ask(ROW, "copied")[2] == "censored:no_decision"


def test_what_was_forgotten_keeps_its_reading_and_its_spec(ledger: Ledger) -> None:
    """Without its content it cannot be scored again: the row names the spec that it is by."""
    decide(ledger, "g", 10.0)
    seal_now(ledger, 1)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET content = NULL")
        tx.execute("DELETE FROM contents")
    change(ledger, NEW).step(200.0)
    assert ledger.ask("SELECT reward, spec_version, late_spec FROM episodes") == (
        1.0,
        SPEC.version,
        None,
    )


def test_it_goes_in_bounded_pieces_and_on_after_a_restart(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step looks at so many and lets ingest have its turn; a restart goes on, newest first."""
    monkeypatch.setattr(rescore, "AT_ONCE", 2)
    monkeypatch.setattr(rescore, "SECONDS", 0.0)
    for number in range(5):
        decide(ledger, f"g{number}", 10.0 + number)
    again = change(ledger, NEW)
    again.step(100.0)
    assert again.told() == {"looked": 2, "scored": 2}
    assert [ledger.ask(ROW, f"g{n}")[3] == NEW.version for n in range(5)] == [False] * 3 + [
        True
    ] * 2
    decide(ledger, "came", 50.0)
    again = change(ledger, NEW)
    for turn in range(10):
        again.step(101.0 + turn)
    assert again.told() is None
    with ledger.store.reading() as view:
        done = find_rescoring(view, "policy")
    assert done is not None
    assert (done.looked, done.scored, done.ended is not None) == (5, 5, True)
    assert ledger.ask("SELECT MIN(spec_version), MAX(revision) FROM episodes") == (NEW.version, 2)


def test_what_another_daemon_scored_by_its_spec_is_found_later(ledger: Ledger) -> None:
    """A member that still has the old spec adds to what waits: a minute later that is scored again."""
    again = change(ledger, NEW)
    again.step(100.0)
    change(ledger, SPEC)
    decide(ledger, "stray", 10.0)
    again.step(120.0)
    assert ledger.ask(ROW, "stray")[3] == SPEC.version
    again.step(161.0)
    assert ledger.ask(ROW, "stray")[3] == NEW.version


def test_the_same_spec_scores_nothing_again(ledger: Ledger) -> None:
    """A restart without a change leaves every revision as it is."""
    traffic(ledger)
    before = rows(ledger), ledger.ask("SELECT SUM(revision), SUM(revised) FROM episodes")
    change(ledger, SPEC).step(100.0)
    assert (
        rows(ledger),
        ledger.ask("SELECT SUM(revision), SUM(revised) FROM episodes"),
    ) == before


def test_a_value_for_silence_goes_with_the_spec(ledger: Ledger) -> None:
    """An answer that was trained on nobody's decision waits again, and gets the new spec's value."""
    old = msgspec.structs.replace(NEW, name="old", undecided={"title": 0.9})
    change(ledger, old)
    ledger.take(generation("t", 10.0, segment="title"))
    ledger.close(read_past=511.0)
    assert ledger.ask(ROW, "t")[:2] == (0.9, "ready")
    change(ledger, NEW).step(600.0)
    ledger.close(read_past=512.0)
    assert ledger.ask(ROW, "t") == (0.3, "ready", "waiting", NEW.version)
