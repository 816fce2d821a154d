"""Rollouts of a simulated crowd through a real release: tables, looks, verdicts, and a past to show."""

import random
import zlib
from pathlib import Path

from ledger_by_hand import FEEDBACK, feedback, generation
from releases_by_hand import register, version
from scripted_release import House

from rlwd.learner.candidate import Candidate
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.streams.events.signals import Accepted, Rejected

HOUR = 3600.0
SETTINGS = RolloutSettings(
    steps=(0.05, 0.45),
    step_users=20,
    step_seconds=2 * HOUR,
    min_users=100,
    margin=0.08,
    planned_users=600,
    deadline_seconds=60 * HOUR,
    gate_seconds=HOUR,
    bake_seconds=6 * HOUR,
)
SEGMENTS = (("reply", 0.0), ("title", 0.08), ("code", -0.05))
"""Kinds of work, and by how much more of their answers is accepted."""


class CrowdedHouse(House):
    """A release whose crowd accepts each version's answers at a rate of its own."""

    def __init__(
        self, folder: Path, settings: RolloutSettings = SETTINGS, *, began: float = 1.7e9
    ) -> None:
        super().__init__(folder, settings)
        self.clock = began
        """Epoch seconds of the story."""
        self.rates: dict[str, float] = {self.v0.version: 0.72}
        """How much of a version's answers the crowd accepts."""
        self.failing: dict[str, float] = {}
        """What share of a version's answers the engine fails."""
        self._random = random.Random(7)
        self._asked = 0
        self._made = 1

    def make(self, rate: float) -> Candidate:
        """Let the learner bring a new version, of whose answers so many are accepted."""
        candidate = self.v1 if self._made == 1 else version(self._made, self.folder)
        self._made += 1
        self.rates[candidate.version] = rate
        with self.ledger.store.transaction() as tx:
            rollouts_table.returned(tx, "policy", 0, self.clock)  # It stands on the champion.
        register(self.ledger.store, self.controller, candidate)
        return candidate

    @property
    def rollout(self) -> Rollout:
        """The newest rollout."""
        with self.ledger.store.reading() as view:
            return rollouts_table.history(view, "policy")[-1]

    def turn(self, seconds: float, answers: int) -> None:
        """Let so much time pass, in which so many answers are given, and take one step."""
        each = seconds / max(1, answers)
        shown: list[bytes] = []
        said: list[bytes] = []
        for _ in range(answers):
            self.clock += each
            self._answer(shown, said)
        if not answers:
            self.clock += seconds
        self.ledger.take(*shown, now=self.clock)
        self.ledger.take(*said, partition=FEEDBACK, now=self.clock)
        self.now = self.clock
        self.release.step(self.clock)

    def until_ended(self, seconds: float, answers: int, *, most: int = 400) -> Rollout:
        """Turn until the newest rollout has ended."""
        for _ in range(most):
            self.turn(seconds, answers)
            if self.rollout.ended:
                return self.rollout
        raise AssertionError(f"{self.rollout} has not ended")

    def until_met(self) -> Rollout:
        """Turn until the newest version meets its first people."""
        for _ in range(10):
            self.turn(HOUR, 20)
            if self.rollout.stage is Stage.CANARY:
                return self.rollout
        raise AssertionError(f"{self.rollout} meets nobody")

    def _answer(self, shown: list[bytes], said: list[bytes]) -> None:
        flags = self.flags
        assert flags is not None
        name, user = f"s{self._asked}.g", f"user{self._random.randrange(4000)}"
        self._asked += 1
        # Dealt by the user's number, as a hash would; the share is whatever the flags say.
        place = (zlib.crc32(f"{user} {flags.salt}".encode()) % 10_000) / 10_000
        share = flags.shares.candidate / 10_000 if flags.candidate else 0.0
        served, variant = flags.champion.version, "champion"
        if flags.candidate is not None and place < share:
            served, variant = flags.candidate.version, "candidate"
        elif flags.candidate is not None and place >= 1 - share:
            control = flags.control or flags.champion
            served, variant = control.version, "control"
        kind, more = self._random.choice(SEGMENTS)
        fails = self._random.random() < self.failing.get(served, 0.004)
        broken = {"text": "", "finish_reason": "error", "status": 502} if fails else {}
        known = {
            "version": served,
            "variant": variant,
            "salt": flags.salt,
            "user_hash": user,
            "segment": kind,
        }
        shown.append(generation(name, self.clock, **{**known, **broken}))
        if fails or self._random.random() > 0.8:
            return
        taken = self._random.random() < self.rates[served] + more
        signal = Accepted() if taken else Rejected()
        said.append(feedback(f"{name}.f", name, signal, self.clock))


def told_story(folder: Path, *, now: float) -> CrowdedHouse:
    """Return a state with one version promoted, one taken back, and one under way.

    The last look was at `now`.
    """
    house = CrowdedHouse(folder, began=now - 50.1 * HOUR)
    house.turn(60.0, 0)
    house.turn(HOUR, 60)
    house.make(0.80)
    house.until_ended(HOUR, 110)
    house.make(0.55)
    house.until_ended(HOUR, 90)
    house.make(0.83)
    for _ in range(40):
        house.turn(HOUR / 2, 40)
        if house.rollout.stage is Stage.CANARY and house.rollout.step == 1:
            break
    house.turn(HOUR / 2, 60)
    house.turn(HOUR / 2, 60)
    return house
