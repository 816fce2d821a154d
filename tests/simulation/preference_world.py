"""Preference world: what the gate says of versions whose worth is known, by held-out users' decisions.

`python -m preference_world` prints the table of docs/statistics.md. A table of styles learns a batch of answers
without log-probabilities by KTO, the learner's own; users who taught it nothing judge others. Everybody has a
leniency of his own, asks mostly for one kind of work, and comes back.
"""

import argparse
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog
import torch
from lane_lives import KINDS, ROUND, STYLES, LaneCase, TableLife

from rlwd.learner.candidate import Candidate, Preference, Probe
from rlwd.learner.concordance import JudgedAnswer, concordance
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.ops.engine.port import Proof
from rlwd.ops.statistics.gate import GateSettings, judge
from rlwd.ops.statistics.verdict import VerdictKind

USERS = (10, 20, 40)
KTO = LaneSettings(kto=1.0, dpo=0.0)


class Truth(NamedTuple):
    """What people do, and what was said to the learner."""

    name: str
    wanted: float | None
    """How likely the style wanted is accepted; None: people decide by leniency and coin alone."""
    other: float = 0.0
    """How likely any other."""
    flipped: bool = False
    """Whether those who teach say the opposite."""


TRUTHS = (
    Truth("nothing to learn: a coin, each user's own", None),
    Truth("wanted 0.85, other 0.45", 0.85, 0.45),
    Truth("wanted 1, other 0", 1.0, 0.0),
    Truth("wanted 0.85, other 0.45, taught the opposite", 0.85, 0.45, True),
    Truth("wanted 1, other 0, taught the opposite", 1.0, 0.0, True),
)


class World:
    """A policy that has answers of its own, and a crowd."""

    def __init__(self, truth: Truth, seed: int) -> None:
        self.truth, self.draw = truth, random.Random(f"preferences/{truth.name}/{seed}")
        self.life = TableLife(LaneCase("kto", KTO, 0.0), seed)
        table = self.life.learner.model.table
        with torch.no_grad():
            for kind in range(KINDS):
                table[kind] = torch.tensor([self.draw.gauss(0, 1) for _ in range(STYLES)])
        self.before = self._logp()

    def preferences(self) -> dict[int, Preference | None]:
        """Teach a batch, and return what so many other users' decisions say of the step."""
        taught = [one for user in range(ROUND // 3) for one in self._asked(user, teaches=True)]
        self.life.learn(
            SealedBatch(
                batch_id=1,
                policy="policy",
                parent_sequence=0,
                spec_version="lanes@0",
                episodes=tuple(taught),
                held_out=(),
                offsets={},
            )
        )
        raised = self._logp() - self.before
        others = [one for user in range(max(USERS)) for one in self._asked(user, teaches=False)]
        judged = [
            JudgedAnswer(
                one.segment,
                one.person,
                one.earned,
                float(raised[one.prompt_token_ids[0], one.completion_token_ids[0]]),
            )
            for one in others
        ]
        return {
            count: concordance([one for one in judged if int(str(one.user)) <= count])
            for count in USERS
        }

    def _asked(self, user: int, *, teaches: bool) -> list[SealedEpisode]:
        draw, leniency, home = self.draw, self.draw.random(), self.draw.randrange(KINDS)
        return [
            self._answer(user, number, leniency, home if draw.random() < 0.8 else None, teaches)
            for number in range(draw.choice((1, 2, 3, 6)))
        ]

    def _answer(
        self, user: int, number: int, leniency: float, home: int | None, teaches: bool
    ) -> SealedEpisode:
        kind = self.draw.randrange(KINDS) if home is None else home
        (style,) = self.draw.choices(range(STYLES), self.before[kind].exp().tolist())
        chance = leniency
        if self.truth.wanted is not None:
            wanted = style == self.life.wanted[kind]
            chance = self.truth.wanted if wanted else self.truth.other
        liked = (self.draw.random() < chance) is not (teaches and self.truth.flipped)
        return SealedEpisode(
            generation_id=f"{teaches}.{user}.{number}",
            segment=str(kind),
            version="policy@v000000-00000000",
            age=0,
            prompt_token_ids=(kind,),
            completion_token_ids=(style,),
            logprobs=(),
            temperature=0.0,
            reward=float(liked),
            reward_revision=1,
            lane="kto",
            person=user + 1,
        )

    def _logp(self) -> torch.Tensor:
        return self.life.learner.model.table.detach().log_softmax(-1)


def verdict(found: Preference | None) -> str:
    """Return what the gate does: `whole` or `smaller` first step, or `refused`."""
    digest = "abcdef01" * 8
    candidate = Candidate(
        version=f"policy@v000001-{digest[:8]}",
        sequence=1,
        digest=digest,
        path=Path(),
        probe=Probe(token_ids=(1, 2), logprobs=(-1.0,)),
        held_out=None,
        preference=found,
        metrics={},
    )
    proofs = [Proof(url="one", served=True, difference=0.0, reason="")]
    settings = GateSettings(require_held_out=True)
    said = judge(candidate, adapter_problem=None, proofs=proofs, settings=settings)
    named = {VerdictKind.PASS: "whole", VerdictKind.FAIL: "refused"}
    return named.get(said.outcome, "smaller")


def shares(truth: Truth, worlds: int) -> Mapping[int, Counter[str]]:
    """Return how often the gate says what, by the number of users held out."""
    said = {count: Counter[str]() for count in USERS}
    for seed in range(worlds):
        for count, found in World(truth, seed).preferences().items():
            said[count][verdict(found)] += 1
    return said


def row(truth: Truth, said: Mapping[int, Counter[str]], worlds: int) -> str:
    """Return a line of the page."""
    cells = [f"{said[n][what] / worlds:.3f}" for n in USERS for what in ("whole", "refused")]
    return f"| {truth.name} | {' | '.join(cells)} |"


def main(truths: Sequence[Truth] = TRUTHS) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=400)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    heads = " | ".join(f"{n} users: passes | refused" for n in USERS)
    print(f"| truth | {heads} |")
    print("| --- |" + " ---: |" * 2 * len(USERS))
    for truth in truths:
        print(row(truth, shares(truth, asked.worlds), asked.worlds), flush=True)


if __name__ == "__main__":
    main()
