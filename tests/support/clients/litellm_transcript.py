"""Asks a gateway with LiteLLM and prints what it saw as JSON."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

litellm.telemetry = False
url, asked = sys.argv[1], sys.argv[2:]


def usage_of(answer):
    usage = getattr(answer, "usage", None)
    return None if usage is None else [usage.prompt_tokens, usage.completion_tokens]


def ask(how, what):
    common = {
        "model": "openai/rlwd",
        "api_base": f"{url}/v1",
        "api_key": "none",
        "messages": [{"role": "user", "content": "hello there"}],
        "temperature": 0.8,
        "max_tokens": 12,
        "num_retries": 0,
        "timeout": 60,
    }
    if what == "tool":
        function = {"name": "add", "parameters": {"type": "object", "properties": {}}}
        common["tools"] = [{"type": "function", "function": function}]
    seen = {"text": "", "finish": None, "usage": None, "id": None, "tool": None}

    if how == "whole":
        answer = litellm.completion(**common)
        choice = answer.choices[0]
        seen |= {"text": choice.message.content or "", "finish": choice.finish_reason}
        seen |= {"usage": usage_of(answer), "id": answer.id}
        if choice.message.tool_calls:
            seen["tool"] = choice.message.tool_calls[0].function.arguments
    else:
        for chunk in litellm.completion(
            stream=True, stream_options={"include_usage": True}, **common
        ):
            seen["id"] = chunk.id
            seen["usage"] = usage_of(chunk) or seen["usage"]
            for choice in chunk.choices:
                seen["text"] += choice.delta.content or ""
                seen["finish"] = choice.finish_reason or seen["finish"]
                if choice.delta.tool_calls:
                    seen["tool"] = (seen["tool"] or "") + choice.delta.tool_calls[
                        0
                    ].function.arguments
    print(json.dumps(seen), flush=True)


for one in asked:
    ask(*one.split(":"))
