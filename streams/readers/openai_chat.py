"""OpenAI chat: logs of chat completions, as requests with their responses or as whole conversations.

    {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}
    {"request": {"messages": [...]}, "response": {"id": "chatcmpl-1", "choices": [...]}}

A response belongs to the session that its request goes on from, where neither names one.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..events.event import Event
from ..events.generation import Generation, Sampling
from ..events.tool_use import OfferedTool
from ..traces.conversations import Conversations
from ..traces.documents import Document
from ..traces.messages import Message, message_of, messages_of
from ..traces.offered_tools import offered_tools
from ..traces.recorded import OnError
from ..traces.trace_reading import BEGINNING, TraceReading, mapping, moment, text, usage_of


def read_openai_chat(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of a log of chat completions; no tokens were recorded, and no feedback."""
    reading = TraceReading(path, "openai-chat", on_error)
    known: dict[str, Conversations] = {}
    for document in reading.documents():
        with reading.taking(document.number):
            _take(reading, document, known)
    return reading.events()


def _take(reading: TraceReading, document: Document, known: dict[str, Conversations]) -> None:
    row = document.value
    request = mapping(row.get("request", row.get("input", row)))
    answered = mapping(row.get("response", row.get("output", row)))
    answered = mapping(answered.get("body", answered))
    messages = messages_of(request.get("messages"), "$.messages")
    if "choices" in answered:
        completion(reading, document, request, messages, answered, known)
        return
    if not any(message.role == "assistant" for message in messages):
        raise ValueError("$.messages: holds no message of the assistant, and there are no choices")
    session = session_of(row, request) or f"chat-{document.name}"
    at = moment(row.get("timestamp", row.get("created_at", row.get("created"))), "$.timestamp")
    reading.conversation(session, messages, at, **asked(request), person=person_of(request))


def completion(
    reading: TraceReading,
    document: Document,
    request: Mapping[str, Any],
    messages: Sequence[Message],
    answered: Mapping[str, Any],
    known: dict[str, Conversations],
    **more: Any,
) -> list[Generation]:
    """Add the answers of one response; each choice is an answer of its own."""
    choices = answered["choices"]
    if not isinstance(choices, list) or not choices:
        raise ValueError("$.response.choices: is empty, or no list")
    person = more.pop("person", person_of(request))
    conversations = known.setdefault(person, Conversations())
    parent = conversations.parent(messages)
    named = more.pop("session", "") or session_of(document.value, request)
    session = named or (parent.session_id if parent else f"chat-{document.name}")
    at = more.pop("at", None) or moment(answered.get("created"), "$.response.created")
    id = more.pop("id", "") or text(answered.get("id")) or f"{session}.{document.name}"
    usage = mapping(answered.get("usage"))
    found = []
    for place, choice in enumerate(choices):
        choice = mapping(choice)
        said = choice.get("message", {"role": "assistant", "content": choice.get("text")})
        generation = reading.answer(
            id if place == 0 else f"{id}.{place}",
            session,
            messages,
            message_of(said, f"$.choices[{place}].message")[-1],
            at or BEGINNING + timedelta(seconds=document.number),
            person=person,
            parent_id=parent.generation_id if parent and parent.session_id == session else None,
            session_found="named" if named else "beginning",
            choice=place,
            finish=choice.get("finish_reason"),
            usage=usage_of(
                usage.get("prompt_tokens"),
                usage.get("completion_tokens"),
                mapping(usage.get("prompt_tokens_details")).get("cached_tokens"),
            ),
            **{**asked(request, answered), **more},
        )
        conversations.add(messages, generation.text, generation)
        found.append(generation)
    return found


def asked(request: Mapping[str, Any], answered: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a request asked for: model, tools and how tokens were drawn."""
    model = text(mapping(answered).get("model")) or text(request.get("model"))
    tools: tuple[OfferedTool, ...] = offered_tools(request.get("tools"))
    return {"policy": model or "policy", "tools": tools, "sampling": sampling_of(request)}


def sampling_of(request: Mapping[str, Any]) -> Sampling:
    """Return how tokens were asked to be drawn; what is not said is as OpenAI's default."""

    def number(name: str, otherwise: float) -> float:
        value = request.get(name)
        return (
            float(value)
            if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
            else otherwise
        )

    most = request.get("max_completion_tokens", request.get("max_tokens"))
    return Sampling(
        temperature=number("temperature", 1.0),
        top_p=number("top_p", 1.0),
        top_k=int(number("top_k", -1)),
        min_p=number("min_p", 0.0),
        max_tokens=most if type(most) is int else None,
    )


def person_of(request: Mapping[str, Any]) -> str:
    """Return the person that a request names."""
    named = request.get("safety_identifier") or request.get("user")
    return text(named) or text(mapping(request.get("metadata")).get("user"))


def session_of(*rows: Mapping[str, Any]) -> str:
    """Return the session that a row or its metadata names."""
    for row in rows:
        for place in (row, mapping(row.get("metadata"))):
            for name in ("session_id", "conversation_id", "thread_id", "session"):
                if found := text(place.get(name)):
                    return found
    return ""
