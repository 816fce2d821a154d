"""Lives of an agent's policy that may cheat, without servers: join, spec, seal and learner are the real ones.

Rounds of answers, each learned from before the next is given. The policy, the people, the specs and the
learner's settings are those of `rlwd demo --hack`; what is missing is the rollout, so that every version
serves everybody at once.
"""

import random
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from daemon_by_hand import FEEDBACK, open_daemon_ledger
from ledger_by_hand import feedback, generation
from sampled_policy import DrawnAnswer, SampledPolicy

from rlwd.daemon.capture.tool_schemas import ToolSchemas
from rlwd.daemon.hacks.hack_profile import STEPS, Guard, hack_course, hack_learner, hack_rewards
from rlwd.daemon.worlds.agent import TOOLS, Hack
from rlwd.daemon.worlds.agent_people import LONGEST_TOKENS, AgentPeople
from rlwd.daemon.worlds.world import Answer, Ask
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.learner.ledger.weighed import Trust
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.tiny.hermes import HERMES_TEMPLATE
from rlwd.learner.tiny.model import make_tiny_policy, prompt_ids
from rlwd.learner.tiny.pretrain import Course
from rlwd.ops.drift.alarms_table import DriftAlarm
from rlwd.ops.drift.drift_answers import Side
from rlwd.ops.drift.drift_pair import DriftPair
from rlwd.ops.drift.drift_watch import DriftWatch
from rlwd.ops.embedded.tool_calls import message_of
from rlwd.ops.stages.watch_settings import WatchSettings
from rlwd.rewards.behaviours.behaviour import Measuring
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import PostedSignal

BATCH = BatchSettings(episodes=32, at_most=4096, held_out=0.1)
ROUND_SECONDS = 1000.0
PEOPLE = 4000
BASE = 0
"""Seed of the policy; people, draws and learner are of each life's own."""
SALT = "life"
WATCH = WatchSettings()
"""As shipped."""


class Given(NamedTuple):
    """One answer of a life, as the people who asked for it saw it."""

    version: int
    """How many batches were learned from before it."""
    hard: bool
    """Whether it was a request that mostly fails."""
    wanted: bool
    """Whether it did what was wanted."""
    did: str
    """What it did, in a word of the people's."""
    reward: float | None
    """What it is worth by the life's spec; None where it is dropped."""


def version_of(number: int) -> str:
    """Return the name of the version that answers in a round."""
    return f"policy@v{number:06d}-00000000"


def hack_policy(folder: Path, hack: Hack) -> Path:
    """Make the demo's policy once, and return its folder: all lives begin with the same one."""
    made = folder / hack
    if not (made / "config.json").exists():
        course = msgspec.convert(hack_course(hack), Course)
        make_tiny_policy(
            made,
            seed=BASE,
            steps=STEPS,
            examples=course.examples,
            chat_template=HERMES_TEMPLATE,
            words=course.words,
        )
    return made


def record_of(message: Mapping[str, Any], ended: str, tools: ToolSchemas) -> dict[str, Any]:
    """Return what a record says of a message: its text, and its calls checked against the tools."""
    calls = message.get("tool_calls", ())
    told = [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls]
    return {
        "text": message["content"] or "",
        "tool_calls": tuple(tools.check(*call) for call in told),
        "tools": tools.offered,
        "finish_reason": "tool_calls" if calls else ended,
    }


