"""Asks a gateway with LangChain and prints what it saw as JSON."""

import json
import sys

from langchain_openai import ChatOpenAI

url, asked = sys.argv[1], sys.argv[2:]


def ask(how, what):
    model = ChatOpenAI(
        base_url=f"{url}/v1",
        api_key="none",
        model="rlwd",
        temperature=0.8,
        max_tokens=12,
        max_retries=0,
        timeout=60,
        stream_usage=True,
    )
    if what == "tool":
        function = {
            "name": "add",
            "description": "adds",
            "parameters": {"type": "object", "properties": {}},
        }
        model = model.bind_tools([{"type": "function", "function": function}])
    if how == "whole":
        answer = model.invoke("hello there")
    else:
        answer = None
        for chunk in model.stream("hello there"):
            answer = chunk if answer is None else answer + chunk
    usage = answer.usage_metadata
    seen = {
        "text": answer.content if isinstance(answer.content, str) else "",
        "finish": answer.response_metadata.get("finish_reason"),
        "usage": None if usage is None else [usage["input_tokens"], usage["output_tokens"]],
        "id": None,
        "tool": json.dumps(answer.tool_calls[0]["args"]) if answer.tool_calls else None,
    }
    print(json.dumps(seen), flush=True)


for one in asked:
    ask(*one.split(":"))
