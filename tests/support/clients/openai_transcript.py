"""Asks a gateway with OpenAI's Python client, 1.x or newer, and prints what it saw as JSON.

Run in an environment of its own, with a URL and any number of `stream:chat`, `whole:plain`, `whole:tool`….
"""

import json
import sys

import openai

url, asked = sys.argv[1], sys.argv[2:]
client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)


def usage_of(usage):
    return None if usage is None else [usage.prompt_tokens, usage.completion_tokens]


def ask(how, what):
    messages = [{"role": "user", "content": "hello there"}]
    common = {"model": "rlwd", "temperature": 0.8, "max_tokens": 12}
    if what == "tool":
        function = {"name": "add", "parameters": {"type": "object", "properties": {}}}
        common["tools"] = [{"type": "function", "function": function}]
    seen = {"text": "", "finish": None, "usage": None, "id": None, "tool": None}

    if what == "plain":
        if how == "whole":
            answer = client.completions.create(prompt="hello there", **common)
            choice = answer.choices[0]
            seen |= {"text": choice.text, "finish": choice.finish_reason, "id": answer.id}
            seen["usage"] = usage_of(answer.usage)
        else:
            for chunk in client.completions.create(prompt="hello there", stream=True, **common):
                seen["id"] = chunk.id
                for choice in chunk.choices:
                    seen["text"] += choice.text or ""
                    seen["finish"] = choice.finish_reason or seen["finish"]
    elif how == "whole":
        answer = client.chat.completions.create(messages=messages, **common)
        choice = answer.choices[0]
        seen |= {
            "text": choice.message.content or "",
            "finish": choice.finish_reason,
            "id": answer.id,
        }
        seen["usage"] = usage_of(answer.usage)
        if choice.message.tool_calls:
            seen["tool"] = choice.message.tool_calls[0].function.arguments
    else:
        options = {"stream_options": {"include_usage": True}}
        stream = client.chat.completions.create(messages=messages, stream=True, **common, **options)
        for chunk in stream:
            seen["id"] = chunk.id
            seen["usage"] = usage_of(chunk.usage) or seen["usage"]
            for choice in chunk.choices:
                seen["text"] += choice.delta.content or ""
                seen["finish"] = choice.finish_reason or seen["finish"]
                if choice.delta.tool_calls:
                    seen["tool"] = (seen["tool"] or "") + choice.delta.tool_calls[
                        0
                    ].function.arguments
    print(json.dumps(seen), flush=True)


def loop(how):
    """A person asks, a tool is called and answers, the person says thanks: three requests."""
    function = {"name": "add", "parameters": {"type": "object", "properties": {}}}
    common = {"model": "rlwd", "user": how}
    common["tools"] = [{"type": "function", "function": function}]
    messages = [{"role": "user", "content": "hello there"}]
    for _ in range(3):
        if how == "whole":
            answer = client.chat.completions.create(messages=messages, **common)
            said = answer.choices[0].message.model_dump(exclude_none=True)
        else:
            said = {"role": "assistant", "content": "", "tool_calls": []}
            for chunk in client.chat.completions.create(messages=messages, stream=True, **common):
                for choice in chunk.choices:
                    said["content"] += choice.delta.content or ""
                    for piece in choice.delta.tool_calls or ():
                        if piece.id:
                            function = {"name": piece.function.name, "arguments": ""}
                            call = {"id": piece.id, "type": "function", "function": function}
                            said["tool_calls"].append(call)
                        called = said["tool_calls"][piece.index]["function"]
                        called["arguments"] += piece.function.arguments or ""
            said = {key: value for key, value in said.items() if value}
        messages.append(said)
        calls = said.get("tool_calls") or ()
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": "3"} for call in calls
        ] or [{"role": "user", "content": "thanks"}]
    text = said.get("content") or ""
    print(
        json.dumps({"text": text, "finish": None, "usage": None, "id": None, "tool": None}),
        flush=True,
    )


for one in asked:
    if one.endswith(":loop"):
        loop(one.split(":")[0])
    else:
        ask(*one.split(":"))
