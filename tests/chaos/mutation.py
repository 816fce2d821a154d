"""Mutation: valid records and what can become of one on its way, drawn from one generator.

A record is first bent as a document (a field gone, twice, of another type, too large, too deep) or
as bytes (flipped, cut, no UTF-8, a word that is no JSON). Everything is a pure function of the
record and the generator, so that a seed repeats a run to the byte.
"""

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

import orjson

from rlwd.streams.events.signals import ErrorClass, Statement

BEGAN = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
SECONDS_APART = 0.5
"""Between two records, so that horizons of an hour close along the way."""
RECENT = 20
"""Generations that feedback may still be about."""
SEGMENTS = ("default", "code", "mail")
JUDGED_EVERY = 50
JUDGED = {
    "kind": "judged",
    "direction": "satisfied",
    "value": 0.9,
    "confidence": 0.9,
    "reader": "learned@0",
    "message": "g1",
    "proof": "00",
}
"""What the daemon alone may write; nobody here proves it."""
LARGE_BYTES = 10 * 1024 * 1024

_NUMBER = re.compile(rb"-?\d+(\.\d+)?")


class Records:
    """Writes valid records: generations, and feedback on recent ones or on none."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.count = rng, 0
        self._recent: list[int] = []

    def draw(self) -> dict[str, Any]:
        """Return the next record."""
        self.count += 1
        feedback = self.rng.random() < 0.6
        if not feedback:
            self._recent = [*self._recent[-RECENT:], self.count]
        at = datetime.fromtimestamp(BEGAN + SECONDS_APART * self.count, UTC).isoformat()
        return {
            "type": f"rlwd.{'feedback' if feedback else 'generation'}.v1",
            "id": f"r{self.count}",
            "source": "/fuzz",
            "specversion": "1.0",
            "time": at,
            "receivedtime": at,
            "data": self._feedback() if feedback else self._generation(),
        }

    def _generation(self) -> dict[str, Any]:
        tokens = [self.rng.randrange(1000) for _ in range(self.rng.randrange(12))]
        return {
            "generation_id": f"g{self.count}",
            "session_id": f"s{self.count % 97}",
            "segment": self.rng.choice(SEGMENTS),
            "user_hash": f"u{self.count % 31}",
            "salt": "salt",
            "bucket": self.rng.randrange(10_000),
            "variant": self.rng.choice(("champion", "candidate", "control", "")),
            "version": "policy@v000001-3fa9c2e1",
            "consent": self.rng.random() < 0.95,
            "prompt_token_ids": [5, 6, 7],
            "completion_token_ids": tokens,
            "logprobs": [-self.rng.random() for _ in tokens],
            "text": self.rng.choice(("good day", "größer als 3 🙂", "def f(x):\n    return [x]")),
            "sampling": {"temperature": 1.0, "top_p": self.rng.choice((1.0, 0.9))},
            "usage": {"prompt_tokens": 3, "completion_tokens": len(tokens)},
            **self._work(),
        }

    def _work(self) -> dict[str, Any]:
        """Return what an agent's answer has beside its text: calls, results, and where it leads."""
        call = {
            "id": f"c{self.count}",
            "name": "t",
            "arguments": "{}",
            "parses": True,
            "fits": None,
        }
        came = {"role": "tool", "text": "3", "tool_call_id": f"c{self.count - 97}"}
        return {
            "session_found": self.rng.choice(("named", "beginning", "chance", "")),
            "parent_id": self.rng.choice((None, None, f"g{self.count - 97}")),
            "call_id": self.rng.choice((None, None, f"c{self.count - 1}")),
            "tool_calls": self.rng.choice(([], [call])),
            "input": self.rng.choice(([], [came], [{"role": "user", "text": "why?"}])),
            "earlier_answers": self.rng.randrange(3),
            "references": {"ticket": f"T{self.count % 31}"} if self.count % 3 == 0 else {},
        }

    def _feedback(self) -> dict[str, Any]:
        # Some of it comes before its generation, or its generation never does.
        early = not self._recent or self.rng.random() < 0.1
        about = self.count + self.rng.randrange(9) if early else self.rng.choice(self._recent)
        drawn = signal(self.rng)
        ticket = {"key": "ticket", "value": f"T{about % 37}"}
        chain = self.count % 10 == 1 and self.count % JUDGED_EVERY
        return {
            "feedback_id": f"f{self.count}",
            "generation_id": "" if chain else f"g{about}",
            "reference": ticket if chain and about % 2 else None,
            "session_id": f"s{about % 97}",
            "signal": dict(JUDGED) if self.count % JUDGED_EVERY == 0 else drawn,
            "actor": self.rng.choice(("person", "agent", "system")),
            "replaces": f"f{self.count - 3}" if self.rng.random() < 0.05 else None,
        }


