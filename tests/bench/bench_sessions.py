"""Bench of sessions: what an agent's conversation of 50 turns costs, in the state and on the topic.

The same records are taken in twice, in turns: as they are, and as they were kept before turns were
linked, each in a session of its own and without reasoning, calls, tools and input. The short records of
the ingest bench are taken in with those fields, and without. No broker is here: decode, check, join,
score and persist are measured, and the bytes that are left.
"""

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from bench_records import generation_event
from bench_table import Line

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.events.event import GenerationEvent, encode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage, answer_digest
from rlwd.streams.events.tool_use import OfferedTool, ToolCall
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.ports import Partition, Record
from rlwd.streams.open import open_store

TURNS = 50
SESSIONS = 20
SYSTEM_TOKENS, INPUT_TOKENS, ANSWER_TOKENS = 1_500, 120, 80
SHORT = 4_000
"""Short records."""
POLL_RECORDS = 500
AT = Partition(topic="bench.generations", index=0)
TOOLS = tuple(OfferedTool(name=f"tool_{n}", digest=f"{n:016x}") for n in range(12))


def bench_sessions(*, rounds: int, say: Callable[[str], None]) -> list[Line]:
    """Measure 20 sessions of 50 turns, half of which call a tool; return the lines of the table."""
    say(f"sessions: {SESSIONS} of {TURNS} turns")
    linked = [encode_event(event) for event in conversations()]
    alone = [encode_event(as_before(event)) for event in conversations()]
    short = [generation_event(number) for number in range(SHORT)]
    worked = [encode_event(with_work(event, number)) for number, event in enumerate(short)]
    plain = [encode_event(event) for event in short]
    ours, theirs = list[tuple[float, float]](), list[tuple[float, float]]()
    fields, without = list[tuple[float, float]](), list[tuple[float, float]]()
    for number in range(rounds):
        ours.append(take_in(linked))
        theirs.append(take_in(alone))
        fields.append(take_in(worked))
        without.append(take_in(plain))
        say(f"sessions: round {number + 1} of {rounds}: {ours[-1][0]:,.0f} records/s of one core")
    before = "as before: no links, no new fields"
    return [
        Line(
            part="session",
            what="ingest of short records with an agent's work, by processor time",
            unit="records/s",
            against="without: no reasoning, calls, tools, input",
            ours=tuple(rate for rate, _ in fields),
            theirs=tuple(rate for rate, _ in without),
            goal=None,
        ),
        _line("ingest, by processor time", "records/s", before, ours, theirs, 0),
        _line("state: bytes a turn, the whole database", "bytes", before, ours, theirs, 1),
        Line(
            part="session",
            what="topic: bytes a turn",
            unit="bytes",
            against=before,
            ours=(sum(map(len, linked)) / len(linked),),
            theirs=(sum(map(len, alone)) / len(alone),),
            goal=None,
        ),
    ]


def _line(
    what: str,
    unit: str,
    against: str,
    ours: Sequence[tuple[float, float]],
    theirs: Sequence[tuple[float, float]],
    place: int,
) -> Line:
    return Line(
        part="session",
        what=f"{what} (50 turns)",
        unit=unit,
        against=against,
        ours=tuple(one[place] for one in ours),
        theirs=tuple(one[place] for one in theirs),
        goal=None,
    )


def conversations() -> list[GenerationEvent]:
    """Return the records of all sessions, as a gateway would have written them, one after another."""
    found = list[GenerationEvent]()
    for session in range(SESSIONS):
        rng = random.Random(session)
        tokens = [rng.randrange(32_000) for _ in range(SYSTEM_TOKENS)]
        said = ""
        for turn in range(TURNS):
            tokens += [rng.randrange(32_000) for _ in range(INPUT_TOKENS)]
            answer = [rng.randrange(32_000) for _ in range(ANSWER_TOKENS)]
            data = _turn(session, turn, tokens, answer, said, rng)
            at = datetime.fromtimestamp(1.79e9 + session * TURNS + turn, UTC)
            found.append(
                GenerationEvent(
                    id=data.generation_id,
                    source="/gateway/bench",
                    specversion="1.0",
                    time=at,
                    receivedtime=at,
                    data=data,
                )
            )
            tokens, said = tokens + answer, data.text
    return found


