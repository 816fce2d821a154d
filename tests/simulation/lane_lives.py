"""Lives of a table of styles that learns by one lane or by several; everything but the model is the learner's.

A crowd wants one of five styles in each of four kinds of work. A row of the table is what the policy says
to a kind; another, which says almost only one style, what it says to the same kind once somebody has
written back for that style. What an answer may be used for is told by the case.
"""

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import msgspec
import torch
from torch import Tensor

from rlwd.learner.estimators.side_by_side import Estimators
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.lanes.dealt_part import without_ratio
from rlwd.learner.lanes.hindsight import HindsightPart
from rlwd.learner.lanes.imitation import ImitationPart
from rlwd.learner.lanes.kto import KtoPart, kto_episodes
from rlwd.learner.lanes.preference import PreferencePart
from rlwd.learner.lanes.tensors import OwnTensors
from rlwd.learner.ranks.group import ALONE
from rlwd.learner.sealed import Correction, SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.state import Learner
from rlwd.learner.train.steps import BatchGivenUp, LanePart, LaneParts
from rlwd.learner.train.update import apply_batch

KINDS, STYLES, ROUND = 4, 5, 192
SURE = 4.0
"""Logit of the style that was asked for, over the others."""
OFF = LaneSettings(kto=0.0, dpo=0.0)


class Accepts(NamedTuple):
    """How likely somebody accepts an answer."""

    wanted: float = 1.0
    """Of the style wanted."""
    other: float = 0.0
    """Of any other."""


class LaneCase(NamedTuple):
    """What is known of the answers, and what is learned from."""

    name: str
    lanes: LaneSettings
    ratio: float
    """Share of the answers with usable log-probabilities."""
    edits: float = 0.0
    """Share of the rejected answers that somebody edits into the style wanted."""
    replies: float = 0.0
    """Share of the rejected answers that somebody writes back about."""
    greedy: bool = False
    """Whether every answer is the likeliest one."""


SURELY = Accepts()


class TableModel:
    """As much of `Policy` as the learner asks of it."""

    def __init__(self) -> None:
        self.anchor = torch.zeros(KINDS + KINDS * STYLES, STYLES)
        for row in range(KINDS * STYLES):
            self.anchor[KINDS + row, row % STYLES] = SURE
        self.table = self.anchor.clone().requires_grad_()
        self.head_VD, self.packs, self._anchored = torch.eye(STYLES), True, False
        self.vocabulary, self.device = len(self.anchor), torch.device("cpu")
        self.anchor_head_VD: Tensor | None = None
        self.mixture = None

    def trainable(self) -> dict[str, Tensor]:
        return {"table": self.table}

    def settle(self) -> None:
        pass

    def hidden(
        self, ids_BT: Tensor, positions_BT: Tensor, experts_BTLK: Tensor | None = None
    ) -> Tensor:
        return (self.anchor if self._anchored else self.table)[ids_BT]

    @contextlib.contextmanager
    def as_anchor(self) -> Iterator[None]:
        self._anchored = True
        with torch.no_grad():
            yield
        self._anchored = False


class TableLearner(Learner):
    """A learner whose policy is a table."""

    def __init__(self, settings: LearnerSettings) -> None:
        self.settings, self.model = settings, TableModel()
        self.policy = cast("Any", self.model)
        self.average, self.estimators, self.ranks = None, Estimators.new(settings), ALONE
        self.between = lambda together: None
        self.optimizer = torch.optim.AdamW(
            [self.model.table], lr=settings.learning_rate, eps=settings.eps, weight_decay=0.0
        )

    def probe(self) -> Any:
        return None


class Said(NamedTuple):
    """What a policy said to somebody."""

    segment: str
    """The kind of work."""
    prompt: tuple[int, ...]
    """Tokens read."""
    completion: tuple[int, ...]
    """Tokens written."""
    logprobs: tuple[float, ...]
    """Of each of these."""
    as_wanted: bool
    """Whether it is what the crowd wants."""
    correction: Correction | None = None
    """What an edit makes of it, where the policy has words."""


