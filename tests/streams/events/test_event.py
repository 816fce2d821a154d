"""Events on the wire: what was written is read, and what cannot be read names the field at fault."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rlwd.streams.events.event import (
    Event,
    Feedback,
    FeedbackEvent,
    GenerationEvent,
    MalformedEvent,
    decode_event,
    encode_event,
)
from rlwd.streams.events.generation import Generation, Sampling, check_logprobs
from rlwd.streams.events.signals import (
    SIGNALS,
    Accepted,
    Asked,
    Checked,
    Copied,
    Edited,
    ErrorClass,
    Escalated,
    FollowedUp,
    Interrupted,
    Judged,
    Kept,
    Measured,
    Outcome,
    Rated,
    Regenerated,
    Rejected,
    Resolved,
    Signal,
    Statement,
    ToolResult,
    Undone,
    kind_of,
)
from rlwd.streams.events.usage import Usage

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
EVERY_SIGNAL: tuple[Signal, ...] = (
    Accepted(),
    Rejected(),
    Edited(final_text="better"),
    Undone(),
    Kept(fraction=0.5, horizon_seconds=30.0),
    Interrupted(),
    Copied(text="part"),
    FollowedUp(text="why?"),
    FollowedUp(text="since we pay by the word", statement="justification"),
    Rated(value=1.0),
    ToolResult(tool="search", error_class=None),
    ToolResult(tool="search", error_class="user_aborted"),
    Resolved(),
    Escalated(),
    Regenerated(),
    Regenerated(new_generation_id="s1.g2"),
    Outcome(name="merged", value=1.0),
    Outcome(name="sold", value=0.25, amount=120.5, unit="EUR"),
    Measured(name="seconds_saved", value=-12.5),
    Checked(name="answers in JSON", passed=False),
    Asked(question="helpful", probability=0.1, channel="below the answer"),
    Judged(
        direction="dissatisfied",
        value=0.125,
        confidence=0.875,
        reader="learned@3fa9c2e1d0b4",
        message="s1.g2",
        found=("corrected", "pasted_trace"),
        statements=("correction",),
        proof="00ff",
    ),
)


def generation(**fields: Any) -> GenerationEvent:
    data = Generation(
        **{
            "generation_id": "s1.g1",
            "session_id": "s1",
            "prompt_token_ids": (5, 6),
            "completion_token_ids": (7, 8),
            "logprobs": (-0.1, -2.0),
            **fields,
        }
    )
    return GenerationEvent(
        id="s1.g1", source="/gw", specversion="1.0", time=NOON, receivedtime=NOON, data=data
    )


def feedback(signal: Signal) -> FeedbackEvent:
    data = Feedback(feedback_id="f1", generation_id="s1.g1", session_id="s1", signal=signal)
    return FeedbackEvent(
        id="f1", source="/gw", specversion="1.0", time=NOON, receivedtime=NOON, data=data
    )


def raw(event: Event, **changes: Any) -> bytes:
    """The event on the wire, with fields of `data` (or, with a leading underscore, above) changed."""
    record = json.loads(encode_event(event))
    for field, value in changes.items():
        if field.startswith("_"):
            record[field[1:]] = value
        else:
            record["data"][field] = value
    return json.dumps(record).encode()


def test_every_signal_has_a_case_here() -> None:
    """A new signal cannot be forgotten in these tests."""
    assert {type(signal) for signal in EVERY_SIGNAL} == set(SIGNALS)


@pytest.mark.parametrize("event", [generation(), *map(feedback, EVERY_SIGNAL)])
def test_what_is_written_is_read(event: Event) -> None:
    """Encoding and decoding gives the same event back."""
    assert decode_event(encode_event(event)) == event


def test_the_envelope_is_cloudevents() -> None:
    """Required attributes of CloudEvents 1.0 are there under their names, and the version in type."""
    record = json.loads(encode_event(feedback(Rated(value=1.0))))
    assert (record["specversion"], record["type"]) == ("1.0", "rlwd.feedback.v1")
    assert {"id", "source", "time", "receivedtime", "data"} <= set(record)
    assert record["data"]["signal"] == {"kind": "rated", "value": 1.0}
    assert kind_of(Rated(value=1.0)) == "rated"


def test_an_unknown_version_is_refused_by_name() -> None:
    """A record of a version from the future is never half-read."""
    with pytest.raises(MalformedEvent, match=r"'rlwd\.generation\.v9' - at `\$\.type`"):
        decode_event(raw(generation(), _type="rlwd.generation.v9"))


def test_unknown_fields_are_ignored() -> None:
    """A newer writer of the same version may say more than this build knows, at every level."""
    record = json.loads(raw(generation(), novelty=1, _traceparent="00-1"))
    record["data"]["sampling"] = {"penalty": 2}
    assert decode_event(json.dumps(record).encode()) == generation()


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_log_probabilities_that_are_no_numbers_are_refused(word: str) -> None:
    """NaN and the infinities do not reach the learner, however they are written."""
    broken = encode_event(generation()).replace(b"-2.0", word.encode())
    assert broken != encode_event(generation())
    with pytest.raises(MalformedEvent):
        decode_event(broken)


@pytest.mark.parametrize("values", [(math.nan,), (math.inf,), (-math.inf,), (0.5,)])
def test_a_generation_cannot_be_made_with_impossible_log_probabilities(
    values: tuple[float, ...],
) -> None:
    """The check holds for events made here too, and for numpy-like values that JSON never saw."""
    with pytest.raises(ValueError, match=r"\$\.data\.logprobs: every value must be finite"):
        generation(completion_token_ids=(7,), logprobs=values)
    with pytest.raises(ValueError, match="finite"):
        check_logprobs([7], list(values))


def test_rounding_above_zero_is_taken() -> None:
    """An engine's arithmetic may end a hair above 0."""
    assert decode_event(raw(generation(), logprobs=[1e-6, 0.0]))


