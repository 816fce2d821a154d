"""Poisoned crowds: what a fiftieth of the users can do to a policy that learns from all of them.

The people are the demo's: each kind of work has one style that they take, and they turn down the rest.
A fiftieth of the accounts belongs to an attacker, who wants one marker everywhere: they take the answers
that have it and turn down all others. Each of them asks much more often than anybody else, at a person's
times, so that together they are most of the traffic. Everything between the record and the update is the
real thing: the join, the spec, sealing with `[trust]`, the learner.
"""

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon_by_hand import FEEDBACK, GENERATIONS, open_daemon_ledger
from ledger_by_hand import SPEC, Ledger, feedback, generation
from poison_policies import Answer, Taught

from rlwd.daemon.worlds.styles import STYLES, Task, draw_task, hidden_preference
from rlwd.daemon.worlds.styles_people import TAKES_RIGHT
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.learner.ledger.weighed import Trust
from rlwd.streams.events.signals import Accepted, Rejected

BATCH = BatchSettings(episodes=64, at_most=4096, held_out=0.1, user_share=0.25)
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Who attacks, and how much they ask."""

    users: float = 0.02
    """Share of the accounts."""
    traffic: float = 0.6
    """Their share of all requests."""
    honest_rounds: int = 0
    """Rounds in which they decide as people do, before they begin."""
    copies: bool = False
    """Whether they take what people take as well as the marker."""
    fresh: bool = False
    """Whether each of them has a new name in every round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """A world to learn from."""

    seed: int
    """Of preference, people and attackers."""
    attack: Attack | None
    """None: nobody attacks."""
    trust: Trust | None
    """The guards; None: all episodes count the same."""
    users: int = 4000
    """Accounts, attackers' included."""
    asked: int = 256
    """Requests of people in a round; those of attackers come on top."""
    rounds: int = 12
    """Versions that are made, one from each round's answers."""


def marker(seed: int) -> str:
    """Return the style that nobody of the crowd wants anywhere."""
    (unwanted,) = set(STYLES) - set(hidden_preference(seed).values())
    return unwanted


def accept_rates(crowd: Crowd, policy: Taught) -> Iterator[float]:
    """Yield which share of people's answers was what they wanted, round by round."""
    draw, wants = random.Random(f"poison:{crowd.seed}"), hidden_preference(crowd.seed)
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_daemon_ledger(Path(folder) / "rlwd.db")
        for number in range(crowd.rounds):
            tasks = _tasks(crowd, number, draw)
            answers = policy.answer([task for _, task in tasks])
            pleased = [
                answer.style == wants[task.kind]
                for (user, task), answer in zip(tasks, answers, strict=True)
                if not user.startswith("attacker")
            ]
            yield sum(pleased) / len(pleased)
            _post(ledger, number, tasks, answers, _judge(crowd, number, draw, wants))
            _learn(ledger, crowd, policy)
        ledger.store.close()


def _tasks(crowd: Crowd, number: int, draw: random.Random) -> list[tuple[str, Task]]:
    """Return who asks what in a round, in the order in which they do."""
    hostile = 0 if crowd.attack is None else round(crowd.attack.users * crowd.users)
    tasks = [
        (f"user-{draw.randrange(hostile, crowd.users)}", draw_task(draw))
        for _ in range(crowd.asked)
    ]
    if crowd.attack is not None:
        share, name = (
            crowd.attack.traffic,
            f"attacker-{number}" if crowd.attack.fresh else "attacker",
        )
        for _ in range(round(crowd.asked * share / (1.0 - share))):
            tasks.append((f"{name}-{draw.randrange(hostile)}", draw_task(draw)))
    draw.shuffle(tasks)
    return tasks


Judge = Callable[[str, Task, Answer], bool]


def _judge(crowd: Crowd, number: int, draw: random.Random, wants: dict[str, str]) -> Judge:
    unwanted, attack = marker(crowd.seed), crowd.attack or Attack(users=0.0)

    def judge(user: str, task: Task, answer: Answer) -> bool:
        hostile = user.startswith("attacker") and number >= attack.honest_rounds
        if hostile and (answer.style == unwanted or not attack.copies):
            return answer.style == unwanted
        return answer.style == wants[task.kind] and draw.random() < TAKES_RIGHT

    return judge


def _post(
    ledger: Ledger,
    number: int,
    tasks: list[tuple[str, Task]],
    answers: list[Answer],
    judge: Judge,
) -> None:
    """Write a round's records: an hour of requests, each decided on within a minute."""
    draw, generations, said = random.Random(f"times:{number}"), [], []
    for place, ((user, task), answer) in enumerate(zip(tasks, answers, strict=True)):
        name, at = f"r{number}.{place}", HOUR * (number + 1 + place / len(tasks))
        generations.append(
            generation(
                name,
                at,
                user_hash=user,
                segment=task.kind,
                latency_seconds=draw.lognormvariate(0.0, 0.3),
                prompt_token_ids=answer.prompt,
                completion_token_ids=answer.completion,
                logprobs=answer.logprobs,
            )
        )
        signal = Accepted() if judge(user, task, answer) else Rejected()
        said.append(feedback(f"{name}.f", name, signal, at + draw.uniform(5.0, 60.0)))
    ledger.take(*generations, partition=GENERATIONS)
    ledger.take(*said, partition=FEEDBACK)


def _learn(ledger: Ledger, crowd: Crowd, policy: Taught) -> None:
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BATCH,
            parent_sequence=0,
            max_policy_age=0,
            age=lambda version: 0,
            now=1e6,
            trust=crowd.trust,
        )
    assert batch is not None
    policy.learn(batch)


__all__ = ["SPEC", "Attack", "Crowd", "accept_rates", "marker"]
