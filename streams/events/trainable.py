"""Trainable: what may be trained on, as a list of what is known to be safe.

The ratio of the learner's probability to the engine's needs the distribution that the tokens were
really drawn from. A field of a request that is not listed here may bend it, by a grammar, a bias or a
penalty, so a generation asked for with such a field counts as constrained until somebody has looked.
"""

from collections.abc import Callable, Mapping
from typing import Any

FINISH_REASONS = frozenset(("stop", "length", "tool_calls"))
"""Ends after which an answer is whole, as far as the engine lets it be."""

MIN_TEMPERATURE = 0.05
"""An answer drawn colder than this is left out, at ingest and in the learner alike.

The learner divides its logits by the temperature, so an error of e in a logit is one of e / T in a
log-probability: at 0.05 the 1e-3 by which float32 engines differ is 0.02, at 0.01 it is 0.1.
"""

NEUTRAL_FIELDS = frozenset(
    (
        # Who asks for what, and in which form the answer comes.
        *("model", "messages", "prompt", "user", "metadata", "safety_identifier"),
        *("session_id", "prompt_cache_key", "prompt_cache_retention", "store", "service_tier"),
        *("stream", "stream_options", "stream_interval", "request_id", "cache_salt", "priority"),
        *("logprobs", "top_logprobs", "prompt_logprobs", "logprob_token_ids"),
        *("return_token_ids", "return_tokens_as_token_ids", "return_prompt_text"),
        *("return_token_offsets", "include_reasoning"),
        # Where an answer ends.
        *("max_tokens", "max_completion_tokens", "stop", "stop_token_ids"),
        *("include_stop_str_in_output",),
        # What the model reads; the token ids of the prompt tell it.
        *("chat_template", "chat_template_kwargs", "documents", "add_generation_prompt"),
        *("continue_final_message", "add_special_tokens", "reasoning_effort"),
        *("truncate_prompt_tokens", "truncation_side", "mm_processor_kwargs", "media_io_kwargs"),
        # How tokens become text.
        *("skip_special_tokens", "spaces_between_special_tokens"),
        # How tokens are drawn: recorded as it is, with rules of its own. A seed picks one of the
        # same draws.
        *("temperature", "top_p", "top_k", "min_p", "seed"),
    )
)
"""Fields of a request whose every value leaves the distribution as the policy's own."""


def _is(*values: Any) -> Callable[[Any], bool]:
    # 0 and False are equal in Python, and to an engine.
    return lambda value: value in values


def _free_tools(tools: Any) -> bool:
    """Return whether no tool has its arguments under a grammar."""
    return isinstance(tools, list) and all(
        isinstance(tool, Mapping)
        and tool.get("type", "function") == "function"
        and not tool.get("strict")
        and isinstance(tool.get("function", {}), Mapping)
        and not tool.get("function", {}).get("strict")
        for tool in tools
    )


NEUTRAL_VALUES: dict[str, Callable[[Any], bool]] = {
    "n": _is(1),
    "best_of": _is(1),
    "echo": _is(False),
    "use_beam_search": _is(False),
    "length_penalty": _is(1),
    "ignore_eos": _is(False),
    "min_tokens": _is(0),
    "presence_penalty": _is(0),
    "frequency_penalty": _is(0),
    "repetition_penalty": _is(1),
    "logit_bias": _is({}),
    "bad_words": _is([]),
    "allowed_token_ids": _is([]),
    "response_format": _is({"type": "text"}),
    "structured_outputs": _is({}),
    "modalities": _is(["text"]),
    "tools": _free_tools,
    "functions": _is([]),
    "tool_choice": _is("none", "auto"),
    # False makes vLLM put a grammar on the arguments.
    "parallel_tool_calls": _is(True),
}
"""Fields that bend the distribution, but for these values."""


def constraining_fields(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of a request that may bend the distribution; null counts as left out.

    >>> constraining_fields({"messages": [], "temperature": 0.7, "n": 1, "logit_bias": None})
    ()
    >>> constraining_fields({"parallel_tool_calls": False, "tools": [{}], "a_new_option": 1})
    ('a_new_option', 'parallel_tool_calls')
    """
    return tuple(
        sorted(
            name
            for name, value in request.items()
            if value is not None
            # What may be called at once says nothing where nothing can be called.
            and not (name == "parallel_tool_calls" and not request.get("tools"))
            and name not in NEUTRAL_FIELDS
            and not NEUTRAL_VALUES.get(name, _is())(value)
        )
    )
