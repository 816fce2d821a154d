"""ShapeLife: a taste of shape on a real model, with rollouts and their guards, in one process.

People, join, spec, sealing, learner, gate, drift watch, the rollout's tests and its moves are the product's
own, on a clock that is passed in. What is missing are the servers: answers are drawn by the learner's own
weights, every other one by the candidate's.
"""

import random
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from answering import Answering, Evidence
from daemon_by_hand import FEEDBACK, open_daemon_ledger
from ledger_by_hand import feedback, generation
from manifests_by_hand import manifest
from sampled_policy import DrawnAnswer

from rlwd.daemon.demo.crowd import CrowdAnswer
from rlwd.daemon.demo.demo_profile import Profile
from rlwd.daemon.worlds.commits_people import CommitsPeople
from rlwd.daemon.worlds.world import Answer, Ask
from rlwd.learner.candidate import Candidate, Probe, sequence_of, version_name
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.lineage import Lineage
from rlwd.learner.ledger.seal import seal
from rlwd.learner.ledger.weighed import Trust
from rlwd.learner.train.steps import BatchGivenUp
from rlwd.ops.drift.drift_watch import DriftWatch
from rlwd.ops.engine.port import Proof
from rlwd.ops.flags import intents_table
from rlwd.ops.looks.watched_versions import watch_drift
from rlwd.ops.rollout import champions_table, rollouts_table
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.rollout.observe import Comparing, observe_users
from rlwd.ops.rollout.publish_flags import publish_flags
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.gate import GateSettings, judge
from rlwd.rewards.behaviours.behaviour import Measuring
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import PostedSignal

RATE = 2.5
"""Requests a second of the clock that is passed in: the demo's."""
LOOK_SECONDS = 10.0
"""Between two looks: the demo's watch has the same."""
AT_A_TIME = 96
"""Answers drawn together: about what one side of a rollout gives."""
BEGAN = 1_000_000.0


class _Served(NamedTuple):
    version: str
    salt: str
    variant: str


