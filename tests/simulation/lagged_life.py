"""A lagged life: the demo's tiny policy learns from answers that older versions gave.

As in the demo, people ask at a steady rate while the learner is at work and while a version is tried on
half of them, so that a batch holds answers of several versions. Real are the policy, sampling, people,
update and lineage; the clock is counted: an update takes as long as its episodes and passes cost, a
canary until enough users of either side have answered.
"""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch
from poison_policies import Answer, TablePolicy, TinyPolicy
from torch import Tensor

from rlwd.daemon.worlds.styles import STYLES, Task, draw_task, hidden_preference
from rlwd.daemon.worlds.styles_people import EDITS_WRONG, TAKES_RIGHT
from rlwd.learner.estimators.side_by_side import Estimators
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.steps import BatchGivenUp

ARM = 0.49
DECIDES = 0.4


class Living(Protocol):
    """A policy with a learner whose states can be kept."""

    settings: LearnerSettings

    @property
    def estimators(self) -> Estimators:
        """What answers are held against."""
        ...

    def answer(self, tasks: Sequence[Task]) -> list[Answer]:
        """Answer everybody."""
        ...

    def learn(self, batch: SealedBatch) -> None:
        """Apply one sealed batch."""
        ...

    def weights(self) -> list[Tensor]:
        """Return what answers, to be read and written."""
        ...

    def snapshot(self) -> Any:
        """Copy all that an update changes."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Undo everything since the snapshot."""
        ...

    def text(self, answer: Answer) -> str:
        """Return what people read."""
        ...


class Tiny(TinyPolicy):
    """The demo's policy, with settings changed."""

    def __init__(
        self, folder: Path, seed: int, *, pretrained: int | None = None, **changes: Any
    ) -> None:
        super().__init__(folder, seed, pretrained=pretrained)
        self.settings = msgspec.structs.replace(self.learner.settings, **changes)
        self.learner.settings = self.settings
        for group in self.learner.optimizer.param_groups:
            group["eps"] = self.settings.eps

    @property
    def estimators(self) -> Estimators:
        return self.learner.estimators

    def weights(self) -> list[Tensor]:
        return list(self.learner.policy.trainable().values())

    def snapshot(self) -> Any:
        return self.learner.snapshot()

    def restore(self, snapshot: Any) -> None:
        self.learner.restore(snapshot)

    def text(self, answer: Answer) -> str:
        return str(self.tokenizer.decode(answer.completion, skip_special_tokens=True))


