"""Bench of behaviours: microseconds per answer of 1 kB and of 20 kB, beside decoding its record."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from bench_table import Line

from rlwd.ops.stages.watch_settings import WatchSettings
from rlwd.rewards.behaviours.behaviour import BEHAVIOURS, Measuring
from rlwd.streams.events.event import GenerationEvent, encode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage

T = TypeVar("T")
ANSWERS = 100
WORDS = [
    "the",
    "loop",
    "ends",
    "one",
    "step",
    "too",
    "early",
    "so",
    "that",
    "last",
    "line",
    "of",
    "file",
    "is",
    "never",
    "written,",
    "I",
    "changed",
    "its",
    "bound",
    "and",
    "added",
    "a",
    "test",
    "for",
    "it;",
    "what",
    "else",
    "did",
    "you",
    "expect?",
    "it",
    "reads",
    "each",
    "line,",
    "splits",
    "it",
    "at",
    "commas",
    "and",
    "keeps",
    "fields",
    "in",
    "memory",
]
CODE = "\n```python\n# Reads the file once.\ndef lines(path):\n    return open(path).readlines()\n```\n"


def bench_behaviours(*, rounds: int, say: Callable[[str], None]) -> list[Line]:
    """Measure what the drift watch measures, and each behaviour alone, on prose with some code."""
    lines = []
    for size in (1000, 20_000):
        say(f"behaviours: {ANSWERS} answers of {size} characters")
        events = [_event(random.Random(number), size) for number in range(ANSWERS)]
        answers = [event.data for event in events]
        written = [encode_event(event) for event in events]
        decode = msgspec.json.Decoder(GenerationEvent).decode
        watched = Measuring(WatchSettings().measured)
        ours, theirs = list[float](), list[float]()
        for _ in range(rounds):
            ours.append(_microseconds(answers, watched))
            theirs.append(_microseconds(written, decode))
        lines.append(_line(f"all that is watched, answers of {size // 1000} kB", ours, theirs))
        for name, behaviour in BEHAVIOURS.items():
            alone = [_microseconds(answers, behaviour) for _ in range(rounds)]
            lines.append(_line(f"{name}, {size // 1000} kB", alone, ()))
    return lines


def _line(what: str, ours: list[float], theirs: list[float] | tuple[()]) -> Line:
    return Line(
        part="behaviours",
        what=what,
        unit="microseconds",
        against="decoding the record" if theirs else "",
        ours=tuple(ours),
        theirs=tuple(theirs),
        compare="ratio" if theirs else "alone",
    )


def _microseconds(things: Sequence[T], work: Callable[[T], object]) -> float:
    began = time.process_time()
    for one in things:
        work(one)
    return (time.process_time() - began) / len(things) * 1e6


def _event(rng: random.Random, size: int) -> GenerationEvent:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    text = " ".join(rng.choice(WORDS) for _ in range(size // 4))[: size - len(CODE)]
    half = len(text) // 2
    data = Generation(
        generation_id="g",
        session_id="s",
        text=text[:half] + CODE + text[half:],
        input=(InputMessage(role="user", text=" ".join(rng.choices(WORDS, k=80))),),
        completion_token_ids=tuple(range(size // 4)),
        logprobs=(-0.5,) * (size // 4),
        finish_reason="stop",
    )
    return GenerationEvent(
        id="g", source="/bench", specversion="1.0", time=at, receivedtime=at, data=data
    )