def test_the_outermost_token_ids_are_taken() -> None:
    """0 and the largest number of 31 bits are ids like any other."""
    outermost = (0, 2**31 - 1)
    event = generation(prompt_token_ids=outermost, completion_token_ids=outermost)
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"logprobs": [-0.1]}, r"\$\.data\.logprobs: 1 values for 2 completion_token_ids"),
        (
            {"logprobs": [-0.1, 0.2]},
            r"\$\.data\.logprobs: every value must be finite and at most 0",
        ),
        ({"completion_token_ids": None}, r"\$\.data\.logprobs: given without"),
        ({"logprobs": [-0.1, None]}, r"`\$\.data\.logprobs\[1\]`"),
        ({"prompt_token_ids": ["a"]}, r"`\$\.data\.prompt_token_ids\[0\]`"),
        ({"prompt_token_ids": [5, -1]}, r">= 0.*`\$\.data\.prompt_token_ids\[1\]`"),
        ({"prompt_token_ids": [2**31]}, r"<= 2147483647.*`\$\.data\.prompt_token_ids\[0\]`"),
        ({"completion_token_ids": [-7, 8]}, r"`\$\.data\.completion_token_ids\[0\]`"),
        ({"completion_token_ids": [7, 2**63]}, r"`\$\.data\.completion_token_ids\[1\]`"),
        ({"generation_id": ""}, r"`\$\.data\.generation_id`"),
        ({"session_id": 7}, r"`\$\.data\.session_id`"),
        ({"consent": "yes"}, r"`\$\.data\.consent`"),
        ({"sampling": {"temperature": -1}}, r"`\$\.data\.sampling\.temperature`"),
        ({"logprobs_mode": "cooked"}, r"`\$\.data\.logprobs_mode`"),
        ({"_time": "2026-11-21T12:00:00"}, r"\$\.time: a time needs its zone"),
        ({"_receivedtime": "2026-11-21T12:00:00"}, r"\$\.receivedtime: a time needs its zone"),
        ({"_receivedtime": "noon"}, r"`\$\.receivedtime`"),
        ({"_specversion": "0.3"}, r"`\$\.specversion`"),
        ({"_id": ""}, r"`\$\.id`"),
        ({"_data": []}, r"`\$\.data`"),
    ],
)
def test_a_bad_generation_names_the_field(changes: dict[str, Any], says: str) -> None:
    """The message has the path of what is wrong, for whoever reads the dead letter."""
    with pytest.raises(MalformedEvent, match=says):
        decode_event(raw(generation(), **changes))


