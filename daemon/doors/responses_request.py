"""ResponsesRequest: a request of OpenAI's Responses API, as the chat door is asked it.

Fields as in OpenAI's reference, `POST /v1/responses`, and in openai-python 3.54,
`types/responses/response_create_params.py`.
"""

from collections.abc import Mapping
from typing import Any

from .asked_fields import AskedFields
from .door import ChatRequest
from .responses_items import input_messages
from .responses_tools import chat_choice, chat_tools

_SAME = (
    *("model", "stream", "temperature", "top_p", "parallel_tool_calls", "metadata", "user"),
    *("safety_identifier", "prompt_cache_key"),
)
ENGINE_FIELDS = (
    *("top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty", "seed"),
    *("stop", "stop_token_ids", "min_tokens", "ignore_eos", "logit_bias", "skip_special_tokens"),
    *("chat_template_kwargs", "structured_outputs", "include_reasoning", "session_id"),
)
"""What engines take beside the API's own fields, passed on under the same names."""
_COMFORT = (
    *("service_tier", "prompt_cache_retention", "prompt_cache_options", "stream_options"),
    *("client_metadata", "max_tool_calls"),
)
_MAPPED = (
    *("input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning"),
    *("include", "store", "background", "truncation", "top_logprobs"),
)
_REFUSED = {
    "previous_response_id": "no conversation is kept here; send all of its items",
    "conversation": "no conversation is kept here; send all of its items",
    "prompt": "no templates are kept here; send instructions and input",
}


def responses_request(body: Mapping[str, Any]) -> ChatRequest:
    """Return the request of the chat door. Raises ValueError with the path of what cannot be mapped."""
    asked, ignored = AskedFields(body), list[str]()
    _check_names(asked, ignored)
    chat = asked.copied((*_SAME, *ENGINE_FIELDS))
    chat["messages"] = input_messages(asked)
    if asked.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = asked.get("max_output_tokens")
    tools = chat_tools(asked, ignored)
    if tools:
        chat["tools"] = tools
    choice = None if asked.get("tool_choice") is None else chat_choice(asked)
    # Without tools this API takes what a chat refuses.
    if choice is not None and (tools or choice not in ("auto", "none")):
        chat["tool_choice"] = choice
    _map_text(asked.fields("text"), chat, ignored)
    _map_reasoning(asked.fields("reasoning"), chat, ignored)
    return ChatRequest(body=chat, ignored=tuple(ignored))


def responses_count(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an engine's `/tokenize` is asked for `POST /v1/responses/input_tokens`.

    Raises ValueError with the path of what could not be asked for, either.
    """
    return responses_request(body).what_is_read()


def _check_names(asked: AskedFields, ignored: list[str]) -> None:
    """Refuse what cannot be mapped, and gather what is of no use here."""
    for name in asked.present():
        if name in _REFUSED:
            asked.refuse(name, _REFUSED[name])
        if name in _COMFORT:
            ignored.append(name)
        elif name not in (*_SAME, *ENGINE_FIELDS, *_MAPPED):
            asked.refuse(name, "cannot be mapped onto a chat")
    if asked.get("background"):
        asked.refuse("background", "an answer is given while its client waits")
    if asked.get("truncation") not in (None, "disabled"):
        asked.refuse("truncation", "only disabled: nothing is left out of a conversation")
    if asked.get("top_logprobs"):
        asked.refuse("top_logprobs", "log-probabilities are told by /v1/chat/completions")
    included = asked.get("include") or []
    if not isinstance(included, list):
        asked.refuse("include", "must be a list")
    for place, name in enumerate(included):
        # Nothing is hidden: reasoning is told as text.
        if name != "reasoning.encrypted_content":
            asked.refuse(f"include[{place}]", f"{name!r} is not told here")
        ignored.append("include")


def _map_text(text: AskedFields, chat: dict[str, Any], ignored: list[str]) -> None:
    for name in text.present():
        if name == "verbosity":
            ignored.append(text.place(name))
        elif name != "format":
            text.refuse(name, "cannot be mapped onto a chat")
    form = text.fields("format")
    kind = form.get("type")
    if kind == "json_schema":
        form.text("name")
        schema = form.copied(("name", "description", "schema", "strict"))
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind not in (None, "text"):
        form.refuse("type", f"{kind!r} cannot be mapped onto a chat")


def _map_reasoning(reasoning: AskedFields, chat: dict[str, Any], ignored: list[str]) -> None:
    for name in reasoning.present():
        if name == "effort":
            chat["reasoning_effort"] = reasoning.text("effort")
        else:
            # Reasoning is told as the model wrote it, and never summed up.
            ignored.append(reasoning.place(name))
