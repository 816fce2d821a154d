"""Batches at the edges: each is applied or given up by name, all numbers are finite, and learning goes on."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.process.protocol import Checkpointed
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.learner.trust_region import PRESETS
from rlwd.streams.join import fate

MakeBatch = Callable[..., SealedBatch]
Seal = Callable[[SealedBatch], Path]
Change = Callable[[int, SealedEpisode], SealedEpisode]


def given(**changes: Any) -> Change:
    """Change each episode alike."""
    return lambda _, one: msgspec.structs.replace(one, **changes)


def by_place(change: Callable[[int, SealedEpisode], dict[str, Any]]) -> Change:
    """Change each episode by its place in the batch."""
    return lambda n, one: msgspec.structs.replace(one, **change(n, one))


def logprobs_of(value: float) -> Change:
    """Let the engine have said the same of every token."""
    return by_place(lambda _, one: {"logprobs": (value,) * len(one.logprobs)})


TRAINED: dict[str, Change] = {
    "as ever": given(),
    "one token": by_place(
        lambda _, one: {
            "completion_token_ids": one.completion_token_ids[:1],
            "logprobs": one.logprobs[:1],
        }
    ),
    "sure of each token": logprobs_of(0.0),
    "a segment each": by_place(lambda n, one: {"segment": f"segment {n}"}),
    "what an engine says of an impossible token": logprobs_of(-9999.0),
    "the oldest that is taken": given(age=8),
    "no segment": given(segment=""),
    "hot": given(temperature=1e6),
    "one prompt": given(prompt_token_ids=(5, 6)),
    "releases of the product": by_place(lambda n, _: {"harness": f"h{n % 5}", "confound": 0.3}),
    "nearly all of the weight on one": by_place(lambda n, _: {"weight": 1e3 if n == 0 else 1e-3}),
}
LEFT_OUT: dict[str, tuple[Change, str]] = {
    "too old by one": (given(age=9), fate.TOO_OLD),
    "of one reward": (given(reward=1.0), fate.NO_SPREAD),
    "rewards that only rounding tells apart": (
        by_place(lambda n, _: {"reward": 0.5 + n * 1e-15}),
        fate.NO_SPREAD,
    ),
    "hardly any weight": (given(weight=1e-300), fate.NO_WEIGHT),
    "cold": (given(temperature=0.05), fate.LOW_ESS),
}


def changed(batch: SealedBatch, change: Change) -> SealedBatch:
    return msgspec.structs.replace(
        batch,
        episodes=tuple(change(n, one) for n, one in enumerate(batch.episodes)),
        held_out=tuple(change(n, one) for n, one in enumerate(batch.held_out)),
    )


def with_settings(worker: Worker, **changes: Any) -> None:
    learner = msgspec.structs.replace(worker.settings.learner, **changes)
    worker.learner.settings = learner
    for one in worker.learner.estimators.named().values():
        if hasattr(one, "settings"):
            one.settings = learner


def test_each_edge_and_each_region_is_applied(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Seal
) -> None:
    """Every preset meets every kind of batch in turn, each by another estimator, and gives finite numbers."""
    worker = Worker(child_settings)
    regions, estimators = list(PRESETS), list(worker.learner.estimators.named())
    for place, (name, change) in enumerate(TRAINED.items()):
        with_settings(
            worker,
            trust_region=regions[place],
            estimator=estimators[place % 4],
            ess_floor=0.0,
            negative_weight=1.0,
        )
        before = worker.learner.snapshot().weights
        report = worker.apply(sealed(changed(make_batch(place + 1), change)))
        assert isinstance(report, Checkpointed), f"{name}: {report}"
        made = read_manifests(worker.folder)[-1]
        assert all(math.isfinite(value) for value in made.metrics.values()), name
        after = worker.learner.snapshot().weights
        assert all(tensor.isfinite().all() for tensor in after.values()), name
        assert any(not torch.equal(after[n], before[n]) for n in after), name


def test_each_edge_that_cannot_be_learned_from_has_its_rule(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Seal
) -> None:
    """The batch is skipped by name, nothing moves, and the next one is learned from."""
    worker = Worker(child_settings)
    with_settings(worker, trust_region="decoupled", negative_weight=1.0)
    was = worker.learner.snapshot()
    for number, (name, (change, rule)) in enumerate(LEFT_OUT.items(), 1):
        batch = changed(make_batch(number), change)
        report = worker.apply(sealed(batch))
        made = read_manifests(worker.folder)[-1]
        assert made.skipped[-1] == number, f"{name}: {report}"
        assert {made.left_out[one.generation_id] for one in batch.episodes} == {rule}, name
        now = worker.learner.snapshot()
        assert all(torch.equal(now.weights[n], each) for n, each in was.weights.items()), name
        assert now.estimators[0] == was.estimators[0], name
    assert isinstance(worker.apply(sealed(make_batch(90))), Checkpointed)


def test_one_episode(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Seal
) -> None:
    """Advantages are centred, so it says nothing, and is not taken for ratios that are worth nothing."""
    worker = Worker(child_settings)
    worker.apply(sealed(make_batch(1)))
    for number, held_out in ((2, 0), (3, 2)):
        worker.apply(sealed(make_batch(number, episodes=1, held_out=held_out)))
        made = read_manifests(worker.folder)[-1]
        assert made.skipped[-1] == number
        assert made.left_out[f"s{number}.g0"] == fate.NO_SPREAD
    assert isinstance(worker.apply(sealed(make_batch(4))), Checkpointed)


def test_a_batch_of_nothing_but_evidence(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Seal
) -> None:
    """Without an episode to learn from no version is made, and the learner goes on."""
    worker = Worker(child_settings)
    batch = msgspec.structs.replace(make_batch(1, held_out=3), episodes=())
    worker.apply(sealed(batch))
    assert read_manifests(worker.folder)[-1].skipped == (1,)


def test_exactly_the_floor_is_enough(
    child_settings: LearnerProcessSettings, make_batch: MakeBatch, sealed: Seal
) -> None:
    """A batch whose ratios are worth what the floor asks for is learned from; a hair above, it is not."""
    worker = Worker(child_settings)
    worker.apply(sealed(make_batch(1)))
    worth = read_manifests(worker.folder)[-1].metrics["ess/before"]
    for floor, made in ((worth, True), (math.nextafter(worth, 2.0), False)):
        fresh = Worker(
            msgspec.structs.replace(child_settings, folder=f"{child_settings.folder}-{made}")
        )
        with_settings(fresh, ess_floor=floor)
        assert isinstance(fresh.apply(sealed(make_batch(1))), Checkpointed) is made
