"""OpenAI API: its request bodies read, and its answers written as vLLM 0.32 writes them.

Only what the embedded engine does is taken; what would change the draw and is not done is refused
by name, never ignored. Fields that are unknown or do not touch the draw pass, as with vLLM.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .sampling import SamplingParams

UNSUPPORTED = {
    "n": 1,
    "best_of": 1,
    "echo": False,
    "suffix": "",
    "min_p": 0,
    "min_tokens": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "repetition_penalty": 1,
    "logit_bias": {},
    "bad_words": [],
    "allowed_token_ids": [],
    "use_beam_search": False,
    "structured_outputs": {},
}
"""Field to the one value that changes nothing."""

MOST_TOP_LOGPROBS = 20


class RequestRefused(Exception):
    """A request that gets an error answer."""

    def __init__(
        self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param = status, message, kind, param

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error object."""
        told = {"message": self.message, "type": self.kind, "param": self.param}
        return {"error": {**told, "code": self.status}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the model can take."""

    max_length: int
    """Tokens of prompt and answer together."""
    vocabulary: int
    """Token ids are below this."""
    end_ids: frozenset[int]
    """Tokens with which the model itself ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """One request, read."""

    chat: bool
    """Chat or plain completion."""
    model: str | None
    """Name of an adapter or of the base; None is the base."""
    prompt: tuple[int, ...]
    """What the model reads."""
    sampling: SamplingParams
    """How to draw."""
    stops: tuple[str, ...]
    """Texts that end the answer and are left out of it."""
    logprobs: int | None
    """How many alternatives to tell beside each token; None tells no log-probabilities at all."""
    token_ids: bool
    """Tell token ids."""
    stream: bool
    """Answer by server-sent events."""
    usage: bool
    """Tell the usage at the end of a stream."""
    tools: bool = False
    """Look for calls of tools in the answer."""


def number(
    body: Mapping[str, Any], name: str, default: float, low: float, high: float = float("inf")
) -> float:
    """Return a number in [low, high]; Refused naming the field otherwise."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestRefused(400, f"{name} must be from {low} to {high}, got {value!r}", param=name)
    return value


def whole(
    body: Mapping[str, Any], name: str, default: int, low: int, high: float = float("inf")
) -> int:
    """Return a whole number in [low, high]; Refused naming the field otherwise."""
    value = number(body, name, default, low, high)
    if value != int(value):
        raise RequestRefused(400, f"{name} must be a whole number, got {value!r}", param=name)
    return int(value)


def read(
    body: Mapping[str, Any],
    chat: bool,
    prompt: Sequence[int],
    limits: Limits,
    *,
    tools: bool = False,
) -> ParsedRequest:
    """Return the request; `prompt` is its text or messages as token ids, `tools` whether it offers any.

    Raises RequestRefused, status 400, for all that is wrong or not done here.
    """
    for name, harmless in UNSUPPORTED.items():
        if body.get(name) not in (None, harmless):
            raise RequestRefused(400, f"the embedded engine does not do {name}", param=name)
    if (body.get("response_format") or {"type": "text"}) != {"type": "text"}:
        raise RequestRefused(400, "the embedded engine has no grammars", param="response_format")
    check_prompt(prompt, limits)
    alternatives = _alternatives(body, chat)
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise RequestRefused(400, f"model must be a string, got {model!r}", param="model")
    stream = bool(body.get("stream"))
    scored = body.get("prompt_logprobs") is not None
    if scored and (stream or whole(body, "prompt_logprobs", 0, 0) > 0):
        raise RequestRefused(
            400, "prompt_logprobs must be 0, without stream", param="prompt_logprobs"
        )
    return ParsedRequest(
        chat=chat,
        model=model,
        prompt=tuple(prompt),
        sampling=SamplingParams(
            max_tokens=_max_tokens(body, chat, len(prompt), limits),
            temperature=number(body, "temperature", 1.0, 0.0),
            top_p=number(body, "top_p", 1.0, 1e-9, 1.0),
            top_k=max(whole(body, "top_k", 0, -1), 0),
            seed=None if body.get("seed") is None else whole(body, "seed", 0, -(2**63), 2**63 - 1),
            stop_ids=_stop_ids(body, limits),
            top_logprobs=alternatives or 0,
            score_prompt=scored,
        ),
        stops=_stops(body),
        logprobs=alternatives,
        token_ids=bool(body.get("return_token_ids")),
        stream=stream,
        usage=_usage(body) and stream,
        tools=tools,
    )


def check_prompt(prompt: Sequence[int], limits: Limits) -> None:
    """Raise Refused where the prompt is empty, too long, or not of the vocabulary."""
    if not prompt:
        raise RequestRefused(400, "You must pass at least one prompt", param="prompt")
    for token in prompt:
        if isinstance(token, bool) or not isinstance(token, int):
            raise RequestRefused(400, f"prompt must hold token ids, got {token!r}", param="prompt")
        if not 0 <= token < limits.vocabulary:
            raise RequestRefused(400, f"Token id {token} is out of vocabulary", param="prompt")
    if len(prompt) >= limits.max_length:
        longest = f"This model's maximum context length is {limits.max_length} tokens."
        message = f"{longest} However, your request has {len(prompt)} input tokens."
        raise RequestRefused(400, message, param="prompt")


def _max_tokens(body: Mapping[str, Any], chat: bool, used: int, limits: Limits) -> int:
    left = limits.max_length - used
    name = "max_completion_tokens" if body.get("max_completion_tokens") else "max_tokens"
    asked = whole(body, name, left if chat else min(16, left), 1)
    if asked > left:
        raise RequestRefused(
            400,
            f"{name}={asked} cannot be greater than the {left} tokens that {limits.max_length}"
            f" leave beside a prompt of {used}. Please request fewer output tokens.",
            param=name,
        )
    return asked


def _alternatives(body: Mapping[str, Any], chat: bool) -> int | None:
    if not chat:
        asked = body.get("logprobs")
        return None if asked is None else whole(body, "logprobs", 0, 0, MOST_TOP_LOGPROBS)
    asked = whole(body, "top_logprobs", 0, 0, MOST_TOP_LOGPROBS)
    if asked and not body.get("logprobs"):
        raise RequestRefused(400, "top_logprobs needs logprobs", param="top_logprobs")
    return asked if body.get("logprobs") else None


def _usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    if options is not None and not isinstance(options, Mapping):
        raise RequestRefused(
            400, f"stream_options must be an object, got {options!r}", param="stream_options"
        )
    return bool((options or {}).get("include_usage"))


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(one, str) and one for one in stops):
        raise RequestRefused(
            400, f"stop must be a text or hold texts that are not empty, got {stop!r}", param="stop"
        )
    return tuple(stops)


def _stop_ids(body: Mapping[str, Any], limits: Limits) -> frozenset[int]:
    asked = body.get("stop_token_ids")
    ids = [] if asked is None else asked
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        raise RequestRefused(
            400, f"stop_token_ids must hold token ids, got {asked!r}", param="stop_token_ids"
        )
    return frozenset(ids) if body.get("ignore_eos") else frozenset(ids) | limits.end_ids