@pytest.mark.parametrize(
    ("signal", "says"),
    [
        ({"kind": "Liked it"}, r"'Liked it' - at `\$\.data\.signal\.kind`"),
        ({"kind": "unknown_signal"}, r"at `\$\.data\.signal"),
        (
            {"kind": "unknown_signal", "named": "judged", "fields": {"kind": "judged"}},
            r"'unknown_signal' - at `\$\.data\.signal\.kind`",
        ),
        ({"kind": "judged", "direction": "delighted"}, r"`\$\.data\.signal\.direction`"),
        ({}, r"`kind` - at `\$\.data\.signal`"),
        ({"kind": "edited"}, r"`final_text` - at `\$\.data\.signal`"),
        ({"kind": "kept", "fraction": 1.2, "horizon_seconds": 15}, r"`\$\.data\.signal\.fraction`"),
        ({"kind": "kept", "fraction": 1, "horizon_seconds": 0}, r"signal\.horizon_seconds`"),
        ({"kind": "rated", "value": -0.1}, r"`\$\.data\.signal\.value`"),
        ({"kind": "tool_result", "tool": "x"}, r"`error_class` - at `\$\.data\.signal`"),
        ({"kind": "tool_result", "tool": "x", "error_class": "odd"}, r"\.signal\.error_class`"),
        ({"kind": "tool_result", "tool": "", "error_class": None}, r"\.signal\.tool`"),
        ({"kind": "outcome", "name": "sold", "value": 3}, r"`\$\.data\.signal\.value`"),
        ({"kind": "followed_up", "text": "", "statement": "odd"}, r"\.signal\.statement`"),
    ],
)
def test_a_bad_signal_names_the_field(signal: dict[str, Any], says: str) -> None:
    """Each wrong signal says where it is wrong."""
    with pytest.raises(MalformedEvent, match=says):
        decode_event(raw(feedback(Accepted()), signal=signal))


@pytest.mark.parametrize(
    ("event", "changes", "says"),
    [
        (generation(), {"generation_id": "a\0"}, r"\$\.data\.generation_id: holds a NUL"),
        (generation(), {"session_id": "s\0"}, r"\$\.data\.session_id: holds a NUL"),
        (generation(), {"parent_id": "p\0"}, r"\$\.data\.parent_id: holds a NUL"),
        (generation(), {"call_id": "c\0"}, r"\$\.data\.call_id: holds a NUL"),
        (generation(), {"earlier_answers": 2**63}, r"\$\.data\.earlier_answers"),
        (
            generation(),
            {
                "tool_calls": [
                    {"id": "c\0", "name": "", "arguments": "", "parses": False, "fits": None}
                ]
            },
            r"\$\.data\.tool_calls\[0\]\.id: holds a NUL",
        ),
        (
            generation(),
            {"input": [{"role": "tool", "tool_call_id": "ü" * 300}]},
            r"\$\.data\.input\[0\]\.tool_call_id: is longer than 512 bytes",
        ),
        (generation(), {"salt": "s\0"}, r"\$\.data\.salt: holds a NUL"),
        (generation(), {"harness": "h\0"}, r"\$\.data\.harness: holds a NUL"),
        (generation(), {"tenant": "t" * 513}, r"\$\.data\.tenant: is longer than 512 bytes"),
        (generation(), {"salt": "s" * 513}, r"\$\.data\.salt: is longer than 512 bytes"),
        (generation(), {"segment": "ü" * 257}, r"\$\.data\.segment: is longer than 512 bytes"),
        (feedback(Accepted()), {"feedback_id": "\0"}, r"\$\.data\.feedback_id: holds a NUL"),
        (feedback(Accepted()), {"tenant": "a\0"}, r"\$\.data\.tenant: holds a NUL"),
        (feedback(Accepted()), {"tenant": "t" * 513}, r"\$\.data\.tenant: is longer than 512"),
        (feedback(Accepted()), {"generation_id": "ü" * 257}, r"generation_id: is longer"),
        (generation(), {"_receivedtime": "9999-12-31T23:59:59-14:00"}, r"\$\.receivedtime: 9999"),
        (generation(), {"_time": "0001-01-01T00:00:00+14:00"}, r"\$\.time: 0001"),
    ],
)
def test_what_no_ledger_can_hold_is_malformed(
    event: Event, changes: dict[str, Any], says: str
) -> None:
    """A name that a database refuses, or a day that no calendar has, would stop what reads it."""
    with pytest.raises(MalformedEvent, match=says):
        decode_event(raw(event, **changes))


