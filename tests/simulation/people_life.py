"""A life with people: a policy learns from a crowd with habits, on a clock that is passed in.

Real are the people, the policy and its sampling, the records, the join with its horizons, the reward spec,
sealing with trust, the lineage and the update. There is no server: requests come so many a simulated hour, an
update is done by the next look at the clock, and a version is tried on half of the people until enough of
either side's answers are decided.
"""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from daemon_by_hand import open_daemon_ledger
from lagged_life import ARM, Living, Made
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger, feedback, generation
from manifests_by_hand import manifest, skipping, version_of
from torch import Tensor

from rlwd.daemon.worlds.habits import HOUR
from rlwd.daemon.worlds.people import People, hostile
from rlwd.daemon.worlds.styles import STYLES
from rlwd.daemon.worlds.world import Answer, Ask
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.checkpoints_table import record_checkpoints
from rlwd.learner.ledger.lane_choice import RATIO_ONLY, LaneRules
from rlwd.learner.ledger.lineage import Lineage
from rlwd.learner.ledger.seal import seal
from rlwd.learner.ledger.weighed import Trust
from rlwd.learner.train.steps import BatchGivenUp
from rlwd.rewards.spec.spec import Spec, reward_spec
from rlwd.rewards.trust.settings import TrustSettings
from rlwd.streams.events.signals import Signal

START = 1_000_000.0
WINDOW = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the operator has set, and how fast things go."""

    spec: Spec = field(default_factory=lambda: reward_spec(""))
    """The reward spec; the built-in one gives people an hour."""
    trust: TrustSettings | None = field(default_factory=TrustSettings)
    """As `[trust]`; None: all answers count the same."""
    lanes: LaneRules = RATIO_ONLY
    """What is learned from beside the ratio lane."""
    batch: BatchSettings = field(
        default_factory=lambda: BatchSettings(episodes=128, at_most=512, held_out=0.1, max_lead=4)
    )
    """The demo's profile."""
    users: int = 4000
    """Accounts."""
    per_hour: float = 600.0
    """Requests."""
    at_once: int = 100
    """Requests between two looks at the clock."""
    arm_answers: int = 105
    """Decided answers of either side that a version is tried for."""
    margin: float = 0.25
    """A version that is worse by this share is taken back."""


class Given(NamedTuple):
    """One answer to one of the people, or to an attacker."""

    user: str
    segment: str
    wanted: bool
    spoke: bool
    """Whether anything was or will be said of it."""
    said: int
    """How many of people's answers were decided on by then, this one among them."""