def signal(rng: random.Random) -> dict[str, Any]:
    """Return a valid signal of any kind."""
    plain = ("accepted", "rejected", "undone", "interrupted", "resolved", "escalated")
    made: tuple[dict[str, Any], ...] = (
        {"kind": rng.choice(plain)},
        {"kind": "edited", "final_text": "good night"},
        {"kind": "kept", "fraction": rng.random(), "horizon_seconds": 30},
        {"kind": "copied", "text": "day"},
        {"kind": "followed_up", "text": "no", "statement": rng.choice(get_args(Statement))},
        {"kind": "rated", "value": rng.random()},
        {"kind": "tool_result", "tool": "t", "error_class": rng.choice(get_args(ErrorClass))},
        {"kind": "regenerated", "new_generation_id": "g1"},
        {"kind": "outcome", "name": "sold", "value": rng.random(), "amount": 9.5, "unit": "EUR"},
        {"kind": "measured", "name": "seconds_saved", "value": rng.random() * 100},
        {"kind": "checked", "name": "json", "passed": rng.random() < 0.5},
        {"kind": "asked", "question": "helpful", "probability": 0.25, "channel": "mail"},
    )
    return rng.choice(made)


def odd_values(rng: random.Random) -> tuple[Any, ...]:
    """Return values that hardly any field expects."""
    return (
        *(None, True, "", [], {}, -1, 1.5, 2**63, 2**64 - 1, -(2**63), 1e308, -1e308, 5e-324),
        *("a\0b", "x" * 5000, "ü" * 400, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
        *("1969-12-31T23:59:59Z", "2026-11-21T12:00:00", "rlwd.feedback.v2", "rlwd.generation.v9"),
        *("unheard_of", [[[]]], {"kind": {"kind": {}}}, [rng.random()] * 50, 253402300799),
    )


def bend_document(record: dict[str, Any], rng: random.Random) -> bytes:
    """Change one field, at any level, and write the record."""
    places = [(record, key) for key in record]
    places += [(record["data"], key) for key in record["data"]]
    for inner in [value for value in record["data"].values() if isinstance(value, dict)]:
        places += [(inner, key) for key in inner]
    place, key = rng.choice(places)
    act = rng.randrange(5)
    if act == 0:
        del place[key]
    elif act == 1:
        place[f"{key}_"] = place.pop(key)
    elif act == 2:
        other, name = rng.choice(places)
        place[key] = orjson.Fragment(orjson.dumps(other.get(name)))
    else:
        place[key] = rng.choice(odd_values(rng))
    return orjson.dumps(record)


def flip_bits(raw: bytes, rng: random.Random) -> bytes:
    """Flip one to four bits anywhere."""
    flipped = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def cut(raw: bytes, rng: random.Random) -> bytes:
    """Lose the end, or a piece out of the middle."""
    start, end = sorted((rng.randrange(len(raw)), rng.randrange(len(raw))))
    return raw[:start] + (b"" if rng.random() < 0.5 else raw[end:])


def say_twice(raw: bytes, rng: random.Random) -> bytes:
    """Give the record, or its data, one of its fields a second time, with another value."""
    name = rng.choice(
        (b"id", b"type", b"data", b"session_id", b"generation_id", b"signal", b"text")
    )
    again = b'"%s":%s,' % (name, orjson.dumps(rng.choice(odd_values(rng))))
    return raw.replace(b"{", b"{" + again, rng.randint(1, 2))


def misspeak(raw: bytes, rng: random.Random) -> bytes:
    """Write a number as no number, or as one that nothing can hold."""
    words = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"-0", b"01", b"0x1F", b"1_0")
    found = list(_NUMBER.finditer(raw))
    if not found:
        return raw + rng.choice(words)
    at = rng.choice(found)
    return raw[: at.start()] + rng.choice(words) + raw[at.end() :]


def break_text(raw: bytes, rng: random.Random) -> bytes:
    """Put bytes that are no UTF-8, or half a surrogate pair, somewhere."""
    junk = (
        b"\xff\xfe",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        rb"\ud800",
        b"\0",
        b"\x80",
    )
    at = rng.randrange(len(raw))
    return raw[:at] + rng.choice(junk) + raw[at:]


def bury_deep(raw: bytes, rng: random.Random) -> bytes:
    """Add a field that nests: around what a reader can skip, and far beyond it."""
    depth = rng.choice((50, 480, 495, 505, 940, 960, 980, 1000, 5000, 100_000))
    left, right = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    deep = left * depth + b"1" + right * (depth if rng.random() < 0.8 else 0)
    return raw.replace(b"{", b'{"deep":' + deep + b",", 1)


def scramble(raw: bytes, rng: random.Random) -> bytes:
    """Return something that was never a record."""
    junk = (b"", b"null", b"[]", b"{}", b'"', b"[" * 200_000, rng.randbytes(200), raw + raw)
    return rng.choice(junk)


def enlarge(raw: bytes, rng: random.Random) -> bytes:
    """Return a record of 10 MB: junk, or one with a text, or a name, that long."""
    filler = (rng.choice((b"a", b"[{", "ü".encode())) * LARGE_BYTES)[:LARGE_BYTES]
    if rng.random() < 0.3:
        return filler
    place = rng.choice((b'text":"', b'"kind":"', b'"generation_id":"'))
    longer = raw.replace(place, place + filler, 1)
    return longer if longer != raw else raw.replace(b"{", b'{"text":"' + filler + b'",', 1)


BENDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(flip_bits, cut, say_twice, misspeak, break_text, bury_deep, scramble),
)
"""Every way to bend bytes but the 10 MB one, which is rare."""