class HackLife:
    """A policy, its people, and a ledger."""

    def __init__(self, hack: Hack, guard: Guard, seed: int, folder: Path, state: Path) -> None:
        """`folder` keeps the policies that were pre-trained; `state` is the database of this life."""
        model = hack_policy(folder, hack)
        document = tomllib.loads(hack_learner(seed))["learner"]
        settings = msgspec.convert({**document, "model": str(model)}, LearnerSettings)
        self.policy = SampledPolicy(settings, longest=LONGEST_TOKENS)
        self.spec = msgspec.toml.decode(hack_rewards(hack, guard), type=Spec)
        self.ledger = open_daemon_ledger(state, self.spec, measure=Measuring(WATCH.measured))
        self.watch = DriftWatch(self.ledger.store, "policy", WATCH, self.spec.decision_seconds)
        self.tools = ToolSchemas(TOOLS)
        self.people, self.draw = AgentPeople(), random.Random(f"{hack}/{seed}")
        self.prompts: dict[str, tuple[int, ...]] = {}
        self.model, self.end = model, self.policy.tokenizer.eos_token_id

    def live(self, rounds: int, asked: int) -> Iterator[list[Given]]:
        """Answer so many requests, learn from them, and go on: yield what was given, round by round."""
        for number in range(rounds):
            given = self._answer(number, asked)
            rewards = self._rewards(number)
            yield [
                one._replace(reward=rewards.get(f"r{number}.{place}"))
                for place, one in enumerate(given)
            ]
            self._learn(number)

    def alarms(self, number: int) -> list[DriftAlarm]:
        """Look at a round's version as the daemon looks at a champion: against the base model before it."""
        ours, theirs = (Side(version_of(one), (SALT,), ("champion",)) for one in (number, 0))
        pair = DriftPair(version_of(number), "against the base model", ours, theirs, False)
        return self.watch.look([pair], ROUND_SECONDS * (number + 2)) if number else []

    def _answer(self, number: int, asked: int) -> list[Given]:
        users = [f"user-{self.draw.randrange(PEOPLE)}" for _ in range(asked)]
        asks = [self.people.ask(user, self.draw) for user in users]
        drawn = self.policy.draw_answers([self._prompt(ask) for ask in asks])
        records, said, given = list[bytes](), list[bytes](), list[Given]()
        for place, (user, ask, one) in enumerate(zip(users, asks, drawn, strict=True)):
            name, at = f"r{number}.{place}", ROUND_SECONDS * (number + 1) + place * 0.1
            text = self.policy.spelt(one.completion)
            message = message_of(text)
            ended = "stop" if one.completion[-1] == self.end else "length"
            records.append(self._record(number, name, at, user, ask, one, message, ended))
            answer = Answer(text=message["content"] or "", message=message, finish_reason=ended)
            reaction = self.people.react(ask, answer, user, self.draw)
            for act in reaction.acts:
                signal = msgspec.convert(act.signal, PostedSignal)
                said.append(feedback(f"{name}.f", name, signal, at + act.after_seconds))
            hard = ask.about.kind == "debug"
            given.append(Given(number, hard, reaction.wanted, reaction.did, None))
        self.ledger.take(*records)
        self.ledger.take(*said, partition=FEEDBACK)
        self.ledger.close(ROUND_SECONDS * (number + 2) - 1.0)
        return given

    def _record(
        self,
        number: int,
        name: str,
        at: float,
        user: str,
        ask: Ask,
        one: DrawnAnswer,
        message: Mapping[str, Any],
        ended: str,
    ) -> bytes:
        """Write the record that the gateway would."""
        return generation(
            name,
            at,
            user_hash=user,
            version=version_of(number),
            salt=SALT,
            variant="champion",
            segment=ask.segment,
            latency_seconds=1.0,
            prompt_token_ids=one.prompt,
            completion_token_ids=one.completion,
            logprobs=one.logprobs,
            input=(InputMessage(role="user", text=ask.about.prompt),),
            **record_of(message, ended, self.tools),
        )

    def _prompt(self, ask: Ask) -> tuple[int, ...]:
        asked = ask.about.prompt
        if asked not in self.prompts:
            self.prompts[asked] = tuple(prompt_ids(self.model, ask.messages, TOOLS))
        return self.prompts[asked]

    def _rewards(self, number: int) -> dict[str, float]:
        with self.ledger.store.reading() as view:
            rows = view.execute(
                "SELECT generation_id, reward FROM episodes WHERE generation_id LIKE ?"
                " AND reward IS NOT NULL",
                (f"r{number}.%",),
            ).fetchall()
        return dict(rows)

    def _learn(self, number: int) -> None:
        with self.ledger.store.transaction() as tx:
            batch = seal(
                tx,
                "policy",
                BATCH,
                parent_sequence=0,
                max_policy_age=0,
                age=lambda version: 0,
                now=ROUND_SECONDS * (number + 2),
                trust=Trust(),
            )
        if batch is not None:
            self.policy.learn(batch)
