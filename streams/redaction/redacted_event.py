"""Redacted event: an event without what must not be written, whoever wrote it first.

Ids, names of tools and sessions, references and hashes stay as they are: they join records. The gateway
writes names of sessions and references that hold something of it as keyed hashes; what a product that
writes its own records puts there is the product's to choose.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from ..events.event import Event, Feedback, GenerationEvent
from ..events.generation import Generation
from ..events.input_message import InputMessage
from ..events.signals import UnknownSignal
from ..events.tool_use import ToolCall
from .redactor import TextMemory, redact


def redact_event(event: Event, exempt: Collection[str] = ()) -> Event:
    """Return an event whose texts were looked at; one that says that they were stays as it is."""
    if event.data.redacted is not None:
        return event
    if isinstance(event, GenerationEvent):
        return msgspec.structs.replace(event, data=redact_generation(event.data, exempt=exempt))
    return msgspec.structs.replace(event, data=redact_feedback(event.data, exempt))


def redact_generation(
    data: Generation,
    also: Iterable[str] = (),
    *,
    exempt: Collection[str] = (),
    memory: TextMemory | None = None,
) -> Generation:
    """Return a generation whose texts were looked at.

    With a hit it keeps no tokens: ids and log-probabilities spell what was replaced. `also` are kinds
    that were found in what the model read and the record does not hold; `memory` knows what was found
    in texts that were looked at before.
    """
    kinds = set(also)

    def clean(text: str) -> str:
        found = redact(text, exempt) if memory is None else memory.redact(text, frozenset(exempt))
        kinds.update(found.kinds)
        return found.text

    changed: dict[str, Any] = {
        "text": clean(data.text),
        "reasoning": clean(data.reasoning),
        "tool_calls": tuple(_call(one, clean(one.arguments)) for one in data.tool_calls),
        "input": tuple(_message(one, clean) for one in data.input),
    }
    if not kinds:
        return msgspec.structs.replace(data, redacted=())
    return msgspec.structs.replace(
        data,
        **changed,
        redacted=tuple(sorted(kinds)),
        prompt_token_ids=None,
        completion_token_ids=None,
        logprobs=None,
        routed_experts=None,
    )


def redact_feedback(data: Feedback, exempt: Collection[str] = ()) -> Feedback:
    """Return feedback whose texts (an edit, a comment, what was copied, where it was asked) were looked at."""
    kinds = set[str]()
    changed = dict[str, str]()
    for name in ("final_text", "text", "unit", "channel"):
        said = getattr(data.signal, name, "")
        if said:
            found = redact(said, exempt)
            kinds |= found.kinds
            changed[name] = found.text
    signal = data.signal
    if type(signal) is UnknownSignal:
        told = _clean_all(msgspec.json.decode(signal.fields), exempt, kinds)
        fields = msgspec.Raw(msgspec.json.encode(told))
        signal = msgspec.structs.replace(signal, fields=fields)
    if not kinds:
        return msgspec.structs.replace(data, redacted=())
    signal = msgspec.structs.replace(signal, **changed)
    return msgspec.structs.replace(data, signal=signal, redacted=tuple(sorted(kinds)))


def _clean_all(value: Any, exempt: Collection[str], kinds: set[str]) -> Any:
    """Return a value of JSON with every text in it looked at; `kinds` takes what was found."""
    if isinstance(value, str):
        found = redact(value, exempt)
        kinds.update(found.kinds)
        return found.text
    if isinstance(value, list):
        return [_clean_all(one, exempt, kinds) for one in value]
    if isinstance(value, dict):
        return {
            _clean_all(key, exempt, kinds): _clean_all(one, exempt, kinds)
            for key, one in value.items()
        }
    return value


def _call(call: ToolCall, arguments: str) -> ToolCall:
    return msgspec.structs.replace(call, arguments=arguments)


def _message(message: InputMessage, clean: Callable[[str], str]) -> InputMessage:
    # Who says it may be a person, named by the address.
    name = None if message.name is None else clean(message.name)
    return msgspec.structs.replace(message, text=clean(message.text), name=name)
