"""Work weeks: simulated weeks of events of three kinds of work, as products would have recorded them.

Coding, support and legal as seed S0 of the facts tells them apart: how much comes, what decides, how
long sessions are. Written as JSON lines of events, which `rlwd replay` and `rlwd profile` read.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from rlwd.streams.events.event import Feedback, FeedbackEvent, GenerationEvent, encode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import (
    Accepted,
    Edited,
    Escalated,
    Kept,
    Measured,
    Outcome,
    Rated,
    Rejected,
    Resolved,
    Signal,
    Undone,
)
from rlwd.streams.events.usage import Usage

BEGIN = datetime(2026, 11, 16, tzinfo=UTC).timestamp()
DAY = 86400.0
SINCE, UNTIL = "2026-11-16", "2026-11-23"
"""The week, as the command takes it."""

CODING = {"profile.recorded": 0.001, "profile.value": 15.0}
SUPPORT = {"profile.recorded": 0.0005, "profile.value": 4.0}
LEGAL = {"profile.value": 150.0}
"""What an operator of each would set: the share of users that is recorded, and a taken answer's worth."""

SUPPORT_SPEC = """\
name = "support"
decisive = ["resolved", "escalated"]
[decision]
default = 86400
[attribution]
resolved = "chain"
escalated = "chain"
[parts]
resolved = 1.0
"""
LEGAL_SPEC = """\
name = "legal"
decisive = ["accepted", "rejected", "edited"]
[decision]
default = 86400
[horizons]
edited = 86400
[parts]
accepted = 1.0
edit_similarity = 1.0
outcome = { weight = 1.0, horizon = 259200 }
"""
DRAFT = "The parties agree that notice is given in writing within thirty days of the event."
EDITED = DRAFT.replace("thirty days", "ten working days")
TOPICS = (
    ("where is the parcel that i ordered last week and paid for with my card", 0.95),
    ("how do i set a new password when i cannot read my old mail any more", 0.9),
    ("i was charged twice for the same month and want one of them back", 0.35),
    ("the app says that my account is closed though i never asked for it", 0.2),
)
"""What people ask support, and how often that is resolved."""


def answer(name: str, session: str, user: str, at: float, **more: Any) -> bytes:
    """Write an answer as a product's gateway records it."""
    when = datetime.fromtimestamp(at, UTC)
    return encode_event(
        GenerationEvent(
            id=name,
            source="/gateway/week",
            specversion="1.0",
            time=when,
            receivedtime=when,
            data=Generation(
                generation_id=name,
                session_id=session,
                user_hash=user,
                finish_reason="stop",
                policy="replay",
                **{"session_found": "named", "text": "done", "latency_seconds": 2.0, **more},
            ),
        )
    )


def said(name: str, about: str, session: str, signal: Signal, at: float) -> bytes:
    """Write feedback; on the whole session where `about` is empty."""
    when = datetime.fromtimestamp(at, UTC)
    return encode_event(
        FeedbackEvent(
            id=name,
            source="/feedback/week",
            specversion="1.0",
            time=when,
            receivedtime=when,
            data=Feedback(feedback_id=name, generation_id=about, session_id=session, signal=signal),
        )
    )


def coding_week(seed: int = 0, sessions: int = 84) -> Iterator[bytes]:
    """Yield a week of an agent that writes code: long sessions that grow, decided on at every fourth step."""
    draw = Random(seed)
    for number in range(sessions):
        day, session, user = number % 7, f"c{number}", f"coder{number % 40}"
        at, before = BEGIN + day * DAY + 30_000 + draw.random() * 20_000, None
        for turn in range(24 + 2 * day + draw.randrange(4)):
            name, at = f"{session}.{turn}", at + 40 + draw.random() * 60
            usage = Usage(prompt_tokens=8000 + 700 * turn, completion_tokens=400)
            more = {"parent_id": before, "tool_call_count": int(turn % 4 != 3), "usage": usage}
            yield answer(name, session, user, at, segment="agent", **more)
            before = name
            if turn % 4 == 3:
                yield from _coder(draw, name, session, at)
            if turn == 5:
                yield from _subagent(name, session, user, at)


def _coder(draw: Random, name: str, session: str, at: float) -> Iterator[bytes]:
    if draw.random() < 0.15:
        return
    taken, at = draw.random() < 0.65, at + 20 + draw.random() * 100
    yield said(f"{name}.d", name, session, Accepted() if taken else Rejected(), at)
    if not taken:
        return
    stays = draw.random() < 0.86
    if not stays and draw.random() < 0.5:
        yield said(f"{name}.u", name, session, Undone(), at + 300)
    kept = Kept(fraction=0.9 if stays else 0.1, horizon_seconds=3600.0)
    yield said(f"{name}.k", name, session, kept, at + 3600)


