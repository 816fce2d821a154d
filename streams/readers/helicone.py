"""Helicone: exported requests with bodies, and the rating that a person gave.

    {"request_id": "r1", "request_created_at": "…", "request_body": {"messages": [...]},
     "response_body": {"choices": [...]}, "request_user_id": "u", "feedback_rating": true}

Bodies of OpenAI's and of Anthropic's shape are read; the export needs `--include-body`.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..events.event import Event
from ..events.signals import Rated
from ..traces.conversations import Conversations
from ..traces.documents import Document
from ..traces.messages import Message, messages_of, text_of
from ..traces.recorded import OnError
from ..traces.scores import score_signal
from ..traces.trace_reading import BEGINNING, TraceReading, mapping, moment, text
from .openai_chat import completion


def read_helicone(path: Path, *, on_error: OnError | None = None) -> Iterator[Event]:
    """Yield the events of an export of requests; no tokens were recorded."""
    reading = TraceReading(path, "helicone", on_error)
    known: dict[str, Conversations] = {}
    for document in reading.documents():
        with reading.taking(document.number):
            _take(reading, document, known)
    return reading.events()


def _take(reading: TraceReading, document: Document, known: dict[str, Conversations]) -> None:
    row = document.value
    request, answered = mapping(row.get("request_body")), mapping(row.get("response_body"))
    if not request or not answered:
        raise ValueError("$.request_body: request or response have no body (--include-body)")
    messages = messages_of(request.get("messages"), "$.request_body.messages")
    if system := text_of(request.get("system")):
        messages.insert(0, Message("system", system))
    properties = mapping(row.get("request_properties", row.get("properties")))
    at = moment(row.get("request_created_at"), "$.request_created_at")
    at = at or BEGINNING + timedelta(seconds=2 * document.number)
    found = completion(
        reading,
        document,
        request,
        messages,
        {"model": row.get("response_model") or request.get("model"), **_choices(answered)},
        known,
        id=text(row.get("request_id")),
        at=at,
        person=text(row.get("request_user_id")) or text(row.get("helicone_user")),
        session=text(properties.get("Helicone-Session-Id")),
        status=_status(row.get("response_status")),
    )
    after = moment(row.get("feedback_created_at"), "$.feedback_created_at")
    then = after or at + timedelta(seconds=1)
    if isinstance(row.get("feedback_rating"), bool):
        rating = Rated(value=float(row["feedback_rating"]))
        reading.feedback("rating", rating, found[0], then)
    for name, score in mapping(row.get("scores")).items():
        value = mapping(score).get("value", score)
        # Scores are whole numbers there, so that a share is one of 100.
        worth = value / 100 if type(value) is int and 1 < value <= 100 else value
        signal = score_signal(name, worth, f"$.scores.{name}", by_person=False)
        reading.feedback(f"score.{name}", signal, found[0], then, "system")


def _choices(answered: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a response as OpenAI would write it."""
    if "choices" in answered:
        return answered
    if "content" not in answered:
        raise ValueError("$.response_body: holds neither choices nor content")
    usage = mapping(answered.get("usage"))
    message = {"role": "assistant", "content": answered["content"]}
    return {
        "choices": [{"message": message, "finish_reason": answered.get("stop_reason")}],
        "usage": {
            "prompt_tokens": usage.get("input_tokens"),
            "completion_tokens": usage.get("output_tokens"),
            "prompt_tokens_details": {"cached_tokens": usage.get("cache_read_input_tokens")},
        },
    }


def _status(value: Any) -> int:
    return value if type(value) is int and 100 <= value < 600 else 200
