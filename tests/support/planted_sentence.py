"""Planted sentence: what a person might write, put wherever a product can put it, to be found nowhere."""

from typing import Any, NamedTuple

import httpx

from rlwd.ops.servers.process import NO_TLS

SENTENCE = "quixotic herons whisper under zinnias"
WORDS = {"quixotic", "herons", "zinnias"}
"""No log has any of these by chance."""
REQUEST = "req-4711"
"""The id that the product gave a request."""
SAID: list[dict[str, Any]] = [{"role": "user", "content": SENTENCE}]
TOOL = {
    "type": "function",
    "function": {"name": "find", "description": SENTENCE, "parameters": {"type": "object"}},
}
CALLED = [
    {
        "id": "c1",
        "type": "function",
        "function": {"name": "find", "arguments": f'{{"q": "{SENTENCE}"'},
    }
]


class Planted(NamedTuple):
    """What came of planting."""

    answers: int
    """Requests that a variant was assigned to: each is one generation."""
    statuses: set[int]
    """All that was answered."""


def plant_everywhere(url: str) -> Planted:
    """Say the sentence through every door of a gateway, in what is whole and in what is not."""
    with httpx.Client(base_url=url, timeout=60.0, trust_env=False, verify=NO_TLS) as client:
        answered = [client.post("/v1/chat/completions", **asked) for asked in _requests()]
        name = answered[0].headers["X-Rlwd-Generation"]
        posted = [client.post("/v1/feedback", json=said) for said in _feedback(name)]
        posted.append(client.post("/v1/feedback", content=f'{{"x": "{SENTENCE}'.encode()))
    assigned = [one for one in answered if "X-Rlwd-Generation" in one.headers]
    return Planted(len(assigned), {one.status_code for one in answered + posted})


def _requests() -> list[dict[str, Any]]:
    body = {"messages": SAID, "max_tokens": 8, "user": "reader", "temperature": 1.0}
    tool = {"role": "tool", "tool_call_id": "c1", "content": f"error: {SENTENCE}"}
    asked = {"role": "assistant", "content": SENTENCE, "tool_calls": CALLED}
    return [
        {"json": body},
        {"json": {**body, "stream": True}},
        {"json": {**body, "tools": [TOOL], "messages": [*SAID, asked, tool, *SAID]}},
        {
            "json": {
                **body,
                "metadata": {"session": SENTENCE, "consent": SENTENCE, "user": SENTENCE},
            }
        },
        # What the engine refuses, in its own words.
        {"json": {**body, "messages": [{"role": SENTENCE, "content": SENTENCE}]}},
        {"json": {**body, "max_tokens": -7}, "headers": {"X-Request-Id": REQUEST}},
        {"json": {**body, "temperature": SENTENCE}},
        {"json": {**body, "model": SENTENCE}},
        {"json": {**body, "messages": SENTENCE}},
        {"json": body, "headers": {"X-Rlwd-Session": SENTENCE}},
        {"json": body, "headers": {"X-Request-Id": SENTENCE}},
        {"content": f'{{"messages": "{SENTENCE}'.encode()},
    ]


def _feedback(name: str) -> list[Any]:
    edited = {"kind": "edited", "final_text": f"{SENTENCE}, and sing"}
    return [
        {"feedback_id": "p1", "generation_id": name, "signal": {"kind": "accepted"}},
        {"feedback_id": "p2", "generation_id": name, "signal": edited},
        {"feedback_id": "p3", "generation_id": name, "signal": {"kind": SENTENCE}},
        {"feedback_id": SENTENCE, "generation_id": SENTENCE, "signal": {"kind": "accepted"}},
        {
            "feedback_id": "p4",
            "generation_id": name,
            "signal": {"kind": "rated", "value": SENTENCE},
        },
        [{"feedback_id": "p5", "generation_id": name, "signal": SENTENCE}, SENTENCE],
        {SENTENCE: SENTENCE},
    ]
