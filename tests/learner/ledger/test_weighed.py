"""From records on the log to a sealed batch: what each answer counts, and what people are told of it."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import FEEDBACK, decide, open_daemon_ledger
from ledger_by_hand import SPEC, Ledger, feedback, generation
from places_by_hand import new_schema

from rlwd.daemon.explain.explain import explain
from rlwd.daemon.status.snapshot import describe
from rlwd.daemon.status.tallies import Counting
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.learner.ledger.weighed import Trust
from rlwd.learner.sealed import SealedBatch
from rlwd.rewards.spec.spec import Spec
from rlwd.rewards.spec.verification import TrustProfile
from rlwd.rewards.trust.settings import TrustSettings
from rlwd.streams.events.signals import Accepted, Asked, Rejected

SETTINGS = BatchSettings(episodes=20, at_most=2000, held_out=0.0, user_share=1.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger with the daemon's tables."""
    return open_daemon_ledger(tmp_path / "rlwd.db")


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """The same, on each kind of state database in turn."""
    place = tmp_path / "rlwd.db"
    sqlite = request.param == "sqlite"
    opened = open_daemon_ledger(
        place if sqlite else new_schema(request.getfixturevalue("postgres_url"))
    )
    yield opened
    opened.store.close()


def sealed_now(ledger: Ledger, trust: Trust | None) -> SealedBatch:
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            SETTINGS,
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=1e6,
            trust=trust,
        )
    assert batch is not None
    return batch


def crowd(ledger: Ledger, count: int = 40, **more: Any) -> None:
    """One answer each to so many people, half of them taken."""
    for i in range(count):
        given = {"user_hash": f"user-{i}", "prompt_token_ids": tuple(range(i, i + 9)), **more}
        decide(ledger, f"p{i}", 1000.0 + 60.0 * i, taken=i % 2 == 0, **given)


def burst(ledger: Ledger, count: int = 60) -> None:
    """One user decides on so many answers within seconds."""
    for i in range(count):
        given = {"user_hash": "loud", "prompt_token_ids": (7, i, 9)}
        decide(ledger, f"loud{i}", 9000.0 + 0.001 * i * i, taken=i % 3 == 0, **given)


def test_a_burst_is_weighed_down_and_named(either: Ledger) -> None:
    """Posted as records: the batch holds the weights, explain the factors, status and metrics counts."""
    ledger = either
    crowd(ledger)
    burst(ledger)
    batch = sealed_now(ledger, Trust())
    weights = {one.generation_id: one.weight for one in batch.episodes}
    assert all(weights[f"p{i}"] == 1.0 for i in range(40))
    assert sum(weights[f"loud{i}"] for i in range(60)) <= 2 / 41 * sum(weights.values()) + 1e-9
    with ledger.store.reading() as view:
        told = explain(view, "policy", "loud30")["weight"]
        assert told["weight"] == pytest.approx(weights["loud30"])
        assert told["factors"].keys() >= {"burst", "user"}
        assert told["factors"]["burst"] == pytest.approx(1 / 3)
        assert explain(view, "policy", "p3")["weight"]["factors"] == {}
        status = describe(view, "policy")["weights"]
        assert status["weighed_down"]["burst"] == 60
        assert status["newest"][0]["episodes"] == 100
        assert 40 <= status["newest"][0]["effective"] < 46
        assert Counting("policy").tallies(view, 2000.0).weighed["user"] == (60, 60)


def test_sealing_again_decides_the_same(ledger: Ledger, tmp_path: Path) -> None:
    """The same records in another order of arrival give the same weights."""
    crowd(ledger)
    burst(ledger)
    other = open_daemon_ledger(tmp_path / "other.db")
    burst(other)
    crowd(other)
    by_id = [
        {one.generation_id: (one.weight, one.reward, one.confound) for one in batch.episodes}
        for batch in (sealed_now(ledger, Trust()), sealed_now(other, Trust()))
    ]
    assert by_id[0] == by_id[1]


def test_without_trust_all_count_the_same(ledger: Ledger) -> None:
    """Nothing is weighed, nothing written, and explain says so."""
    crowd(ledger)
    batch = sealed_now(ledger, None)
    assert {one.weight for one in batch.episodes} == {1.0}
    with ledger.store.reading() as view:
        assert explain(view, "policy", "p3")["weight"] is None


def test_who_was_asked_stands_for_who_was_not(ledger: Ledger) -> None:
    """Answers of the half of people that are asked with a chance of one in four weigh four times."""
    crowd(ledger)
    for i in range(0, 40, 4):
        asked = Asked(question="thumbs", probability=0.25)
        ledger.take(feedback(f"q{i}", f"p{i}", asked, 1001.0 + 60.0 * i), partition=FEEDBACK)
    weights = {one.generation_id: one.weight for one in sealed_now(ledger, Trust()).episodes}
    assert weights["p0"] / weights["p1"] == pytest.approx(4.0)
    assert sum(weights.values()) == pytest.approx(40.0)