class Table(TablePolicy):
    """A table of styles: the same sums in a thousandth of the time."""

    def __init__(self, seed: int, learning_rate: float = 0.05, **changes: Any) -> None:
        super().__init__(seed)
        self.settings = msgspec.structs.replace(self.settings, **changes)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def weights(self) -> list[Tensor]:
        return [self.table]

    def snapshot(self) -> Any:
        state = copy.deepcopy(self.optimizer.state_dict())
        return self.table.detach().clone(), state, copy.deepcopy(self.estimators)

    def restore(self, snapshot: Any) -> None:
        table, state, estimators = snapshot
        with torch.no_grad():
            self.table.copy_(table)
        self.optimizer.load_state_dict(copy.deepcopy(state))
        self.estimators = copy.deepcopy(estimators)

    def text(self, answer: Answer) -> str:
        return STYLES[answer.style or "plain"]("invoice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take, in seconds, and what of the answers a batch takes."""

    rate: float = 50.0
    """Answers a second."""
    update: float = 1.0
    """Of an update, whatever its size."""
    per_episode: float = 0.004
    """Of scoring an episode before and after."""
    per_pass: float = 0.0035
    """Of one pass over an episode."""
    arm_answers: int = 105
    """Answers of either side that a canary waits for."""
    settle: float = 2.0
    """From promotion to the next canary."""
    episodes: int = 256
    """Fewest to a batch."""
    at_most: int = 256
    """Most."""
    lead: int = 1
    """Versions that the learner may be ahead of the champion."""
    margin: float = 0.25
    """A candidate that is worse by this share is taken back."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """One answer of a life."""

    at: float
    task: Task
    version: int
    answer: Answer | None = None
    reward: float = 0.0
    taken: bool = False
    used: bool = False
    age: int | None = None


@dataclass(slots=True, kw_only=True)
class Made:
    """A version."""

    parent: int | None
    weights: list[Tensor]
    learner: Any
    outcome: str = "waiting"


@dataclass(slots=True, kw_only=True)
class Told:
    """What a life came to."""

    until: int | None
    """Answers until 0.80 of the last 200 were taken."""
    final: float
    """Share taken of the last 500."""
    dip: float
    """Largest fall of the share taken of 200 answers below what it was before."""
    unused: float
    """Share of the answers that were ready and within no batch's reach by the end, as too old."""
    versions: int
    """Promoted."""
    refused: int
    """Taken back."""
    curve: list[float] = field(default_factory=list)
    """Share taken of the last 200, every 100 answers."""


class LaggedLife:
    """One crowd, one policy, one clock."""

    def __init__(self, policy: Living, seed: int, pace: Pace) -> None:
        self.policy, self.pace, self.seed = policy, pace, seed
        self.rng = random.Random(f"life:{seed}")
        self.wants = hidden_preference(seed)
        self.asked: list[Asked] = []
        self.made = [Made(parent=None, weights=self._weights(), learner=policy.snapshot())]
        self.made[0].outcome = "champion"
        self.champion, self.before, self.head = 0, 0, 0
        self.canary: int | None = None
        self.canary_from = self.baked_at = 0
        self.busy_until: float | None = None
        self.settled_at = 0.0
        self.refused = 0

    def live(self, answers: int) -> Told:
        """Answer so many requests and return what came of it."""
        for number in range(answers):
            now = number / self.pace.rate
            self._turn(now)
            self.asked.append(Asked(at=now, task=draw_task(self.rng), version=self._arm(now)))
        self._answer(self.asked)
        return self._told()

    def _arm(self, now: float) -> int:
        draw = self.rng.random()
        if self.canary is not None and draw < ARM:
            return self.canary
        if self.canary is None and now < self.settled_at and draw < 0.1:
            return self.before
        return self.champion

    def _turn(self, now: float) -> None:
        if self.busy_until is not None and now >= self.busy_until:
            self.busy_until = None
        self._release(now)
        if self.busy_until is None and self._undecided() < self.pace.lead:
            self._learn(now)

    def _undecided(self) -> int:
        return sum(made.outcome == "waiting" for made in self.made)

    def _release(self, now: float) -> None:
        if self.canary is not None:
            part = [a for a in self.asked[self.canary_from :] if a.at + 1.0 + DECIDES < now]
            ours = [a for a in part if a.version == self.canary]
            theirs = [a for a in part if a.version == self.champion]
            if min(len(ours), len(theirs)) < self.pace.arm_answers:
                return
            self._answer(part)
            self._decide(ours, theirs, now)
        elif now >= self.settled_at:
            ready = [number for number, made in enumerate(self.made) if made.outcome == "waiting"]
            if self.busy_until is not None and ready and ready[-1] == len(self.made) - 1:
                ready = ready[:-1]  # Still being made.
            if ready:
                for older in ready[:-1]:
                    self.made[older].outcome = "superseded"
                self.canary, self.canary_from = ready[-1], len(self.asked)

    def _decide(self, ours: Sequence[Asked], theirs: Sequence[Asked], now: float) -> None:
        assert self.canary is not None
        good, was = (sum(a.reward for a in part) / len(part) for part in (ours, theirs))
        if good >= was * (1.0 - self.pace.margin):
            self.made[self.canary].outcome = "champion"
            self.before, self.champion = self.champion, self.canary
        else:
            self.refused += 1
            for made in self.made[self.canary :]:
                if made.outcome == "waiting":
                    made.outcome = "refused"
            self.head, self.busy_until = self.champion, None
            self.policy.restore(self.made[self.champion].learner)
        self.canary, self.settled_at = None, now + self.pace.settle

    def _learn(self, now: float) -> None:
        chain = self._chain(self.head)
        most = self.policy.settings.max_policy_age
        ready = []
        for one in self.asked:
            if one.used or one.at + DECIDES > now:
                continue
            one.age = self._age(one.version, chain)
            if one.age <= most:
                ready.append(one)
        if len(ready) < self.pace.episodes:
            return
        ready.sort(key=lambda one: one.age or 0)
        chosen = ready[: self.pace.at_most]
        self._answer(chosen)
        for one in chosen:
            one.used = True
        trained = [one for one in chosen if self.rng.random() >= 0.1]
        cost = self.pace.update + len(trained) * (
            self.pace.per_episode + self.pace.per_pass * self.policy.settings.passes
        )
        try:
            self.policy.learn(self._batch(trained))
        except BatchGivenUp:
            return
        made = Made(parent=self.head, weights=self._weights(), learner=self.policy.snapshot())
        self.made.append(made)
        self.head, self.busy_until = len(self.made) - 1, now + cost

    def _batch(self, trained: Sequence[Asked]) -> SealedBatch:
        episodes = []
        for number, one in enumerate(trained):
            assert one.answer is not None
            assert one.age is not None
            episodes.append(
                SealedEpisode(
                    generation_id=f"{len(self.made)}-{number}",
                    segment=one.task.kind,
                    version=f"p@v{one.version:06d}",
                    age=one.age,
                    prompt_token_ids=one.answer.prompt,
                    completion_token_ids=one.answer.completion,
                    logprobs=one.answer.logprobs,
                    temperature=1.0,
                    reward=one.reward,
                    reward_revision=0,
                )
            )
        return SealedBatch(
            batch_id=len(self.made),
            policy="p",
            parent_sequence=self.head,
            spec_version="",
            episodes=tuple(episodes),
            held_out=(),
            offsets={},
        )

    def _chain(self, head: int) -> list[int]:
        found, one = [], head
        while True:
            found.append(one)
            parent = self.made[one].parent
            if parent is None:
                return found
            one = parent

    def _age(self, version: int, chain: Sequence[int]) -> int:
        for back, ancestor in enumerate(self._chain(version)):
            if ancestor in chain:
                return back + chain.index(ancestor)
        raise AssertionError("no common version")

    def _weights(self) -> list[Tensor]:
        return [value.detach().clone() for value in self.policy.weights()]

    def _answer(self, part: Sequence[Asked]) -> None:
        """Let each version answer what it was asked and has not answered yet."""
        open_ones = [one for one in part if one.answer is None]
        now = self._weights()
        for version in sorted({one.version for one in open_ones}):
            own = [one for one in open_ones if one.version == version]
            self._set(self.made[version].weights)
            for one, answer in zip(own, self.policy.answer([o.task for o in own]), strict=True):
                one.answer = answer
                self._judge(one)
        self._set(now)

    @torch.no_grad()
    def _set(self, weights: Sequence[Tensor]) -> None:
        for parameter, value in zip(self.policy.weights(), weights, strict=True):
            parameter.copy_(value)

    def _judge(self, one: Asked) -> None:
        assert one.answer is not None
        wanted, draw = self.wants[one.task.kind], self.rng.random()
        one.taken = one.answer.style == wanted and draw < TAKES_RIGHT
        if one.taken:
            one.reward = 0.0 if self.rng.random() < 0.02 else 1.0
        elif self.rng.random() < EDITS_WRONG:
            final = STYLES[wanted](one.task.topic)
            one.reward = SequenceMatcher(None, self.policy.text(one.answer), final).ratio() / 2

    def _told(self) -> Told:
        taken = [one.taken for one in self.asked]
        rolled = [sum(taken[i - 200 : i]) / 200 for i in range(200, len(taken) + 1)]
        until = next((i + 200 for i, share in enumerate(rolled) if share >= 0.8), None)
        best, dip = 0.0, 0.0
        for share in rolled[::20]:
            best = max(best, share)
            dip = max(dip, best - share)
        chain, most = self._chain(self.head), self.policy.settings.max_policy_age
        old = sum(not one.used and self._age(one.version, chain) > most for one in self.asked)
        return Told(
            until=until,
            final=sum(taken[-500:]) / 500,
            dip=dip,
            unused=old / len(taken),
            versions=sum(made.outcome == "champion" for made in self.made) - 1,
            refused=self.refused,
            curve=[round(share, 3) for share in rolled[::100]],
        )