class LaneLife:
    """One policy and its crowd; what the policy is, its kind says."""

    def __init__(self, case: LaneCase, seed: int, accepts: Accepts = SURELY) -> None:
        self.accepts = accepts
        self.case, self.draw = case, random.Random(f"lanes/{case.ratio}/{seed}")
        self.served = 0

    def live(self, most: int) -> tuple[int | None, list[float]]:
        """Return the answers until 0.80 of a round were as wanted, and every round's share."""
        shares, until = list[float](), None
        while self.served < most:
            said = self.say(ROUND)
            answers = [self._answer(index, one) for index, one in enumerate(said)]
            shares.append(sum(one.as_wanted for one in said) / ROUND)
            if until is None and shares[-1] >= 0.8:
                until = self.served
            self.served += ROUND
            self._learn([one for one in answers if one.lane])
        return until, shares

    def say(self, count: int) -> list[Said]:
        """Answer so many of the crowd."""
        raise NotImplementedError

    def learn(self, batch: SealedBatch) -> None:
        """Apply a sealed batch; BatchGivenUp where nothing in it can be learned from."""
        raise NotImplementedError

    def _answer(self, index: int, said: Said) -> SealedEpisode:
        on = self.case.lanes
        chance = self.accepts.wanted if said.as_wanted else self.accepts.other
        liked = self.draw.random() < chance
        ratio = self.draw.random() < self.case.ratio
        edited = self.draw.random() < self.case.edits and not liked
        replied = self.draw.random() < self.case.replies and not liked and not edited
        names = ["ratio"] * ratio
        if edited and on.dpo:
            names.append("dpo")
        if not ratio and on.kto and "dpo" not in names:
            names.append("kto")
        if not ratio and on.sft and liked:
            names.append("sft")
        if replied and on.hindsight:
            names.append("hindsight")
        return SealedEpisode(
            generation_id=f"r{self.served}.g{index}",
            segment=said.segment,
            version="policy@v000000-00000000",
            age=0,
            prompt_token_ids=said.prompt,
            completion_token_ids=said.completion,
            logprobs=said.logprobs if ratio else (),
            temperature=1.0,
            reward=float(liked),
            reward_revision=1,
            lane="+".join(names),
            correction=said.correction if "dpo" in names else None,
        )

    def _learn(self, episodes: list[SealedEpisode]) -> None:
        batch = SealedBatch(
            batch_id=self.served // ROUND,
            policy="policy",
            parent_sequence=0,
            spec_version="lanes@0",
            episodes=tuple(episodes),
            held_out=(),
            offsets={},
        )
        with contextlib.suppress(BatchGivenUp):  # Nothing in it could be learned from.
            self.learn(batch)


class TableLife(LaneLife):
    """A life of a table of styles."""

    def __init__(self, case: LaneCase, seed: int, accepts: Accepts = SURELY) -> None:
        super().__init__(case, seed, accepts)
        settings = LearnerSettings(
            learning_rate=0.05, warmup_steps=0, eps=1e-5, seed=seed, lanes=case.lanes
        )
        self.learner = TableLearner(settings)
        self.wanted = [self.draw.randrange(STYLES) for _ in range(KINDS)]

    def say(self, count: int) -> list[Said]:
        """Answer, each with a token that is a style."""
        kinds = [self.draw.randrange(KINDS) for _ in range(count)]
        logp = self.learner.model.table.detach().log_softmax(-1)
        styles = [self.draw.choices(range(STYLES), logp[kind].exp().tolist())[0] for kind in kinds]
        return [
            Said(str(k), (k,), (style,), (float(logp[k, style]),), style == self.wanted[k])
            for k, style in zip(kinds, styles, strict=True)
        ]

    def learn(self, batch: SealedBatch) -> None:
        """Apply a batch with the lanes' own parts, but without their texts."""
        apply_batch(self.learner, batch, lanes=self._parts)

    def _parts(
        self, learner: Learner, episodes: Sequence[SealedEpisode], batch_id: int
    ) -> LaneParts:
        """As `lane_parts`; a table has no words, so an edit is the style and a reply a row."""
        by_lane = {
            name: [one for one in episodes if one.in_lane(name)]
            for name in ("dpo", "sft", "hindsight")
        }
        parts = list[LanePart]()
        if liked := kto_episodes(episodes):
            parts.append(KtoPart(OwnTensors(learner), liked, batch_id=batch_id))
        if edited := by_lane["dpo"]:
            pairs = [
                (without_ratio(one, completion=(self._wish(one),)), without_ratio(one))
                for one in edited
            ]
            parts.append(PreferencePart(OwnTensors(learner), pairs, batch_id=batch_id))
        if taken := by_lane["sft"]:
            parts.append(ImitationPart(OwnTensors(learner), taken, batch_id=batch_id))
        if replied := by_lane["hindsight"]:
            told = [
                (one, msgspec.structs.replace(one, prompt_token_ids=(self._told(one),)))
                for one in replied
            ]
            parts.append(HindsightPart(OwnTensors(learner), told, batch_id=batch_id))
        return LaneParts(parts, {})

    def _wish(self, episode: SealedEpisode) -> int:
        return self.wanted[episode.prompt_token_ids[0]]

    def _told(self, episode: SealedEpisode) -> int:
        return KINDS + episode.prompt_token_ids[0] * STYLES + self._wish(episode)
