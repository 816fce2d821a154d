"""Event: one record on a topic, a generation or feedback on one (CONTRACTS 1 to 3).

The envelope is CloudEvents 1.0, structured mode, JSON. `type` carries the schema version, so a
record of a version that this build does not know is refused by name and never half-read.

    {"specversion": "1.0", "id": "s1.g1", "source": "/gateway/eu-1", "type": "rlwd.generation.v1",
     "time": "2026-11-21T12:00:00Z", "receivedtime": "2026-11-21T12:00:01Z", "subject": "s1.g1",
     "data": {"generation_id": "s1.g1", "session_id": "s1", ...}}
"""

from datetime import datetime
from operator import attrgetter
from typing import Annotated, Literal

import msgspec

from .foreign import name_foreign
from .generation import Generation, NamedReference
from .limits import as_reason, check_depth, check_name, check_names, check_time
from .signals import DAEMONS_OWN, Identifier, Signal, UnknownSignal, kind_of
from .tool_use import Name
from .unknown_kind import KEPT, with_unknown_kind


class MalformedEvent(ValueError):
    """A record that is not an event; the message names the field at fault."""


class Feedback(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that somebody did about a generation, a session or a reference (CONTRACTS 3)."""

    feedback_id: Identifier
    """The client's own id; sending it again changes nothing."""
    generation_id: Annotated[str, msgspec.Meta(max_length=512)] = ""
    """What the feedback is about. Empty where it is about no one answer: then about what `reference`
    names, else about the session; which answers of it, the reward spec says."""
    session_id: Identifier
    """Key of the topic."""
    reference: NamedReference | None = None
    """Something of the product's that answers were about, in place of a generation."""
    user_hash: Annotated[str, msgspec.Meta(max_length=512)] = ""
    """Keyed hash of the person whose answers it is about, where it names no generation; empty: any."""
    signal: Signal
    """What was done."""
    tenant: str = "default"
    """The customer, where a product has several: only who was served counts. Empty is the answer's."""
    actor: Literal["person", "agent", "system"] = "person"
    """Who did it."""
    replaces: str | None = None
    """An earlier feedback_id that this one takes the place of."""
    redacted: Annotated[tuple[Name, ...], msgspec.Meta(max_length=64)] | None = None
    """Kinds of what was replaced in its texts; None: nobody looked, and ingest will."""


class GenerationEvent(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="rlwd.generation.v1"
):
    """CloudEvents envelope of a generation."""

    id: Identifier
    """With `source`, the identity that de-duplication knows."""
    source: Identifier
    """Who wrote the record."""
    specversion: Literal["1.0"]
    """Version of CloudEvents."""
    time: datetime
    """When it happened."""
    receivedtime: datetime
    """When the writer of the record received it."""
    data: Generation
    """What was asked and answered."""


class FeedbackEvent(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="rlwd.feedback.v1"
):
    """CloudEvents envelope of feedback."""

    id: Identifier
    """With `source`, the identity that de-duplication knows."""
    source: Identifier
    """Who wrote the record."""
    specversion: Literal["1.0"]
    """Version of CloudEvents."""
    time: datetime
    """When the person acted."""
    receivedtime: datetime
    """When it was received; horizons are measured on this clock alone."""
    data: Feedback
    """What was done about which generation."""


Event = GenerationEvent | FeedbackEvent

_NAMES: dict[type, tuple[str, ...]] = {
    GenerationEvent: (
        *("generation_id", "session_id", "segment", "user_hash", "salt", "variant", "version"),
        *("harness", "tenant"),
    ),
    FeedbackEvent: ("generation_id", "feedback_id", "tenant"),
}
"""What becomes a column, and is named in queries and indexes."""
_NAMED = {kind: attrgetter(*fields) for kind, fields in _NAMES.items()}
_DECODER = msgspec.json.Decoder(Event)
_ENCODER = msgspec.json.Encoder()
_FEEDBACK = msgspec.json.Decoder(Feedback)


def decode_event(raw: bytes) -> Event:
    """Parse and check one record in a single pass.

    Raises MalformedEvent, naming the path of the field; unknown fields are ignored here.
    """
    try:
        check_depth(raw)
    except ValueError as problem:
        raise MalformedEvent(as_reason(problem)) from problem
    try:
        return _decoded(raw)
    # msgspec's errors are ValueErrors, and so is one of decoding UTF-8.
    except ValueError as problem:
        known_later = with_unknown_kind(raw)
        if known_later is None:
            raise MalformedEvent(name_foreign(raw) or as_reason(problem)) from problem
    try:
        return _decoded(known_later, unknown=True)
    except ValueError as problem:
        raise MalformedEvent(as_reason(problem)) from problem


def _decoded(raw: bytes, *, unknown: bool = False) -> Event:
    event: Event = _DECODER.decode(raw)
    check_time("$.time", event.time)
    check_time("$.receivedtime", event.receivedtime)
    fields = _NAMES[type(event)]
    check_names("$.data.", fields, _NAMED[type(event)](event.data))
    if isinstance(event, GenerationEvent):
        _check_links(event.data)
    elif type(event.data.signal) is UnknownSignal and not unknown:
        raise ValueError(f"Invalid value '{KEPT}' - at `$.data.signal.kind`")
    elif not event.data.generation_id or event.data.reference is not None:
        _check_chain(event.data)
    return event


def decode_feedback(raw: bytes) -> Feedback:
    """Read feedback as the state database holds it.

    A kind that was not known when it came, and is by now, is what it is; one of the daemon's own was
    proven by nobody and stays unknown.
    """
    said = _FEEDBACK.decode(raw)
    if type(said.signal) is not UnknownSignal:
        return said
    try:
        now = _FEEDBACK.decode(_ENCODER.encode({"signal": said.signal.fields, **_rest(said)}))
    except ValueError:
        return said
    return said if isinstance(now.signal, DAEMONS_OWN) else now


def _rest(said: Feedback) -> dict[str, object]:
    return {name: getattr(said, name) for name in said.__struct_fields__ if name != "signal"}


def _check_links(data: Generation) -> None:
    """Refuse names by which turns are linked that no database takes; most records have none."""
    for field in ("parent_id", "call_id"):
        if name := getattr(data, field):
            check_name(f"$.data.{field}", name)
    for key, value in data.references.items():
        check_name(f"$.data.references.{key}", value)
    for place, call in enumerate(data.tool_calls):
        check_name(f"$.data.tool_calls[{place}].id", call.id)
        check_name(f"$.data.tool_calls[{place}].name", call.name)
    for place, message in enumerate(data.input):
        if message.tool_call_id:
            check_name(f"$.data.input[{place}].tool_call_id", message.tool_call_id)


def _check_chain(data: Feedback) -> None:
    """Refuse feedback on a session or a reference whose names no database takes, or on two things."""
    if data.generation_id:
        raise ValueError("$.data.reference: given beside $.data.generation_id")
    if isinstance(data.signal, DAEMONS_OWN):
        raise ValueError(f"$.data.generation_id: needed by a signal of kind {kind_of(data.signal)}")
    check_name("$.data.session_id", data.session_id)
    check_name("$.data.user_hash", data.user_hash)
    if data.reference is not None:
        check_name("$.data.reference.value", data.reference.value)


def encode_event(event: Event) -> bytes:
    """Write one record; `decode_event` gives it back."""
    return _ENCODER.encode(event)
