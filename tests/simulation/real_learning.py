"""Real learning: one fold of people on the production path, from records to scores of people unseen.

Records go through the embedded log, the join and the rewards; what some people decided is sealed into
one batch, which the learner's worker applies with its KTO lane to a checkpoint; what the others decided
is sealed likewise, and scored by the base model and by the version that was learned.
"""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import torch

from rlwd.daemon.commands.replay import FEEDBACK, GENERATIONS, drain
from rlwd.learner.lanes.dealt_part import without_ratio
from rlwd.learner.ledger import checkpoints_table, seal
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.lane_choice import LaneRules
from rlwd.learner.process.protocol import BatchFailed, StepsDone
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerProcessSettings, LearnerSettings
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.answers.answer_tallies import count_fates
from rlwd.streams.events.event import Event, FeedbackEvent, encode_event
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from rlwd.streams.open import open_store

POLICY = "people"
LEDGER = (*checkpoints_table.MIGRATIONS, *seal.MIGRATIONS)


class Likelihood(msgspec.Struct, frozen=True, kw_only=True):
    """Log-probability of a suggestion, before learning and after."""

    id: str
    """Id of its generation."""
    reward: float
    """What the decision was worth."""
    tokens: int
    """Tokens summed over."""
    base: float
    """Under the base model."""
    learned: float
    """Under the version that was learned."""


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one fold."""

    fold: int
    """Its number, from 0."""
    held_out: tuple[str, ...]
    """Hashes of the people whom nothing was learned from."""
    settings: LearnerSettings
    """How it was learned; the model's folder is left out."""
    prompt_tokens: int
    """What of a prompt was read."""
    taught: int
    """Decisions that were learned from."""
    fates: dict[str, int]
    """How the generations of those learned from ended."""
    likelihoods: tuple[Likelihood, ...]
    """Of the decisions of those held out."""
    metrics: dict[str, float]
    """The update's own."""
    learning_seconds: float
    """Of the update."""
    seconds: float
    """Of all."""


def learn_fold(
    events: Sequence[Event],
    held_out: Sequence[str],
    settings: LearnerSettings,
    folder: Path,
    *,
    fold: int,
    prompt_tokens: int,
) -> FoldResult:
    """Learn from all but the people held out, and score what these decided.

    Raises ValueError where the learner gives the batch up.
    """
    began, unseen = time.monotonic(), set(held_out)
    sessions = {
        one.data.session_id: one.data.user_hash
        for one in events
        if not isinstance(one, FeedbackEvent)
    }
    of_unseen = [one for one in events if sessions.get(one.data.session_id or "") in unseen]
    others = [one for one in events if sessions.get(one.data.session_id or "") not in unseen]
    rules = LaneRules(settings=settings.lanes)
    told = LearnerProcessSettings(
        learner=settings, policy=POLICY, folder=str(folder / "checkpoints"), lease_epoch=1
    )
    worker = Worker(told)
    batch, fates = sealed(others, folder / "others", rules, worker.head.sequence)
    path = folder / "batch.json"
    path.write_bytes(msgspec.json.encode(batch))
    learning = time.monotonic()
    made = worker.apply(path, _tell)
    if isinstance(made, BatchFailed):
        raise ValueError(f"fold {fold}: the learner gave the batch up: {made.reason}")
    learned = time.monotonic() - learning
    # Who decided much is left out of no measurement: a batch's share of one person is for learning.
    asked, _ = sealed(of_unseen, folder / "unseen", rules, 0, user_share=1.0)
    return FoldResult(
        fold=fold,
        held_out=tuple(sorted(held_out)),
        settings=msgspec.structs.replace(settings, model=Path(settings.model).name),
        prompt_tokens=prompt_tokens,
        taught=len(batch.episodes),
        fates=fates,
        likelihoods=likelihoods(worker.learner, asked.episodes),
        metrics=worker.head.metrics,
        learning_seconds=learned,
        seconds=time.monotonic() - began,
    )


def sealed(
    events: Iterable[Event],
    folder: Path,
    rules: LaneRules,
    parent: int,
    *,
    user_share: float = BatchSettings().user_share,
) -> tuple[SealedBatch, dict[str, int]]:
    """Take events in as the daemon does, and seal all that some lane learns from; with the fates.

    `user_share` is the batch's: what of one person is beyond it is in no batch.

    Raises ValueError where that is nothing.
    """
    folder.mkdir(parents=True)
    sink = EmbeddedSink(folder / "log.db")
    for event in events:
        topic = FEEDBACK if isinstance(event, FeedbackEvent) else GENERATIONS
        sink.send(topic, event.data.session_id or "", encode_event(event))
    sink.flush(60.0)
    sink.close()
    spec = reward_spec("")
    store = open_store(folder / "rlwd.db", {"daemon": LEDGER})
    joiner = Joiner(POLICY, Scorer(spec), spec.decision_seconds, admitted=rules.admitted)
    ingest = Ingest(
        store, joiner, partial(EmbeddedSource, folder / "log.db", (GENERATIONS, FEEDBACK))
    )
    drain(ingest)
    ingest.source.close()
    every = BatchSettings(episodes=1, at_most=100_000, held_out=0.0, user_share=user_share)
    with store.transaction() as tx:
        batch = seal.seal(
            *(tx, POLICY, every),
            parent_sequence=parent,
            max_policy_age=0,
            age=lambda version: None,
            now=time.time(),
            lanes=rules,
        )
        fates = count_fates(tx, POLICY)
    store.close()
    if batch is None:
        raise ValueError(f"nothing here can be learned from: {json.dumps(fates)}")
    return batch, fates


def likelihoods(learner: Learner, episodes: Sequence[SealedEpisode]) -> tuple[Likelihood, ...]:
    """Score episodes under the base model and under the present weights."""
    plain = [without_ratio(one) for one in episodes]
    with learner.policy.as_anchor():
        base = score(learner, plain).logp
    learned = score(learner, plain).logp
    return tuple(
        Likelihood(
            id=one.generation_id,
            reward=one.reward,
            tokens=len(one.completion_token_ids),
            base=_total(before),
            learned=_total(after),
        )
        for one, before, after in zip(episodes, base, learned, strict=True)
    )


def _tell(done: StepsDone) -> None:
    print(f"step {done.done} of {done.of}", file=sys.stderr, flush=True)


def _total(logp: torch.Tensor) -> float:
    return float(logp.double().sum())