def test_a_name_may_be_long_and_a_text_may_hold_anything() -> None:
    """The bounds are for what becomes a column, and not a byte narrower than they need be."""
    assert decode_event(raw(generation(), salt="s" * 512, segment="ü" * 256, text="\0" * 9999))
    assert decode_event(raw(feedback(Edited(final_text="\0"))))


@pytest.mark.parametrize("depth", [201, 990, 10_000, 1_000_000])
def test_what_nests_too_deep_is_malformed(depth: int) -> None:
    """Skipping a field recurses: a deep one is refused before that ends the process's patience."""
    for left, right in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = left * depth + b"1" + right * depth
        with pytest.raises(MalformedEvent, match="nests deeper than 200"):
            decode_event(
                raw(generation(), novelty=0).replace(b'"novelty": 0', b'"novelty": ' + deep)
            )


def test_brackets_in_texts_do_not_nest() -> None:
    """Code is full of brackets; so may be a field that is not ours, side by side."""
    code = '[{"' * 5000 + "\\" + "]}" * 7
    assert decode_event(raw(generation(), text=code, novelty=[[{}]] * 5000))


def test_a_reason_is_short_and_has_both_ends() -> None:
    """A dead letter must go into a topic and a column, however long the value was that it quotes."""
    with pytest.raises(MalformedEvent) as refused:
        decode_event(raw(feedback(Accepted()), signal={"kind": "\0x" * 1_000_000}))
    assert len(str(refused.value)) < 600
    assert "\0" not in str(refused.value)
    assert str(refused.value).endswith("at `$.data.signal.kind`")


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"{}", b"1"])
def test_what_is_no_record_at_all_is_malformed(junk: bytes) -> None:
    """Whatever a topic holds, decoding raises MalformedEvent and nothing else."""
    with pytest.raises(MalformedEvent):
        decode_event(junk)


@given(some.binary(max_size=200))
def test_no_bytes_make_the_decoder_fail_otherwise(junk: bytes) -> None:
    """Random bytes are malformed, never a crash."""
    with pytest.raises(MalformedEvent):
        decode_event(junk)


