"""ResponseCapture: what the engine answered, taken for the log while it is passed on to the client."""

from collections.abc import Iterator
from typing import Any

import orjson
import structlog

from ...streams.events.event import Usage, check_logprobs
from .engine_request import EngineRequest

log = structlog.get_logger()


class ResponseCapture:
    """Gathers one answer out of its JSON pieces, and rewrites each for the client.

    Pieces are one whole answer, or the chunks of a stream. The client sees the generation id, the
    public model name, and log-probabilities and token ids only where it asked for them.
    """

    def __init__(self, engine_request: EngineRequest, generation_id: str, model: str) -> None:
        self.engine_request, self.generation_id, self.model = engine_request, generation_id, model
        self.prompt_token_ids: list[int] | None = None
        self.token_ids: list[int] | None = None
        self.finish_reason = ""
        """Empty until the engine said how it ended."""
        self._logprobs: list[float] = []
        self._text: list[str] = []
        self._usage: dict[str, Any] = {}
        self._rest = b""

    def take(self, piece: dict[str, Any]) -> None:
        """Keep what the log needs of one piece, and make it what the client may see."""
        if "error" in piece:
            self.finish_reason = "error"
            return
        self._prompt(piece)
        # The last chunk of a stream with usage has no choices at all.
        for choice in piece.get("choices") or ():
            self._choice(choice)
        self._usage = piece.get("usage") or self._usage
        if "id" in piece:
            piece["id"] = self.generation_id
        if "model" in piece:
            piece["model"] = self.model

    def _prompt(self, piece: dict[str, Any]) -> None:
        keep = self.engine_request.wants_tokens
        ids = piece.get("prompt_token_ids") if keep else piece.pop("prompt_token_ids", None)
        if ids is not None:
            self.prompt_token_ids = ids

    def _choice(self, choice: dict[str, Any]) -> None:
        self._prompt(choice)
        ids = (
            choice.get("token_ids")
            if self.engine_request.wants_tokens
            else choice.pop("token_ids", None)
        )
        if ids is not None:
            self.token_ids = (self.token_ids or []) + ids
        given = choice.get("logprobs")
        if given:
            if self.engine_request.chat:
                self._logprobs += [token["logprob"] for token in given.get("content") or ()]
            else:
                self._logprobs += given.get("token_logprobs") or ()
        if not self.engine_request.wants_logprobs and "logprobs" in choice:
            choice["logprobs"] = None
        if self.engine_request.chat:
            self._text.append(
                (choice.get("delta") or choice.get("message") or {}).get("content") or ""
            )
        else:
            self._text.append(choice.get("text") or "")
        self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def relay(self, data: bytes) -> bytes:
        """Return what to send on for these bytes of an event stream; keep a cut event for later."""
        events = (self._rest + data).split(b"\n\n")
        self._rest = events.pop()
        return b"".join(self._events(events))

    def _events(self, events: list[bytes]) -> Iterator[bytes]:
        for event in events:
            payload = event[5:].strip() if event.startswith(b"data:") else b""
            if payload.startswith(b"{"):
                piece = orjson.loads(payload)
                self.take(piece)
                yield b"data: " + orjson.dumps(piece) + b"\n\n"
            else:
                yield event + b"\n\n"

    @property
    def text(self) -> str:
        """The answer as the person saw it."""
        return "".join(self._text)

    @property
    def logprobs(self) -> list[float] | None:
        """Log-probability of each token; None where they do not belong to the tokens."""
        if self.token_ids is None:
            return None
        try:
            check_logprobs(self.token_ids, self._logprobs)
        except (ValueError, TypeError) as problem:
            log.warning("logprobs_left_out", generation=self.generation_id, problem=str(problem))
            return None
        return self._logprobs

    @property
    def usage(self) -> Usage:
        """Tokens read and written; counted here where the engine did not say."""
        said = self._usage
        return Usage(
            prompt_tokens=said.get("prompt_tokens") or len(self.prompt_token_ids or ()),
            completion_tokens=said.get("completion_tokens") or len(self.token_ids or ()),
        )
