"""Bench of redaction: what it adds to writing one answer down, and to a text made to be slow."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bench_table import Line

from rlwd.streams.events.event import GenerationEvent, encode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.redaction.redacted_event import redact_event

ANSWERS = 200
PROSE = (
    "the order was shipped on 2026-11-21 at 12:30 and result = parse(line) # see the manual: it"
    " returns x[0] + 1000, so please try again, or write to the team; status 200 {'total': 1234.50}"
)


def bench_redaction(*, rounds: int, say: Callable[[str], None]) -> list[Line]:
    """Measure answers of 2 kB to inputs of 1 kB, none of which holds anything."""
    say(f"redaction: {ANSWERS} answers")
    events = [_event(random.Random(number)) for number in range(ANSWERS)]
    ours, theirs = list[float](), list[float]()
    for _ in range(rounds):
        ours.append(_microseconds(events, lambda one: encode_event(redact_event(one))))
        theirs.append(_microseconds(events, encode_event))
    return [
        Line(
            part="redaction",
            what="one answer of 2 kB to an input of 1 kB, redacted and encoded",
            unit="microseconds",
            against="encoded alone",
            ours=tuple(ours),
            theirs=tuple(theirs),
            goal=None,
        )
    ]


def _microseconds(
    events: list[GenerationEvent], work: Callable[[GenerationEvent], object]
) -> float:
    began = time.process_time()
    for event in events:
        work(event)
    return (time.process_time() - began) / len(events) * 1e6


def _event(rng: random.Random) -> GenerationEvent:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return GenerationEvent(
        id="g",
        source="/bench",
        specversion="1.0",
        time=at,
        receivedtime=at,
        data=Generation(
            generation_id="g",
            session_id="s",
            text=_text(rng, 2000),
            input=(InputMessage(role="user", text=_text(rng, 1000)),),
            prompt_token_ids=tuple(range(750)),
            completion_token_ids=tuple(range(500)),
            logprobs=(-0.5,) * 500,
        ),
    )


def _text(rng: random.Random, length: int) -> str:
    words = PROSE.split()
    return " ".join(rng.choice(words) for _ in range(length // 4))[:length]
