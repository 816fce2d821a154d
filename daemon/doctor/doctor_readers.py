"""Doctor, the readers: who reads people's next messages, and the judge where one is asked."""

import sqlite3
import time
from collections.abc import Iterator

import httpx

from ...ops.reading.judge_door import JudgeDoor, JudgeError
from ...ops.reading.reader_folder import load_state
from ...ops.reading.settings import JudgeSettings
from ...rewards.satisfaction.judge_prompt import judge_messages, vote_of
from ...rewards.satisfaction.message import NextMessage
from ...streams.authorities import authorities
from ...streams.readings.reading_tallies import tallies_of
from ..anchored import satisfaction_with_secrets
from ..config import Config
from ..store import state_view
from .doctor_finding import Finding, fail, ok, warn

SECONDS = 5.0
TRIAL = NextMessage(
    text="No, that is wrong. It is still not sorted.",
    request="Sort these numbers: 3 1 2",
    answer="Sorted: 3 1 2",
)
"""What a judge is asked on trial: nobody was ever satisfied like this."""
SHOWN = 120
"""Characters of an answer that are shown."""


def check_readers(config: Config) -> Iterator[Finding]:
    """Look at the reader, and at the judge where one is asked; a trial costs one call."""
    try:
        settings = satisfaction_with_secrets(config.satisfaction)
    except ValueError as problem:
        yield fail(
            "reader", str(problem), "put the secret there, or run doctor as the daemon's user"
        )
        return
    if settings.reader == "learned":
        state = load_state(config.state_path / "readers")
        yield ok("reader", f"silent: {state.silent}" if state.silent else state.version)
    if settings.reader == "judge" or (settings.rubrics and settings.rubric_share):
        yield from _judge(config, settings.judge)


def _judge(config: Config, judge: JudgeSettings) -> Iterator[Finding]:
    if not judge.tenants:
        yield warn(
            "judge",
            "satisfaction.judge.tenants is empty: nothing is sent",
            'name the tenants that agreed, or "*"',
        )
    yield from _model(judge)
    yield _trial(judge)
    yield from _budget(config, judge)


def _model(judge: JudgeSettings) -> Iterator[Finding]:
    """Look for the model where the endpoint lists what it has; not all do."""
    headers = {"Authorization": f"Bearer {judge.token}"} if judge.token else {}
    try:
        answer = httpx.get(
            f"{judge.url.rstrip('/')}/models",
            headers=headers,
            timeout=SECONDS,
            verify=authorities(),
            trust_env=False,
        )
        names = [str(one["id"]) for one in answer.json()["data"]] if answer.is_success else []
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return  # The trial says what is wrong.
    if names and judge.model not in names:
        seen = f"{judge.url} has no model {judge.model!r}; it has {', '.join(sorted(names)[:5])}"
        yield warn("judge", seen, "correct satisfaction.judge.model")


def _trial(judge: JudgeSettings) -> Finding:
    door = JudgeDoor(judge)
    try:
        answer = door.ask(
            {
                "model": judge.model,
                "messages": judge_messages(TRIAL),
                "temperature": 0.0,
                "max_tokens": judge.max_tokens,
                "seed": 0,
            }
        )
    except JudgeError as problem:
        remedy = "start it, or correct satisfaction.judge.url, model and token"
        return warn("judge", f"{judge.url}: {problem}", remedy)
    finally:
        door.close()
    vote = vote_of(answer.content)
    if not vote.understood:
        return warn(
            "judge",
            f"to a trial question it says {answer.content[:SHOWN]!r}, and not one word of three",
            "a model that reasons first needs that off, or another model; see docs/satisfaction.md",
        )
    if vote.direction != "dissatisfied":
        remedy = "hold it against messages of yours: `rlwd rewards calibrate --reader judge`"
        return warn("judge", f"it takes {TRIAL.text!r} to be {vote.direction}", remedy)
    return ok("judge", f"{judge.model} at {judge.url} reads a trial message rightly")


def _budget(config: Config, judge: JudgeSettings) -> Iterator[Finding]:
    try:
        with state_view(config.state_database) as view:
            spent = tallies_of(view, config.policy, time.time())
    except (ValueError, ConnectionError, sqlite3.Error):
        return  # The daemon's own finding says what is wrong with the state.
    calls, tokens = spent.get("calls", 0), spent.get("tokens", 0)
    told = (
        f"{calls} of {judge.calls_per_day} calls and {tokens} of {judge.tokens_per_day} tokens"
        " of today are spent"
    )
    if calls >= judge.calls_per_day or tokens >= judge.tokens_per_day:
        yield warn("judge's budget", told, "texts wait until tomorrow (UTC), or a larger budget")
    else:
        yield ok("judge's budget", told)
