"""Bench of the profile: how fast `rlwd profile` goes over the answers of a state."""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from bench_rewards import ANSWERS, fill
from bench_table import Line

from rlwd.daemon.config import Config
from rlwd.daemon.profile.profile_document import profile_document, terms_of
from rlwd.rewards.spec.spec import reward_spec

EVER = 1e12
"""Later than any answer, epoch seconds."""


def bench_profile(*, rounds: int, say: Callable[[str], None], answers: int = ANSWERS) -> list[Line]:
    """Measure a state of so many answers, each with feedback, against fetching their rows alone."""
    say(f"profile: a state of {answers} answers")
    config = msgspec.convert({"learner": {"model": "none"}, "profile": {"value": 1.0}}, Config)
    terms = terms_of(config, reward_spec(""), None)
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        path = Path(place) / "rlwd.db"
        fill(path, answers)
        ours, theirs = list[float](), list[float]()
        for _ in range(rounds):
            began = time.process_time()
            found = profile_document(path, "policy", 0.0, EVER, terms)
            ours.append(answers / (time.process_time() - began))
            assert found["answers"] == answers, "all are counted"
            began = time.process_time()
            assert _fetched(path) == 2 * answers
            theirs.append(answers / (time.process_time() - began))
    return [
        Line(
            part="profile",
            what="every figure of a state's answers, each with feedback; one core",
            unit="answers/s",
            against="their rows fetched alone",
            ours=tuple(ours),
            theirs=tuple(theirs),
        )
    ]


def _fetched(path: Path) -> int:
    view = sqlite3.connect(path)
    found = view.execute("SELECT * FROM episodes ORDER BY generation_id").fetchall()
    found += view.execute("SELECT * FROM feedback ORDER BY generation_id").fetchall()
    view.close()
    return len(found)
