"""ResponseCapture: what the engine answered, taken for the log while it is passed on to the client.

The client gets the answer whatever becomes of the capture; what could not be captured is named in the
event.
"""

import math
from collections.abc import Iterator
from typing import Any

import orjson

from ...streams.events.usage import Usage
from ..http.answers import error_body, printable
from .call_capture import CallCapture
from .engine_json import read_engine_json, write_json
from .engine_request import EngineRequest
from .event_stream import EventStream, fields
from .token_capture import TokenCapture

MOST_TOKENS = 2**62
DONE = b"[DONE]"


class ResponseCapture:
    """Gathers one answer out of its JSON pieces, and rewrites each for the client.

    Pieces are one whole answer, or the chunks of a stream. The client sees the generation id, the
    public model name, and log-probabilities and token ids only where it asked for them.
    """

    def __init__(self, engine_request: EngineRequest, generation_id: str, model: str) -> None:
        self.engine_request, self.generation_id, self.model = engine_request, generation_id, model
        self.version = ""
        """The version that answers, which no client is told in a body."""
        self.finish_reason = ""
        """Empty until the engine said how it ended."""
        self.done = False
        """True once the stream said that nothing follows."""
        self.tokens = TokenCapture(chat=engine_request.chat)
        self.calls = CallCapture()
        self._text: list[str] = []
        self._usage: dict[str, Any] = {}
        self._reasoning: list[str] = []
        self._stream = EventStream()

    def take(self, piece: dict[str, Any]) -> dict[str, Any]:
        """Keep what the log needs of one piece; return what the client may see of it."""
        if piece.get("error"):
            self.finish_reason = "error"
            return self._public_error(piece["error"])
        self.tokens.take_prompt(piece)
        choices = piece.get("choices")
        # The last chunk of a stream with usage has no choices at all.
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._take_choice(choice)
                self._mask(choice)
            else:
                self.tokens.spoil("a choice is no object")
        if isinstance(usage := piece.get("usage"), dict):
            self._usage = usage
        if not self.engine_request.wants_usage:
            piece.pop("usage", None)
        if not self.engine_request.wants_tokens:
            piece.pop("prompt_token_ids", None)
        if "id" in piece:
            piece["id"] = self.generation_id
        if "model" in piece:
            piece["model"] = self.model
        return piece

    def _take_choice(self, choice: dict[str, Any]) -> None:
        if choice.get("index", 0) != 0:
            self.tokens.spoil("the engine gave more than one choice")
            return
        self.tokens.take_prompt(choice)
        self.tokens.take_choice(choice)
        said = choice
        if self.engine_request.chat:
            said = choice.get("delta") or choice.get("message") or {}
        text = said.get("content" if said is not choice else "text") if said else None
        if isinstance(text, str):
            self._text.append(text)
        if isinstance(said, dict):
            self.calls.take(said)
            thought = said.get("reasoning") or said.get("reasoning_content")
            if isinstance(thought, str):
                self._reasoning.append(thought)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self.finish_reason = printable(finish)[:64]

    def _mask(self, choice: dict[str, Any]) -> None:
        asked = self.engine_request
        choice.pop("routed_experts", None)
        if not asked.wants_tokens:
            choice.pop("token_ids", None)
            choice.pop("prompt_token_ids", None)
        if not asked.wants_logprobs and "logprobs" in choice:
            choice["logprobs"] = None
        if not asked.wants_reasoning:
            for part in (choice.get("delta"), choice.get("message")):
                if isinstance(part, dict):
                    part.pop("reasoning", None)
                    part.pop("reasoning_content", None)

    def _public_error(self, error: Any) -> dict[str, Any]:
        """Return an engine's error; of its own faults only that it failed, since they name places."""
        told = error if isinstance(error, dict) else {}
        code = told.get("code")
        if isinstance(code, int) and 400 <= code < 500:
            text = self.hide(write_json(told.get("message") or "")).decode()
            return {"error": {**told, "message": orjson.loads(text)}}
        public: dict[str, Any] = orjson.loads(
            error_body(502, "the engine failed in the middle of its answer", "bad_gateway")
        )
        return public

    def hide(self, raw: bytes) -> bytes:
        """Return bytes for the client, with the public model name for the version."""
        return raw.replace(self.version.encode(), self.model.encode()) if self.version else raw

    def relay(self, data: bytes) -> bytes:
        """Return what to send on for these bytes of an event stream; keep a cut event for later."""
        return b"".join(map(self._pass, self._until_done(self._stream.feed(data))))

    def relay_rest(self) -> bytes:
        """Return what to send on at the end of the stream: an event without its blank line."""
        return b"".join(map(self._pass, self._until_done(self._stream.rest())))

    def _until_done(self, events: Iterator[bytes]) -> Iterator[bytes]:
        for event in events:
            if self.done:
                return
            yield event

    def _pass(self, event: bytes) -> bytes:
        comments, data = fields(event)
        if data is None:
            return self.hide(b"\n".join(comments)) + b"\n\n" if comments else b""
        if data.strip() == DONE:
            self.done = True
            return b"data: [DONE]\n\n"
        try:
            piece = read_engine_json(data)
        except ValueError:
            self.tokens.spoil("an event is not JSON")
            return b"data: " + self.hide(data) + b"\n\n"
        if isinstance(piece, dict):
            unasked = not self.engine_request.wants_usage and piece.get("choices") == []
            data = write_json(self.take(piece))
            if unasked:
                return b""
        if not comments:
            return b"data: " + data + b"\n\n"
        lines = [self.hide(line) for line in comments]
        return b"\n".join([*lines, b"data: " + data, b"", b""])

    @property
    def text(self) -> str:
        """The answer as the person saw it."""
        return printable("".join(self._text))

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered, where the engine tells it apart."""
        return printable("".join(self._reasoning))

    @property
    def usage(self) -> Usage:
        """Tokens read and written; counted here where the engine did not say."""
        return Usage(
            prompt_tokens=_count(self._usage.get("prompt_tokens"))
            or len(self.tokens.prompt_token_ids or ()),
            completion_tokens=self.told_tokens or len(self.tokens.token_ids or ()),
            cached_prompt_tokens=_detail(self._usage, "prompt_tokens_details", "cached_tokens"),
            reasoning_tokens=_detail(self._usage, "completion_tokens_details", "reasoning_tokens"),
        )

    @property
    def told_tokens(self) -> int:
        """Tokens written, as the engine counted them; 0 where it did not."""
        return _count(self._usage.get("completion_tokens"))

    def settle(self) -> None:
        """Compare counts, once the answer has ended."""
        self.tokens.settle(self.told_tokens, said_something=bool(self._text and self.text))


def _detail(usage: dict[str, Any], details: str, name: str) -> int | None:
    """Return a part of the tokens; None where the engine does not say."""
    told = usage.get(details)
    count = told.get(name) if isinstance(told, dict) else None
    return None if count is None else _count(count)


def _count(said: Any) -> int:
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        return 0
    return int(said) if 0 <= said < MOST_TOKENS else 0
