"""Bench of rewards: how fast `rlwd rewards what-if` asks two specs of the answers of a state."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench_records import BEGAN, feedback_event, generation_event
from bench_scores import whole_spec
from bench_table import Line

from rlwd.daemon.rewards.held_answers import held_answers
from rlwd.daemon.rewards.what_if import what_if
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.events.event import encode_event
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.ports import Partition, Record
from rlwd.streams.open import open_store

ANSWERS = 10_000
AT_ONCE = 1000


def bench_rewards(*, rounds: int, say: Callable[[str], None], answers: int = ANSWERS) -> list[Line]:
    """Measure a state of so many answers, each with feedback, against reading them alone."""
    say(f"rewards: a state of {answers} answers")
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        path = Path(place) / "rlwd.db"
        fill(path, answers)
        specs = reward_spec(""), whole_spec()
        ours, theirs = list[float](), list[float]()
        for _ in range(rounds):
            began = time.process_time()
            found = what_if(*specs, held_answers(path, "policy", 0.0, specs))
            ours.append(answers / (time.process_time() - began))
            assert found.document()["answers"] == answers, "all are asked"
            began = time.process_time()
            assert sum(map(len, held_answers(path, "policy", 0.0, specs))) == answers
            theirs.append(answers / (time.process_time() - began))
    return [
        Line(
            part="rewards",
            what="what-if: the default spec against one of every part and cost; one core",
            unit="answers/s",
            against="the answers read alone",
            ours=tuple(ours),
            theirs=tuple(theirs),
        )
    ]


def fill(path: Path, answers: int) -> None:
    """Join so many answers, each with what somebody did about it."""
    store, spec = open_store(path), reward_spec("")
    joiner = Joiner("policy", Scorer(spec), spec.decision_seconds)
    topics = Partition(topic="generations", index=0), Partition(topic="feedback", index=0)
    with store.transaction() as tx:
        joiner.resume(tx, topics)
    for start in range(0, answers, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, answers))
        records = [
            Record(
                partition=topics[0], offset=at, key=b"s", value=encode_event(generation_event(at))
            )
            for at in numbers
        ] + [
            Record(partition=topics[1], offset=at, key=b"s", value=encode_event(feedback_event(at)))
            for at in numbers
        ]
        with store.transaction() as tx:
            joiner.ingest(tx, records, BEGAN)
        joiner.committed()
    store.close()
