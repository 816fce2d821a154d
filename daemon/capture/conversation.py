"""Conversation: what a request says of the turns before it, read out of its messages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ...streams.events.input_message import (
    KEPT_CHARACTERS,
    KEPT_MESSAGES,
    InputMessage,
    answer_digest,
)
from ..http.answers import printable
from .names import as_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The messages of a chat request, as far as the log and the session need them."""

    input: tuple[InputMessage, ...] = ()
    """Those after the last one of the assistant."""
    earlier_answers: int = 0
    """Messages of the assistant."""
    last_answer: str = ""
    """Digest of the last of them."""
    last_said: str = ""
    """What it said."""
    beginning: bytes = b""
    """What was said before the first answer, in one form; empty where nobody said anything. A later
    request of the same conversation begins in the same way."""


def read_conversation(messages: Any) -> Conversation:
    """Read a request's `messages`; what is no message is left to the engine to refuse."""
    told = [one for one in _listed(messages) if isinstance(one, Mapping)]
    answers = [place for place, one in enumerate(told) if one.get("role") == "assistant"]
    since = told[answers[-1] + 1 :] if answers else told
    before = told[: answers[0]] if answers else told
    last_said = _text(told[answers[-1]])[0] if answers else ""
    return Conversation(
        input=_input(since[-KEPT_MESSAGES:]),
        earlier_answers=len(answers),
        last_answer=answer_digest(last_said),
        last_said=last_said,
        beginning=_beginning(before),
    )


def texts_read(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text of a request that the model reads, as far as people and tools wrote it.

    What a product offers (tools, formats) is its own text, and a prompt of token ids is none.
    """
    prompt = body.get("prompt")
    yield from (
        one for one in (prompt if isinstance(prompt, list) else [prompt]) if isinstance(one, str)
    )
    for name in ("documents", "chat_template_kwargs"):
        yield from _texts_within(body.get(name))
    for message in _listed(body.get("messages")):
        if not isinstance(message, Mapping):
            continue
        yield _text(message)[0]
        yield from (
            message[key]
            for key in ("reasoning", "reasoning_content", "name")
            if isinstance(message.get(key), str)
        )
        for call in _listed(message.get("tool_calls")):
            function = call.get("function") if isinstance(call, Mapping) else None
            arguments = function.get("arguments") if isinstance(function, Mapping) else None
            yield from _texts_within(arguments)


def _input(messages: Sequence[Mapping[str, Any]]) -> tuple[InputMessage, ...]:
    found, left = list[InputMessage](), KEPT_CHARACTERS
    # The last one is what the answer is to: it has its room first.
    for message in reversed(messages):
        text, attachments = _text(message)
        found.append(
            InputMessage(
                role=_name(message.get("role"))[:64],
                text=text[:left],
                tool_call_id=_name(message.get("tool_call_id")) or None,
                name=_name(message.get("name")) or None,
                is_error=message["is_error"] if type(message.get("is_error")) is bool else None,
                attachments=attachments,
                cut=len(text) > left,
            )
        )
        left -= min(left, len(text))
    return tuple(reversed(found))


def _text(message: Mapping[str, Any]) -> tuple[str, int]:
    """Return a message's text, and how many of its parts are none."""
    content = message.get("content")
    if isinstance(content, str):
        return printable(content), 0
    parts = _listed(content)
    texts = [
        one["text"]
        for one in parts
        if isinstance(one, Mapping) and isinstance(one.get("text"), str)
    ]
    return printable("\n".join(texts)), len(parts) - len(texts)


def _beginning(messages: Sequence[Mapping[str, Any]]) -> bytes:
    """Return roles and texts; where a client puts marks for caches, they move between requests."""
    said = [(_name(one.get("role")), *_text(one)) for one in messages]
    return orjson.dumps(said) if any(text for _, text, _ in said) else b""


def _name(value: Any) -> str:
    return as_name(value) if isinstance(value, str) else ""


def _texts_within(value: Any) -> Iterator[str]:
    """Yield a text, and those in a list or an object; engines take arguments as an object, too."""
    ahead = [value]
    while ahead:
        one = ahead.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            ahead += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            ahead += one


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
