"""Bench records: what the bench of ingest feeds to both sides."""

import random
from datetime import UTC, datetime

from rlwd.streams.events.event import Feedback, FeedbackEvent, GenerationEvent
from rlwd.streams.events.generation import Generation, Sampling
from rlwd.streams.events.signals import Accepted, Edited, Rejected, Signal
from rlwd.streams.events.usage import Usage

TOKENS = 40
BEGAN = 1.79e9
"""Receive time of the first record, epoch seconds."""


def generation_event(number: int, prefix: str = "s") -> GenerationEvent:
    """Return a generation as a gateway writes it."""
    rng = random.Random(number)
    session = f"{prefix}{number // 4:08x}"
    name = f"{session}.{number:024x}"
    data = Generation(
        generation_id=name,
        session_id=session,
        user_hash=f"{rng.getrandbits(128):032x}",
        version="policy@v000017-3fa9c2e1",
        digest=f"{17:064x}",
        engine="http://127.0.0.1:8000",
        salt="bench",
        bucket=rng.randrange(10_000),
        variant="champion",
        flag_generation=17,
        reason="DEFAULT",
        prompt_token_ids=tuple(rng.randrange(32_000) for _ in range(TOKENS // 4)),
        completion_token_ids=tuple(rng.randrange(32_000) for _ in range(TOKENS)),
        logprobs=tuple(round(-rng.expovariate(2.0), 5) for _ in range(TOKENS)),
        text=text_of(number),
        redacted=(),
        purposes=("count", "train"),
        sampling=Sampling(max_tokens=256),
        finish_reason="stop",
        usage=Usage(prompt_tokens=TOKENS // 4, completion_tokens=TOKENS),
        latency_seconds=0.8,
    )
    at = _at(number)
    return GenerationEvent(
        id=name, source="/gateway/bench", specversion="1.0", time=at, receivedtime=at, data=data
    )


def feedback_event(number: int) -> FeedbackEvent:
    """Return what the person did: three in five accepted, the rest turned down or edited."""
    session, name = f"s{number // 4:08x}", f"f{number:024x}"
    data = Feedback(
        feedback_id=name,
        generation_id=f"{session}.{number:024x}",
        session_id=session,
        signal=signal_of(number),
        redacted=(),
    )
    at = _at(number + 200)
    return FeedbackEvent(
        id=name, source="/gateway/bench", specversion="1.0", time=at, receivedtime=at, data=data
    )


def text_of(number: int) -> str:
    """Return an answer; no two are alike, so that nothing worked out of one serves another."""
    return f"The backup of night {number} is done."


def signal_of(number: int) -> Signal:
    """Return what was done about it: of five accepted three, turned down one, edited one."""
    if number % 5 == 3:
        return Edited(final_text=f"{text_of(number)} " * 4)
    return Rejected() if number % 5 == 1 else Accepted()


def _at(number: int) -> datetime:
    return datetime.fromtimestamp(BEGAN + number / 100, UTC)
