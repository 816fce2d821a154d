"""Two roads: what a product posts, and what follows from its next request, give the same episodes."""

import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from door_talks import ADD, by_tool_runner
from gateway_rig import CHAT, GatewayRig
from joined_by_hand import Joined, join
from real_clients import CLIENTS, RealClient

from rlwd.daemon.worlds.styles import STYLES, draw_task
from rlwd.daemon.worlds.styles_people import react

RESULT: dict[str, Any] = {"kind": "tool_result", "tool": "add", "error_class": None}
FAILED = {**RESULT, "error_class": "unknown"}
INVALID = {**RESULT, "error_class": "invalid_arguments"}


def episodes(gateway: GatewayRig, place: Path, count: int) -> list[Joined]:
    """Join what came."""
    gateway.sink.wait(count)
    return join(gateway.sink.flushed, place)


def post(client: httpx.Client, generation_id: str, signal: dict[str, Any], number: int = 0) -> None:
    body = {"generation_id": generation_id, "signal": signal}
    name = f"{generation_id}:{signal['kind']}:{number}"
    assert client.post("/v1/feedback", json={**body, "feedback_id": name}).status_code == 202


@pytest.mark.parametrize("how", ["whole", "stream"])
@pytest.mark.parametrize(
    "real", [None, *(one for one in CLIENTS if one.loops)], ids=lambda real: real and real.name
)
def test_an_agents_session_is_learned_from_by_its_base_url_alone(
    real: RealClient | None,
    how: str,
    client: httpx.Client,
    gateway: GatewayRig,
    tmp_path: Path,
) -> None:
    """A client's own tool loop, with no header of ours: its session is found, its turns are linked,
    and its results and follow-ups are the same as where the product posts them."""
    if real is None:
        by_tool_runner(client, stream=how == "stream")
    else:
        real.talk(str(client.base_url).rstrip("/"), [f"{how}:loop"])
    derived = episodes(gateway, tmp_path / "derived", 3)
    assert [(one.link, one.history) for one in derived] == [
        ("", ""),
        ("tool_result", ""),
        ("answer", ""),
    ]
    calls, answers, last = gateway.sink.generations(3)
    assert {one.session_found for one in (calls, answers, last)} == {"beginning"}
    post(client, calls.generation_id, RESULT)
    post(client, answers.generation_id, {"kind": "followed_up", "text": "thanks"})
    posted = episodes(gateway, tmp_path / "posted", 5)
    assert posted == derived
    assert [one.signals for one in derived] == [
        ['{"kind":"tool_result","tool":"add","error_class":null}'],
        ['{"kind":"followed_up","text":"thanks","statement":null}'],
        [],
    ]
    assert [one.reward for one in derived] == [1.0, None, None]


@pytest.mark.parametrize(
    ("arguments", "results", "signals"),
    [
        ('{"a": 1}', ["3", "4"], [RESULT, RESULT]),
        ('{"a": 1}', ["3", "Error: no"], [RESULT, FAILED]),
        ('{"a": "one"}', ["Error: no", "Error: no"], [INVALID, INVALID]),
        ('{"a": ', ["Error: no", "Error: no"], [INVALID, INVALID]),
    ],
    ids=["work", "one-fails", "misfit", "broken"],
)
def test_how_calls_ended_need_not_be_posted(
    arguments: str,
    results: list[str],
    signals: list[dict[str, Any]],
    client: httpx.Client,
    gateway: GatewayRig,
    tmp_path: Path,
) -> None:
    """Two calls in one answer: results, errors and calls that no tool could run are what a harness
    would post, one for each call."""
    gateway.engine.arguments, gateway.engine.calls = arguments, 2
    messages: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
    asked = {"tools": [{"type": "function", "function": ADD}], "user": "ann"}
    first = client.post(CHAT, json={"messages": messages, **asked}).json()
    said = first["choices"][0]["message"]
    back = [
        {"role": "tool", "tool_call_id": call["id"], "content": text}
        for call, text in zip(said["tool_calls"], results, strict=True)
    ]
    client.post(CHAT, json={"messages": [*messages, said, *back], **asked})
    derived = episodes(gateway, tmp_path / "derived", 2)
    for number, signal in enumerate(signals):
        post(client, first["id"], signal, number)
    assert episodes(gateway, tmp_path / "posted", 4) == derived
    assert derived[0].signals == sorted(json.dumps(one, separators=(",", ":")) for one in signals)


@pytest.mark.parametrize(
    "tools", [[], [{"type": "function", "function": ADD}]], ids=["text", "call"]
)
def test_who_leaves_need_not_be_posted(
    tools: list[Any], client: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """A client that leaves in the middle of a text, or of a call, has interrupted it."""
    gateway.engine.pause = 0.2
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "tools": tools}
    with client.stream("POST", CHAT, json=body) as response:
        generation_id = response.headers["X-Rlwd-Generation"]
        told = (json.loads(line[6:]) for line in response.iter_lines() if line)
        next(
            one
            for one in told
            if one["choices"][0]["delta"].get("tool_calls" if tools else "content")
        )
    derived = episodes(gateway, tmp_path / "derived", 1)
    post(client, generation_id, {"kind": "interrupted"})
    assert episodes(gateway, tmp_path / "posted", 2) == derived
    assert [json.loads(said)["kind"] for said in derived[0].signals] == ["interrupted"]


def test_the_demos_people_need_not_post_what_they_write_back(
    client: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """Who complains to the model itself says the same as whose product posts the complaint."""
    wants = dict.fromkeys({"reply", "title", "summary"}, next(iter(STYLES)))
    posting = list[tuple[str, dict[str, Any]]]()
    requests = complaints = 0
    for visit in range(60):
        rng = random.Random(visit)
        task = draw_task(rng)
        wants.setdefault(task.kind, next(iter(STYLES)))
        messages = [{"role": "user", "content": f"{task.prompt} ({visit})"}]
        body = {"messages": messages, "user": f"u{visit}"}
        answer = client.post(CHAT, json=body).json()
        requests += 1
        for act in react(task, "Good day!", wants, rng).acts:
            if act.signal["kind"] == "followed_up":
                posting.append((answer["id"], act.signal))
                complaint = {"role": "user", "content": act.signal["text"]}
                said = answer["choices"][0]["message"]
                again = {"messages": [*messages, said, complaint], "user": f"u{visit}"}
                client.post(CHAT, json=again)
                requests, complaints = requests + 1, complaints + 1
            else:
                post(client, answer["id"], act.signal)
                requests += 1
    assert complaints > 3
    derived = episodes(gateway, tmp_path / "derived", requests)
    for generation_id, signal in posting:
        post(client, generation_id, signal)
    assert episodes(gateway, tmp_path / "posted", requests + complaints) == derived
    told = [said for one in derived for said in one.signals]
    assert sum("followed_up" in said for said in told) == complaints