class PeopleLife:
    """One crowd, one policy, one state database, one clock."""

    def __init__(
        self, policy: Living, people: People, terms: Terms, folder: Path, seed: int
    ) -> None:
        self.policy, self.people, self.terms = policy, people, terms
        self.draw = random.Random(f"people-life:{seed}")
        self.ledger: Ledger = open_daemon_ledger(folder / "rlwd.db", terms.spec)
        self.trust = (
            None
            if terms.trust is None
            else Trust(settings=terms.trust, verification=terms.spec.verification)
        )
        self.given: list[Given] = []
        self.now, self.said = START, 0
        self.lineage = Lineage([manifest(0, None)])
        self.made = [Made(parent=None, weights=self._weights(), learner=policy.snapshot())]
        self.made[0].outcome = "champion"
        self.champion = self.head = 0
        self.canary: int | None = None
        self.canary_from = START
        self.refused = 0
        self._acts: list[tuple[float, str, str, Signal]] = []

    def turn(self) -> None:
        """Let as many people ask as do between two looks at the clock; hear, release and learn."""
        self._ask()
        self.now += self.terms.at_once / self.terms.per_hour * HOUR
        self._hear()
        self._release()
        if sum(one.outcome == "waiting" for one in self.made) < self.terms.batch.max_lead:
            self._learn()

    def pin(self, version: int) -> None:
        """Make a former version the champion, as `rlwd pin` does; the learner goes on from it."""
        for made in self.made:
            made.outcome = "superseded" if made.outcome == "waiting" else made.outcome
        self.canary, self.champion, self.head = None, version, version
        self.policy.restore(self.made[version].learner)

    def peoples(self) -> list[Given]:
        """Return what people were given, without the attackers."""
        return [one for one in self.given if not hostile(one.user)]

    def _ask(self) -> None:
        asks = [
            self.people.ask(f"user-{self.draw.randrange(self.terms.users)}", self.draw)
            for _ in range(self.terms.at_once)
        ]
        by_version = dict[int, list[int]]()
        for place, ask in enumerate(asks):
            by_version.setdefault(self._arm(ask.user), []).append(place)
        learning, generations = self._weights(), list[bytes]()
        for version, places in sorted(by_version.items()):
            self._serve(self.made[version].weights)
            answers = self.policy.answer([asks[place].about.about for place in places])
            for place, answer in zip(places, answers, strict=True):
                task = asks[place].about.about
                text = STYLES[answer.style](task.topic) if answer.style else None
                told = self.policy.text(answer) if text is None else text
                at = self.now + place / self.terms.per_hour * HOUR
                name = f"g{len(self.given):06d}"
                self._judge(asks[place], told, name, at)
                generations.append(
                    generation(
                        name,
                        at,
                        user_hash=asks[place].user,
                        segment=asks[place].segment,
                        version=version_of(version),
                        latency_seconds=self.draw.lognormvariate(0.0, 0.3),
                        prompt_token_ids=answer.prompt,
                        completion_token_ids=answer.completion,
                        logprobs=answer.logprobs,
                        text=told,
                    )
                )
        self._serve(learning)
        self.ledger.take(*generations, partition=GENERATIONS, now=self.now)

    def _judge(self, ask: Ask, text: str, name: str, at: float) -> None:
        answer = Answer(text=text, message={}, finish_reason="stop")
        found = self.people.react(ask, answer, ask.user, self.draw)
        for number, act in enumerate(found.acts):
            signal: Signal = msgspec.convert(act.signal, Signal)
            heapq.heappush(self._acts, (at + act.after_seconds, f"{name}.{number}", name, signal))
        self.said += bool(found.acts) and not hostile(ask.user)
        self.given.append(Given(ask.user, ask.segment, found.wanted, bool(found.acts), self.said))

    def _hear(self) -> None:
        heard = list[bytes]()
        while self._acts and self._acts[0][0] <= self.now:
            at, feedback_id, name, signal = heapq.heappop(self._acts)
            heard.append(feedback(feedback_id, name, signal, at))
        self.ledger.take(*heard, partition=FEEDBACK, now=self.now)
        self.ledger.close(self.now)

    def _arm(self, user: str) -> int:
        if self.canary is None:
            return self.champion
        on_trial = random.Random(f"{self.canary}:{user}").random() < ARM
        return self.canary if on_trial else self.champion

    def _release(self) -> None:
        if self.canary is None:
            waiting = [n for n, made in enumerate(self.made) if made.outcome == "waiting"]
            for older in waiting[:-1]:
                self.made[older].outcome = "superseded"
            if waiting:
                self.canary, self.canary_from = waiting[-1], self.now
            return
        ours, theirs = (self._shown(one) for one in (self.canary, self.champion))
        if min(ours[0], theirs[0]) < self.terms.arm_answers:
            return
        if ours[1] >= theirs[1] * (1.0 - self.terms.margin):
            self.made[self.canary].outcome, self.champion = "champion", self.canary
        else:
            self.refused += 1
            for made in self.made[self.canary :]:
                made.outcome = "refused" if made.outcome == "waiting" else made.outcome
            self.head = self.champion
            self.policy.restore(self.made[self.champion].learner)
        self.canary = None

    def _shown(self, version: int) -> tuple[int, float]:
        """Return decided answers of a version since it is tried, and the mean of its users' means."""
        count, mean = self.ledger.ask(
            "SELECT SUM(answers), AVG(reward) FROM (SELECT COUNT(*) AS answers,"
            " AVG(reward) AS reward FROM episodes WHERE policy = 'policy' AND version = ?"
            " AND received >= ? AND reward IS NOT NULL GROUP BY user_hash)",
            version_of(version),
            self.canary_from,
        )
        return count or 0, mean or 0.0

    def _learn(self) -> None:
        head, number = self.head, len(self.made)
        with self.ledger.store.transaction() as tx:
            batch = seal(
                tx,
                "policy",
                self.terms.batch,
                parent_sequence=head,
                max_policy_age=self.policy.settings.max_policy_age,
                age=lambda version: self.lineage.age(version, head),
                now=self.now,
                spec_version=self.terms.spec.version,
                trust=self.trust,
                lanes=self.terms.lanes,
            )
        if batch is None:
            return
        told = {
            "batch_id": batch.batch_id,
            "episode_ids": tuple(one.generation_id for one in batch.episodes),
            "held_out_ids": tuple(one.generation_id for one in batch.held_out),
        }
        outcome, made = "waiting", manifest(number, head, applied=(batch.batch_id,), **told)
        try:
            self.policy.learn(batch)
            self.head = number
        except BatchGivenUp as problem:
            left_out = dict(problem.left_out)
            told |= {"skipped": (batch.batch_id,), "left_out": left_out}
            outcome, made = "skipped", skipping(number, head, **told)
        self.lineage.add([made])
        with self.ledger.store.transaction() as tx:
            record_checkpoints(tx, "policy", [made])
        self.made.append(Made(parent=head, weights=self._weights(), learner=self.policy.snapshot()))
        self.made[-1].outcome = outcome

    def _weights(self) -> list[Tensor]:
        return [value.detach().clone() for value in self.policy.weights()]

    @torch.no_grad()
    def _serve(self, weights: Sequence[Tensor]) -> None:
        for parameter, value in zip(self.policy.weights(), weights, strict=True):
            parameter.copy_(value)
