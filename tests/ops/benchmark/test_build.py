"""Drawing a benchmark on either database: which rows are refused by which name, and what a crash leaves."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon_by_hand import FEEDBACK, open_daemon_ledger
from ledger_by_hand import Ledger, feedback, generation
from places_by_hand import new_schema

from rlwd.learner.benchmark_people import has_people
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.ops.benchmark import build
from rlwd.ops.benchmark.benchmark_file import benchmark_names, remove_benchmark
from rlwd.ops.benchmark.build import BenchmarkSource, build_benchmark
from rlwd.ops.benchmark.keeping import keep_benchmarks
from rlwd.ops.benchmark.pool import quotas, within
from rlwd.ops.benchmark.settings import BenchmarkSettings
from rlwd.streams.events.generation import Sampling
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import Accepted, Edited
from rlwd.streams.redaction.privacy import PrivacySettings

SETTINGS = BenchmarkSettings(size=20, least=4, people_share=1.0, per_person=1)


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    sqlite = request.param == "sqlite"
    place = tmp_path / "rlwd.db"
    ledger = open_daemon_ledger(
        place if sqlite else new_schema(request.getfixturevalue("postgres_url"))
    )
    yield ledger
    ledger.store.close()


def give(ledger: Ledger, name: str, *, signal: Any = None, **more: Any) -> None:
    """Answer somebody, and let them take it."""
    now = time.time()
    known: dict[str, Any] = {
        "session_id": name,
        "session_found": "named",
        "user_hash": name,
        "prompt_token_ids": tuple(name.encode()),
        "input": (InputMessage(role="user", text=f"what is {name}"),),
        "purposes": ("count", "train"),
    }
    ledger.take(generation(name, now, **{**known, **more}))
    said = feedback(f"{name}.f", name, signal or Accepted(), now + 0.1)
    ledger.take(said, partition=FEEDBACK, now=now)


def learn(ledger: Ledger, count: int) -> set[str]:
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BatchSettings(episodes=count, held_out=0.0, user_share=1.0),
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=0.0,
        )
    assert batch is not None
    return {one.generation_id for one in batch.episodes}


def source(ledger: Ledger, folder: Path, **more: Any) -> BenchmarkSource:
    return BenchmarkSource(
        store=ledger.store,
        policy="policy",
        folder=folder,
        settings=msgspec.structs.replace(SETTINGS, **more),
        privacy=PrivacySettings(own_words=True),
        spec_version="spec",
        retention_days=30.0,
    )


def test_each_answer_is_refused_by_its_name(ledger: Ledger, tmp_path: Path) -> None:
    """What nobody may use, what cannot be asked again, and what is one of too many."""
    for number in range(6):
        give(ledger, f"taught{number}")
    assert len(learn(ledger, 6)) == 6
    give(ledger, "later", session_id="taught0", user_hash="taught0")
    give(ledger, "two.a", session_id="two")
    give(ledger, "two.b", session_id="two")
    give(ledger, "nobody", user_named=False)
    give(ledger, "long", prompt_token_ids=(1,) * 9000)
    give(ledger, "bent", sampling=Sampling(constrained=True))
    give(ledger, "seen", input=(InputMessage(role="user", text="this", attachments=1),))
    give(ledger, "secret", consent=False, purposes=("count",))
    give(ledger, "title", segment="title")
    give(ledger, "again", user_hash="plain0")
    give(ledger, "edited", signal=Edited(final_text="in my words"))
    for number in range(5):
        give(ledger, f"plain{number}")
    written, built = build_benchmark(
        source(ledger, tmp_path / "b", segments=("default",)), "shop", time.time()
    )
    told = built.manifest
    assert dict(told.refused) == {
        "session_trained": 7,
        "several_people": 2,
        "unnamed_user": 1,
        "too_long": 1,
        "constrained": 1,
        "attachments": 1,
        "no_consent": 1,
        "other_segment": 1,
        "same_person": 1,
    }
    held = {one.generation_id: one for one in built.requests}
    assert (
        {"edited", "plain4"} <= held.keys() <= {"edited", "again", *(f"plain{n}" for n in range(5))}
    )
    assert len(held) == told.people == 6
    assert (held["edited"].edited_to, held["edited"].taken_token_ids) == ("in my words", ())
    assert held["plain4"].taken_token_ids == (3,)
    assert keep_benchmarks(ledger.store, "policy", tmp_path / "b", time.time()) == []
    assert benchmark_names(tmp_path / "b") == [written]
    for number in range(3):
        give(ledger, f"new{number}")
    learned = learn(ledger, 4)
    assert {"new0", "new1", "new2", "two.a"} <= learned
    assert not learned & {*held, "again", "edited", *(f"plain{n}" for n in range(5))}


def test_a_file_without_its_people_is_removed(ledger: Ledger, tmp_path: Path) -> None:
    """A crash between the two leaves a benchmark whose people are learned of; not for long."""
    for number in range(5):
        give(ledger, f"plain{number}")
    written, _ = build_benchmark(source(ledger, tmp_path / "b"), "shop", time.time())
    with ledger.store.transaction() as tx:
        tx.execute("DELETE FROM benchmark_people")
    keep_benchmarks(ledger.store, "policy", tmp_path / "b", time.time())
    assert benchmark_names(tmp_path / "b") == [written]
    (path,) = (tmp_path / "b").glob("*.json")
    os.utime(path, (1.0, 1.0))
    keep_benchmarks(ledger.store, "policy", tmp_path / "b", time.time())
    assert benchmark_names(tmp_path / "b") == []


def test_people_without_their_file_are_learned_of_again(ledger: Ledger, tmp_path: Path) -> None:
    """A crash between file and people when a version goes: nobody is kept out of training for good."""
    for number in range(5):
        give(ledger, f"plain{number}")
    written, _ = build_benchmark(source(ledger, tmp_path / "b"), "shop", time.time())
    keep_benchmarks(ledger.store, "policy", tmp_path / "b", time.time())
    give(ledger, "out", user_hash="plain0")
    remove_benchmark(tmp_path / "b", written)
    keep_benchmarks(ledger.store, "policy", tmp_path / "elsewhere", time.time())
    with ledger.store.reading() as view:
        assert has_people(view, "policy", "shop", 1)
    keep_benchmarks(ledger.store, "policy", tmp_path / "b", time.time())
    assert len(learn(ledger, 6)) == 6


def test_nothing_of_a_session_with_them_is_trained_on(ledger: Ledger, tmp_path: Path) -> None:
    """Somebody joins the conversation later: the prompt begins with what the benchmark asks."""
    for number in range(5):
        give(ledger, f"plain{number}")
    build_benchmark(source(ledger, tmp_path / "b"), "shop", time.time())
    give(ledger, "joins", session_id="plain0")
    give(ledger, "unnamed", session_id="plain1", user_named=False, user_hash="")
    give(ledger, "other")
    assert learn(ledger, 1) == {"other"}


def test_what_came_before_the_time_counts_for_its_session(ledger: Ledger, tmp_path: Path) -> None:
    """A long session: its first answer was trained on, or was somebody else's, before what is drawn from."""
    for number in range(2):
        give(ledger, f"old{number}")
    assert len(learn(ledger, 2)) == 2
    give(ledger, "hers", session_id="both")
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET received = received - 86400.0 * 29")
    give(ledger, "on0", session_id="old0")
    give(ledger, "his", session_id="both")
    for number in range(5):
        give(ledger, f"plain{number}")
    _, built = build_benchmark(source(ledger, tmp_path / "b"), "shop", time.time())
    assert {one.generation_id for one in built.requests} == {f"plain{n}" for n in range(5)}
    assert built.manifest.refused["several_people"] == 1


def test_what_was_sealed_while_all_was_read_is_not_drawn(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another answer of the session is sealed after the pool was read: the session is trained on now."""
    for number in range(5):
        give(ledger, f"plain{number}")
    give(ledger, "second", session_id="plain0", user_hash="plain0")

    def meanwhile(*given: Any) -> Any:
        drawn = within(*given)
        with ledger.store.transaction() as tx:
            tx.execute(
                "UPDATE episodes SET stage = 'sealed' WHERE generation_id IN ('second', 'plain0')"
                " AND generation_id NOT IN (" + ", ".join("?" * len(drawn)) + ")",
                [one.generation_id for one in drawn],
            )
        return drawn

    monkeypatch.setattr(build, "within", meanwhile)
    _, built = build_benchmark(source(ledger, tmp_path / "b"), "shop", time.time())
    assert {one.generation_id for one in built.requests} == {f"plain{n}" for n in range(1, 5)}


def test_small_segments_are_drawn_too() -> None:
    """One of each at least, where there is room."""
    assert quotas(10, {"code": 0.97, "title": 0.02, "chat": 0.01}) == {
        "code": 8,
        "title": 1,
        "chat": 1,
    }
