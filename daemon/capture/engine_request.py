"""EngineRequest: a client's request, read once, and what the engine is asked instead (CONTRACTS 5, 7)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...streams.events.generation import Sampling
from ...streams.events.trainable import constraining_fields
from .conversation import Conversation, read_conversation, texts_read
from .tool_schemas import ToolSchemas

# The gateway's own: what a client says here would choose weights, slots or priorities.
_OWNED = (
    "model",
    "user",
    "metadata",
    "cache_salt",
    "priority",
    "request_id",
    "kv_transfer_params",
    # The learner replays the whole prompt's.
    "routed_experts_prompt_start",
    "vllm_xargs",
    "safety_identifier",
    "prompt_cache_key",
    "session_id",
    # It hides token ids from the engine's own answer; we leave the reasoning out of ours instead.
    "include_reasoning",
)
# Written out in every request: an engine takes what is left out from the model's
# generation_config.json, and then no event would say how its tokens were drawn.
_DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


LARGEST = 1e9
NOT_KEPT = ("previous_response_id", "conversation")
"""Fields by which a server is asked for what was said before; nothing here keeps it for clients."""


class UnknownModel(ValueError):
    """The client named another model than the public one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """What a client wants, and the engine's body but for `model` and `request_id`."""

    chat: bool
    """Chat completions, or plain ones."""
    stream: bool
    """Server-sent events, or one answer."""
    wants_logprobs: bool
    """The client asked for log-probabilities."""
    wants_tokens: bool
    """The client asked for token ids."""
    wants_reasoning: bool
    """The client wants to read the reasoning, where the engine tells it apart."""
    wants_usage: bool
    """The client asked for the usage, or takes it with a whole answer."""
    ignored: tuple[str, ...]
    """Fields that the engine cannot take, so that the client is told."""
    sampling: Sampling
    """How the tokens will be drawn."""
    conversation: Conversation
    """What was said before."""
    tools: ToolSchemas
    """The tools that are offered."""
    body: dict[str, Any]
    """What the engine is asked."""

    @property
    def unread(self) -> bool:
        """Whether the model is given token ids to read, which say nothing here."""
        prompt = self.body.get("prompt")
        return isinstance(prompt, list) and not all(isinstance(one, str) for one in prompt)

    def texts(self) -> Iterator[str]:
        """Yield what the model is given to read, as far as people and tools wrote it."""
        return texts_read(self.body)


def read_request(
    body: dict[str, Any], *, chat: bool, model: str, strip_seed: bool
) -> EngineRequest:
    """Read a request and make the engine's out of it.

    Raises UnknownModel, or ValueError naming the field, for what one generation cannot be.
    """
    check_model(body, model)
    _refuse_many(body, chat)
    for name in NOT_KEPT:
        if body.get(name) is not None:
            raise ValueError(f"{name}: no conversation is kept here; send all of its messages")
    if not isinstance(body.get("stream"), bool | None):
        raise ValueError("stream: must be true or false")
    asked = {k: v for k, v in body.items() if k not in _OWNED}
    ignored: tuple[str, ...] = ()
    if strip_seed and asked.pop("seed", None) is not None:
        # A seeded request whose prefill is split ends a CPU server (docs/vllm.md 5).
        ignored = ("seed",)
    for name, default in _DEFAULTS.items():
        if asked.get(name) is None:
            asked[name] = default
        elif isinstance(asked[name], bool) or not isinstance(asked[name], int | float):
            raise ValueError(f"{name}: must be a number")
        elif not abs(asked[name]) < LARGEST:
            raise ValueError(f"{name}: must be below {LARGEST:g}")
    wants_logprobs = bool(body.get("logprobs")) if chat else body.get("logprobs") is not None
    if not wants_logprobs:
        asked |= {"logprobs": True, "top_logprobs": 0} if chat else {"logprobs": 0}
    asked["return_token_ids"] = True
    stream = body.get("stream") is True
    wants_usage = not stream or _counts_for_us(asked)
    return EngineRequest(
        chat=chat,
        stream=stream,
        wants_logprobs=wants_logprobs,
        wants_tokens=body.get("return_token_ids") is True,
        wants_reasoning=body.get("include_reasoning") is not False,
        wants_usage=wants_usage,
        ignored=ignored,
        sampling=_sampling(asked, constrained=bool(constraining_fields(body))),
        conversation=read_conversation(body.get("messages") if chat else None),
        tools=ToolSchemas(body.get("tools") if chat else None),
        body=asked,
    )


def check_model(body: dict[str, Any], model: str) -> None:
    """Raise UnknownModel where a body names another model than the public one."""
    if body.get("model") not in (None, model):
        raise UnknownModel(f"The model `{body['model']}` does not exist. There is: {model}.")


def _counts_for_us(asked: dict[str, Any]) -> bool:
    """Let the engine count a streamed answer's tokens; return whether the client asked for that."""
    options = asked.get("stream_options")
    if not isinstance(options, dict | None):
        return True  # The engine refuses it in its own words.
    asked["stream_options"] = {**(options or {}), "include_usage": True}
    return bool((options or {}).get("include_usage"))


def _refuse_many(body: dict[str, Any], chat: bool) -> None:
    for name, alone in (("n", 1), ("best_of", 1), ("echo", False), ("use_beam_search", False)):
        if body.get(name) not in (None, alone):
            raise ValueError(f"{name}: only {alone!r}; one request is one generation".lower())
    prompt = None if chat else body.get("prompt")
    if isinstance(prompt, list) and len(prompt) > 1 and not isinstance(prompt[0], int):
        raise ValueError("prompt: only one; one request is one generation")


def _sampling(asked: dict[str, Any], *, constrained: bool) -> Sampling:
    longest = asked.get("max_completion_tokens") or asked.get("max_tokens")
    return Sampling(
        temperature=max(0.0, float(asked["temperature"])),
        top_p=float(asked["top_p"]),
        top_k=int(asked["top_k"]),
        min_p=float(asked["min_p"]),
        max_tokens=longest if type(longest) is int else None,
        constrained=constrained,
    )