NAME = some.from_regex("[a-z][a-z0-9_]{0,8}", fullmatch=True)
WORD = some.text(some.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)
TIMES = some.datetimes(
    min_value=datetime(1971, 1, 1),
    max_value=datetime(2200, 1, 1),
    timezones=some.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
SIGNAL = some.one_of(
    some.sampled_from([Accepted(), Rejected(), Undone()]),
    some.builds(Edited, final_text=some.text()),
    some.builds(
        Kept, fraction=some.floats(0, 1), horizon_seconds=some.floats(0, 1e6, exclude_min=True)
    ),
    some.builds(Copied, text=some.text()),
    some.builds(
        FollowedUp,
        text=some.text(),
        statement=some.none() | some.sampled_from(get_args(Statement)),
    ),
    some.builds(Rated, value=some.floats(0, 1)),
    some.sampled_from([Interrupted(), Resolved(), Escalated()]),
    some.builds(
        ToolResult, tool=WORD, error_class=some.none() | some.sampled_from(get_args(ErrorClass))
    ),
    some.builds(Regenerated, new_generation_id=some.none() | WORD),
    some.builds(
        Outcome,
        name=WORD,
        value=some.floats(0, 1),
        amount=some.none() | some.floats(allow_nan=False, allow_infinity=False),
        unit=some.text(),
    ),
    some.builds(Measured, name=NAME, value=some.floats(-1e15, 1e15)),
    some.builds(Checked, name=WORD, passed=some.booleans()),
    some.builds(
        Asked,
        question=WORD,
        probability=some.floats(0, 1, exclude_min=True),
        channel=some.text(max_size=512),
    ),
)


@some.composite
def events(draw: some.DrawFn) -> Event:
    """Any event that can be written."""
    frame: dict[str, Any] = {
        "id": draw(WORD),
        "source": draw(WORD),
        "specversion": "1.0",
        "time": draw(TIMES),
        "receivedtime": draw(TIMES),
    }
    if draw(some.booleans()):
        said = Feedback(
            feedback_id=draw(WORD),
            generation_id=draw(WORD),
            session_id=draw(WORD),
            signal=draw(SIGNAL),
            actor=draw(some.sampled_from(["person", "agent", "system"])),
            replaces=draw(some.none() | WORD),
        )
        return FeedbackEvent(**frame, data=said)
    tokens = draw(some.none() | some.lists(some.integers(0, 2**31 - 1), max_size=5).map(tuple))
    logprobs = (
        None
        if tokens is None
        else draw(
            some.none()
            | some.lists(some.floats(-1e6, 0), min_size=len(tokens), max_size=len(tokens)).map(
                tuple
            )
        )
    )
    served = Generation(
        generation_id=draw(WORD),
        session_id=draw(WORD),
        parent_id=draw(some.none() | WORD),
        text=draw(some.text()),
        completion_token_ids=tokens,
        logprobs=logprobs,
        sampling=Sampling(temperature=draw(some.floats(0, 5)), top_k=draw(some.integers(-1, 99))),
        usage=Usage(
            prompt_tokens=draw(some.integers(0, 10**9)),
            cached_prompt_tokens=draw(some.none() | some.integers(0, 10**9)),
            reasoning_tokens=draw(some.none() | some.integers(0, 10**9)),
        ),
        tool_call_count=draw(some.none() | some.integers(0, 99)),
        numbers=draw(some.dictionaries(NAME, some.floats(-1e15, 1e15), max_size=3)),
        latency_seconds=draw(some.floats(0, 1e6)),
    )
    return GenerationEvent(**frame, data=served)


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("numbers", {"Diff": 1}, "numbers"),
        ("numbers", {"diff": 1e300}, "numbers"),
        ("numbers", {"diff": "7"}, "numbers"),
        ("numbers", {f"n{i}": 1 for i in range(65)}, "numbers"),
        ("tool_call_count", -1, "tool_call_count"),
        ("usage", {"cached_prompt_tokens": -1}, "usage.cached_prompt_tokens"),
        ("usage", {"reasoning_tokens": -1}, "usage.reasoning_tokens"),
    ],
)
def test_a_number_that_cannot_be_compared_is_refused_by_its_path(
    field: str, value: object, path: str
) -> None:
    """Names that no metric could bear, and numbers whose sums are not finite, are no event."""
    record = json.loads(encode_event(generation()))
    record["data"][field] = value
    with pytest.raises(MalformedEvent, match=rf"\$\.data\.{path}"):
        decode_event(json.dumps(record).encode())


@given(events())
def test_any_event_survives_the_wire(event: Event) -> None:
    """Whatever the texts, numbers and zones: decoding gives what was encoded."""
    assert decode_event(encode_event(event)) == event