def _turn(
    session: int, turn: int, prompt: list[int], answer: list[int], said: str, rng: random.Random
) -> Generation:
    calls, came = turn % 2 == 0, turn % 2 == 1
    text = "" if calls else f"Done with step {turn} of {session}. " * 8
    call = ToolCall(
        id=f"call-{session}-{turn}",
        name="tool_1",
        arguments='{"path": "a.py"}',
        parses=True,
        fits=True,
    )
    heard = "x" * (INPUT_TOKENS * 4)
    message = (
        InputMessage(role="tool", text=heard, tool_call_id=f"call-{session}-{turn - 1}")
        if came
        else InputMessage(role="user", text=heard)
    )
    return Generation(
        redacted=(),
        generation_id=f"b{session:04x}.{turn:024x}",
        session_id=f"b{session:04x}",
        session_found="beginning",
        user_hash=f"{session:032x}",
        version="policy@v000017-3fa9c2e1",
        prompt_token_ids=tuple(prompt),
        completion_token_ids=tuple(answer),
        logprobs=tuple(round(-rng.expovariate(2.0), 5) for _ in answer),
        text=text,
        reasoning="They want the next step. " * 4,
        tool_calls=(call,) if calls else (),
        tools=TOOLS,
        input=(message,),
        earlier_answers=turn,
        last_answer=answer_digest(said),
        finish_reason="tool_calls" if calls else "stop",
    )


def with_work(event: GenerationEvent, number: int) -> GenerationEvent:
    """Return a short record with reasoning, a tool call, the tools offered and the input."""
    call = ToolCall(
        id=f"call-{number}", name="tool_1", arguments='{"path": "a.py"}', parses=True, fits=True
    )
    data = msgspec.structs.replace(
        event.data,
        session_found="named",
        reasoning="They want to know of the backup. ",
        tool_calls=(call,),
        tools=TOOLS[:4],
        input=(InputMessage(role="user", text="Is the backup of last night done?"),),
        finish_reason="tool_calls",
    )
    return msgspec.structs.replace(event, data=data)


def as_before(event: GenerationEvent) -> GenerationEvent:
    """Return a record as it was before: nothing of an agent's work, and nothing leads to another."""
    data = msgspec.structs.replace(
        event.data,
        session_id=event.data.generation_id,
        session_found="chance",
        reasoning="",
        tool_calls=(),
        tools=(),
        input=(),
        earlier_answers=0,
        last_answer="",
    )
    return msgspec.structs.replace(event, data=data)


def take_in(values: Sequence[bytes]) -> tuple[float, float]:
    """Take all records into an empty state; return records a second of one core, and bytes a record."""
    spec = reward_spec("")
    joiner = Joiner("policy", Scorer(spec), spec.decision_seconds)
    with tempfile.TemporaryDirectory(prefix="rlwd-bench-") as place:
        store = open_store(Path(place) / "rlwd.db")
        with store.transaction() as tx:
            joiner.resume(tx, [AT])
        began = time.process_time()
        for start in range(0, len(values), POLL_RECORDS):
            polled = [
                Record(partition=AT, offset=start + n, key=b"", value=value)
                for n, value in enumerate(values[start : start + POLL_RECORDS])
            ]
            with store.transaction() as tx:
                taken = joiner.ingest(tx, polled, 1.8e9)
            joiner.committed()
            assert taken.generations == len(polled)
        seconds = time.process_time() - began
        with store.reading() as view:
            pages = view.execute("PRAGMA page_count").fetchone()[0]
            size = view.execute("PRAGMA page_size").fetchone()[0]
        store.close()
    return len(values) / seconds, pages * size / len(values)
