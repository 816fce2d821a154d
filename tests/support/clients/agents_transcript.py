"""Asks a gateway with OpenAI's Agents SDK, by the API that DOOR names, and prints what it saw as JSON."""

import asyncio
import json
import os
import sys

from agents import (
    Agent,
    ModelSettings,
    Runner,
    function_tool,
    set_default_openai_api,
    set_default_openai_client,
    set_tracing_disabled,
)
from agents.agent import StopAtTools
from openai import AsyncOpenAI

url, asked = sys.argv[1], sys.argv[2:]
set_tracing_disabled(True)
if os.environ["DOOR"] == "chat":
    # The SDK's own default is Responses.
    set_default_openai_api("chat_completions")


@function_tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def run(how, agent, said):
    # The one thing that a product changes: where its client asks. A client lives as long as its loop.
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)
    set_default_openai_client(client, use_for_tracing=False)
    if how == "whole":
        return await Runner.run(agent, said)
    result = Runner.run_streamed(agent, said)
    async for _ in result.stream_events():
        pass
    return result


async def ask(how, what):
    agent = Agent(
        name="one",
        model="rlwd",
        model_settings=ModelSettings(temperature=0.8, max_tokens=12, include_usage=True),
        tools=[add] if what == "tool" else [],
        tool_use_behavior=StopAtTools(stop_at_tool_names=["add"]),
    )
    result = await run(how, agent, "hello there")
    answer = result.raw_responses[0]
    tools = [item.arguments for item in answer.output if item.type == "function_call"]
    texts = [
        part.text
        for item in answer.output
        if item.type == "message"
        for part in item.content
        if part.type == "output_text"
    ]
    usage = answer.usage
    told = [usage.input_tokens, usage.output_tokens] if usage.total_tokens else None
    seen = {"text": "".join(texts), "finish": None, "usage": told, "id": None}
    print(json.dumps({**seen, "tool": tools[0] if tools else None}), flush=True)


async def loop(how):
    """A person asks, a tool is called and answers, the person says thanks: three requests."""
    settings = ModelSettings(extra_body={"user": how})
    agent = Agent(name="one", model="rlwd", model_settings=settings, tools=[add])
    said = [{"role": "user", "content": "hello there"}]
    for _ in range(2):
        result = await run(how, agent, said)
        said = [*result.to_input_list(), {"role": "user", "content": "thanks"}]
    seen = {"text": result.final_output, "finish": None, "usage": None, "id": None, "tool": None}
    print(json.dumps(seen), flush=True)


for one in asked:
    how, what = one.split(":")
    asyncio.run(loop(how) if what == "loop" else ask(how, what))