def test_a_signal_that_is_often_wrong_counts_less(ledger: Ledger) -> None:
    """The spec's profile of rejections reaches the batch: they weigh less than acceptances."""
    profile = TrustProfile(veracity=0.7)
    spec = Spec(name="test", parts=SPEC.parts, trust={"rejected": profile})
    crowd(ledger)
    batch = sealed_now(ledger, Trust(verification=spec.verification))
    weights = {one.generation_id: one.weight for one in batch.episodes}
    assert weights["p0"] == 1.0
    assert 0.0 < weights["p1"] < 0.6


def test_a_confound_of_known_size_is_taken_off(ledger: Ledger) -> None:
    """Posted as records: the rate of acceptance falls by 0.2 for each e-fold of latency. What the second
    batch's rewards are freed of, learned from the first, has that slope within 20 %."""
    draw = random.Random(4)
    own: dict[str, float] = {}
    for number in range(2):
        generations, said = [], []
        for i in range(1500):
            name, at = f"b{number}.{i}", 1000.0 + 10_000 * number + i
            own[name] = draw.gauss(0.0, 0.7)
            generations.append(
                generation(
                    name,
                    at,
                    user_hash=f"user-{i % 300}",
                    latency_seconds=math.exp(own[name]),
                    prompt_token_ids=(i, i + 1, i + 2, number),
                )
            )
            signal = Accepted() if draw.random() < 0.5 - 0.2 * own[name] else Rejected()
            said.append(feedback(f"{name}.f", name, signal, at + 0.5))
        ledger.take(*generations)
        ledger.take(*said, partition=FEEDBACK)
        batch = sealed_now(ledger, Trust())
        assert len(batch.episodes) == 1500
        found = [(own[one.generation_id], one.confound) for one in batch.episodes]
        slope = sum(x * c for x, c in found) / sum(x * x for x, _ in found)
        assert slope == pytest.approx(-0.2 if number else 0.0, rel=0.2)
    earned = {one.generation_id: one.earned for one in batch.episodes}
    left = sum(own[name] * value for name, value in earned.items())
    assert abs(left / sum(own[name] ** 2 for name in earned)) < 0.05
    with ledger.store.reading() as view:
        name = batch.episodes[0].generation_id
        assert explain(view, "policy", name)["weight"]["confound"] == batch.episodes[0].confound


def test_a_model_of_who_answers_is_fitted_on_silence_too(either: Ledger) -> None:
    """Slow answers are mostly not decided on; those that are weigh more where the model is on."""
    ledger = either
    draw = random.Random(2)
    for i in range(400):
        slow = bool(i % 2)
        name = f"q{i}"
        given = {"latency_seconds": 4.0 if slow else 0.5, "prompt_token_ids": (i, i + 1, i + 2)}
        ledger.take(generation(name, 1000.0 + i, user_hash=f"user-{i}", **given))
        if draw.random() < (0.25 if slow else 0.8):
            signal = Accepted() if draw.random() < 0.5 else Rejected()
            ledger.take(feedback(f"{name}.f", name, signal, 1000.5 + i), partition=FEEDBACK)
    ledger.close(5000.0)
    # A first batch is sealed, so that what came before the second is known.
    sealed_now(ledger, Trust())
    crowd(ledger, latency_seconds=4.0)
    for i in range(20):
        given = {"latency_seconds": 0.5, "prompt_token_ids": (i, i + 7, i + 5)}
        decide(ledger, f"fast{i}", 9000.0 + i, taken=i % 2 == 0, user_hash=f"fast-{i}", **given)
    on = Trust(settings=TrustSettings(responses="model", confounds=False))
    weights = {one.generation_id: one.weight for one in sealed_now(ledger, on).episodes}
    assert weights["p0"] / weights["fast0"] == pytest.approx(0.8 / 0.25, rel=0.3)


def test_what_a_user_weighed_before_counts(ledger: Ledger) -> None:
    """A user of thirty answers in each of three batches has the median user's weight over all of them, and
    three twentieths of it more with each: hardly anything is left for the second and the third."""
    shares = []
    for number in range(3):
        for i in range(60):
            name, at = f"b{number}.{i}", 10_000.0 * (number + 1) + 60.0 * i
            given: dict[str, Any] = {"user_hash": f"u{number}-{i}" if i % 2 else "loud"}
            given["prompt_token_ids"] = (number, i, i + 1)
            decide(ledger, name, at, taken=i % 3 == 0, **given)
        batch = sealed_now(ledger, Trust())
        names = {f"b{number}.{i}" for i in range(0, 60, 2)}
        shares.append(sum(one.weight for one in batch.episodes if one.generation_id in names))
    assert shares == pytest.approx([1.0, 0.15, 0.15])