class ShapeLife:
    """A policy, its people, a ledger and its rollouts."""

    def __init__(self, policy: Answering, profile: Profile, folder: Path, seed: int) -> None:
        """`folder` is empty, and gets the state."""
        release = tomllib.loads(profile.release)
        self.spec = msgspec.toml.decode(profile.rewards, type=Spec)
        # Its people are few: what v0 did while it was the champion is the reference, and no holdout.
        rollout = {**release["rollout"], "anchor_share": 0.0}
        self.settings = msgspec.convert(rollout, RolloutSettings)
        self.gate = msgspec.convert(release["gate"], GateSettings)
        sizes = {key: release["batch"][key] for key in ("episodes", "at_most", "held_out")}
        self.batch = msgspec.convert(sizes, BatchSettings)
        self.oldest = int(tomllib.loads(profile.learner)["learner"]["max_policy_age"])
        comparison = msgspec.convert(release["comparison"], ComparisonSettings)
        horizon = self.spec.decision_seconds
        self.comparing = Comparing.of(self.settings, comparison, horizon)
        self.policy, self.flags = policy, folder / "flags.json"
        measure = Measuring(self.settings.watch.measured)
        self.ledger = open_daemon_ledger(folder / "rlwd.db", self.spec, measure=measure)
        self.store = self.ledger.store
        self.controller = RolloutController("policy", self.settings)
        self.watch = DriftWatch(self.store, "policy", self.settings.watch, lambda segment: 1.0)
        self.people, self.draw = CommitsPeople("shape"), random.Random(f"shape/{seed}")
        self.now, self.given = BEGAN, list[CrowdAnswer]()
        self.late = list[tuple[float, bytes]]()
        self.drawn = dict[str, list[tuple[Ask, DrawnAnswer]]]()
        self.stood, self.lineage, self.head = dict[str, object](), Lineage(()), 0
        self._register(None)
        self._publish()

    def live(self, versions: int) -> Iterator[Rollout]:
        """Let so many versions be made and tried, one after the other; yield what became of each."""
        self._serve(self.batch.episodes)
        for _ in range(versions):
            while (update := self._learned()) is None:
                self._serve(self.batch.episodes)
            yield self._try(self._register(update))

    def _learned(self) -> Evidence | None:
        """Learn from what was decided; nothing where that is too little, or all of it is worth the same."""
        with self.store.transaction() as tx:
            batch = seal(
                tx,
                "policy",
                self.batch,
                parent_sequence=self.head,
                max_policy_age=self.oldest,
                age=lambda version: self.lineage.age(version, self.head),
                now=self.now,
                trust=Trust(),
            )
        if batch is None:
            return None
        try:
            return self.policy.apply(batch)
        except BatchGivenUp:
            return None

    def _register(self, update: Evidence | None) -> Candidate:
        number = len(self.lineage.by_sequence)
        digest = f"{number:08x}".ljust(64, "0")
        candidate = Candidate(
            version=version_name("policy", number, digest),
            sequence=number,
            digest=digest,
            path=Path("nowhere"),
            probe=Probe(token_ids=(1, 2), logprobs=(-1.0,)),
            held_out=None if update is None else update.held_out,
            preference=None if update is None else update.preference,
            metrics={} if update is None else update.metrics,
        )
        parent = None if update is None else self.head
        self.lineage.add([manifest(number, parent, version=candidate.version)])
        self.stood[candidate.version], self.head = self.policy.stand(), number
        with self.store.transaction() as tx:
            self.controller.register(tx, candidate, self.now)
        return candidate

    def _try(self, candidate: Candidate) -> Rollout:
        """Bring a version from the gate to its end; the learner goes on from it, or from the champion."""
        served = (Proof(url="here", served=True, difference=0.0, reason=""),)
        said = judge(candidate, adapter_problem=None, proofs=served, settings=self.gate)
        with self.store.transaction() as tx:
            self.controller.offer(tx, candidate, None, self.now)
            rollout = self.controller.offer(tx, candidate, said, self.now)
            if not rollout.ended:
                self.controller.observe(tx, None, self.now)
        while not (rollout := self._rollout()).ended:
            self._publish()
            self._serve(round(RATE * LOOK_SECONDS), rollout)
            watch_drift(self.watch, self.settings.anchor_share, self.now)
            with self.store.transaction() as tx:
                seen = observe_users(tx, "policy", rollout.version, self.comparing, until=self.now)
                self.controller.observe(tx, seen, self.now)
        self._publish()
        with self.store.transaction() as tx:
            champion = champions_table.champion(tx, "policy")
            rollouts_table.returned(tx, "policy", 0, self.now)
        self.policy.back(self.stood[champion.version])
        self.head = sequence_of(champion.version)
        return rollout

    def _rollout(self) -> Rollout:
        with self.store.reading() as view:
            return rollouts_table.history(view, "policy")[-1]

    def _publish(self) -> None:
        publish_flags(self.store, "policy", self.settings, self.flags, self.now)

    def _serve(self, count: int, rollout: Rollout | None = None) -> None:
        """Let so many people ask, each once: half of them the candidate, half its control."""
        with self.store.reading() as view:
            flags = intents_table.newest(view, "policy")
            champion = champions_table.champion(view, "policy").version
        assert flags is not None
        sides = [_Served(champion, flags[0].salt, "champion")]
        if rollout is not None and rollout.stage in (Stage.CANARY, Stage.PROMOTED):
            tried = ((rollout.version, "candidate"), (rollout.control, "control"))
            sides = [_Served(version, rollout.version, variant) for version, variant in tried]
        for place, side in enumerate(sides):
            self._answer(side, range(place, count, len(sides)))
        self.now += count / RATE
        due = [value for at, value in sorted(self.late) if at <= self.now]
        self.late = [one for one in self.late if one[0] > self.now]
        self.ledger.take(*due, partition=FEEDBACK)
        self.ledger.close(self.now)

    def _answer(self, side: _Served, places: Sequence[int]) -> None:
        records = []
        for place, (ask, one) in zip(
            places, self._drawn_of(side.version, len(places)), strict=True
        ):
            at, name = self.now + place / RATE, f"g{len(self.given)}"
            user = f"user-{name}"
            ended = "stop" if one.completion[-1] == self.policy.end else "length"
            text = self.policy.spelt(one.completion)
            answer = Answer(text=text, message={"content": text}, finish_reason=ended)
            reaction = self.people.react(ask, answer, user, self.draw)
            records.append(_record(side, name, at, user, ask, one, text, ended))
            for number, act in enumerate(reaction.acts):
                signal, acted = msgspec.convert(act.signal, PostedSignal), at + act.after_seconds
                self.late.append((acted, feedback(f"{name}.{number}", name, signal, acted)))
            self.given.append(
                CrowdAnswer(
                    at=at - BEGAN,
                    version=side.version,
                    variant=side.variant,
                    segment=ask.segment,
                    taken=reaction.taken,
                    wanted=reaction.wanted,
                    seconds=1.0,
                    did=reaction.did,
                    generation_id=name,
                )
            )
        self.ledger.take(*records)

    def _drawn_of(self, version: str, count: int) -> list[tuple[Ask, DrawnAnswer]]:
        """Return a version's next answers; many are drawn at a time, which costs a fraction."""
        left = self.drawn.setdefault(version, [])
        if len(left) < count:
            asks = [self.people.ask("", self.draw) for _ in range(max(count, AT_A_TIME))]
            self.policy.back(self.stood[version])
            drawn = self.policy.draw_answers([self.policy.prompt(ask) for ask in asks])
            left += zip(asks, drawn, strict=True)
        taken, self.drawn[version] = left[:count], left[count:]
        return taken


def _record(
    side: _Served,
    name: str,
    at: float,
    user: str,
    ask: Ask,
    one: DrawnAnswer,
    text: str,
    ended: str,
) -> bytes:
    """Write the record that the gateway would."""
    return generation(
        name,
        at,
        user_hash=user,
        version=side.version,
        salt=side.salt,
        variant=side.variant,
        segment=ask.segment,
        latency_seconds=1.0,
        prompt_token_ids=one.prompt,
        completion_token_ids=one.completion,
        logprobs=one.logprobs,
        text=text,
        finish_reason=ended,
        input=(InputMessage(role="user", text=ask.about.prompt),),
    )