def _subagent(started_by: str, session: str, user: str, at: float) -> Iterator[bytes]:
    for turn in range(2):
        name = f"{session}.sub.{turn}"
        parent = started_by if turn == 0 else f"{session}.sub.0"
        usage = Usage(prompt_tokens=3000, completion_tokens=200)
        more = {"parent_id": parent, "tool_call_count": 1, "usage": usage, "segment": "agent"}
        yield answer(name, f"{session}.sub", user, at + 1 + turn, **more)


def support_week(seed: int = 0, conversations: int = 700) -> Iterator[bytes]:
    """Yield a week of support: short conversations, nearly all settled or handed on within minutes."""
    draw = Random(seed)
    for number in range(conversations):
        session, user = f"s{number}", f"customer{number}"
        topic, settled = TOPICS[number % len(TOPICS)]
        at = BEGIN + draw.random() * 6.9 * DAY
        for turn in range(2 + (number % 3 == 0)):
            name, at = f"{session}.{turn}", at + 30 + draw.random() * 60
            words = f"{topic} my number is {number}" if turn == 0 else "and what now"
            usage = Usage(prompt_tokens=900 + 150 * turn, completion_tokens=120)
            yield answer(
                name,
                session,
                user,
                at,
                segment="chat",
                usage=usage,
                tool_call_count=int(turn == 0),
                parent_id=f"{session}.{turn - 1}" if turn else None,
                input=(InputMessage(role="user", text=words),),
            )
        if draw.random() < 0.05:
            continue
        good, at = draw.random() < settled, at + 120 + draw.random() * 600
        yield said(f"{session}.r", "", session, Resolved() if good else Escalated(), at)
        if draw.random() < 0.5:
            liked = good if draw.random() < 0.98 else not good
            yield said(f"{session}.s", name, session, Rated(value=float(liked)), at + 3600)


def legal_week(seed: int = 0, sessions: int = 300) -> Iterator[bytes]:
    """Yield a week of drafts for lawyers: few users, dear answers, edits, and a partner who looks later."""
    draw = Random(seed)
    for number in range(sessions):
        session, user = f"l{number}", f"lawyer{number % 60}"
        at = BEGIN + number % 5 * DAY + 30_000 + draw.random() * 25_000
        for turn in range(6):
            name, at = f"{session}.{turn}", at + 120 + draw.random() * 240
            usage = Usage(prompt_tokens=12_000 + 900 * turn, completion_tokens=700)
            more = {"tool_call_count": 1 + turn % 2, "usage": usage, "text": DRAFT}
            before = f"{session}.{turn - 1}" if turn else None
            yield answer(name, session, user, at, segment="draft", parent_id=before, **more)
            if draw.random() < 0.3:
                yield from _lawyer(draw, name, session, at)


def _lawyer(draw: Random, name: str, session: str, at: float) -> Iterator[bytes]:
    at += 300 + draw.random() * 900
    good = draw.random() < 0.7
    signal: Signal = Rejected()
    if good:
        signal = Edited(final_text=EDITED) if draw.random() < 0.6 else Accepted()
    yield said(f"{name}.d", name, session, signal, at)
    if draw.random() < 0.5:
        stands = good if draw.random() < 0.85 else not good
        review = Outcome(name="partner_review", value=float(stands))
        yield said(f"{name}.p", name, session, review, at + DAY)


def saving_weeks(before: int = 40, now: int = 60) -> Iterator[bytes]:
    """Yield two weeks of titles: each taken, undone where its number ends in 9, and two minutes saved by each.

    A third of them a harness asked for on its own.
    """
    for week, count in ((-1, before), (0, now)):
        for number in range(count):
            name = f"t{week}.{number}"
            at = BEGIN + (week * 7 + number * 7 / count) * DAY
            asked = {"segment": "title", "usage": Usage(prompt_tokens=200, completion_tokens=10)}
            yield answer(name, name, f"writer{number % 10}", at, **asked)
            yield said(f"{name}.d", name, name, Accepted(), at + 30)
            yield said(
                f"{name}.m", name, name, Measured(name="seconds_saved", value=120.0), at + 60
            )
            if number % 10 == 9:
                yield said(f"{name}.u", name, name, Undone(), at + 90)
            if number % 2 == 0:
                side = {**asked, "side_request": "check"}
                yield answer(f"{name}.side", name, f"writer{number % 10}", at + 1, **side)


def write_week(path: Path, records: Iterator[bytes]) -> Path:
    """Write events as JSON lines; return the path."""
    path.write_bytes(b"".join(record + b"\n" for record in records))
    return path


def config_text(settings: dict[str, float], spec: str = "", **top: str) -> str:
    """Return a config with these keys of `[profile]` beside a state that `rlwd replay` left."""
    lines = ['policy = "replay"', 'state = "state"', *(f"{k} = '{v}'" for k, v in top.items())]
    lines += [f'reward_spec = "{spec}"'] if spec else []
    lines += ["[learner]", 'model = "model"', "[profile]"]
    lines += [f"{key.removeprefix('profile.')} = {value}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"
