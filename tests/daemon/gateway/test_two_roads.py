"""Two roads: what a product posts, and what follows from its next request, give the same episodes."""

import random
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from gateway_rig import CHAT, GatewayRig
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger
from real_clients import CLIENTS, RealClient

from rlwd.daemon.demo.person import react
from rlwd.daemon.demo.task import STYLES, draw_task
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.event import GenerationEvent, encode_event
from rlwd.streams.join.episodes_table import load_episodes
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.open import open_store

SPEC = Spec(
    name="agent",
    parts={"accepted": 1.0, "tool_ok": 1.0},
    decisive=("accepted", "rejected", "edited", "tool_result"),
)
Told = list[tuple[str | None, str, list[bytes], float | None]]


def episodes(gateway: GatewayRig, place: Path, count: int) -> Told:
    """Join what came; return each answer's parent rule, history, signals and reward, in order."""
    place.mkdir()
    store = open_store(place / "rlwd.db")
    ledger = Ledger(store, Joiner("policy", Scorer(SPEC), SPEC.decision_seconds))
    with store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    answers = list[str]()
    for event in gateway.sink.wait(count):
        is_answer = isinstance(event, GenerationEvent)
        if is_answer:
            answers.append(event.data.generation_id)
        ledger.take(encode_event(event), partition=GENERATIONS if is_answer else FEEDBACK)
    with store.reading() as view:
        found = {one.id: one for one in load_episodes(view, "policy", answers)}
        asked = view.execute("SELECT generation_id, link, history, reward FROM episodes")
        rows = {name: row for name, *row in asked.fetchall()}
    store.close()
    told: Told = []
    for name in answers:
        said = [msgspec.json.encode(one.feedback.signal) for one in found[name].feedback]
        link, history, reward = rows[name]
        told.append((link, history, sorted(said), reward))
    return told


def post(client: httpx.Client, generation_id: str, signal: dict[str, Any]) -> None:
    body = {"generation_id": generation_id, "signal": signal}
    name = f"{generation_id}:{signal['kind']}"
    assert client.post("/v1/feedback", json={**body, "feedback_id": name}).status_code == 202


@pytest.mark.parametrize("how", ["whole", "stream"])
@pytest.mark.parametrize("real", [one for one in CLIENTS if one.loops], ids=lambda real: real.name)
def test_an_agents_session_is_learned_from_by_its_base_url_alone(
    real: RealClient, how: str, client: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """A client's own tool loop, with no header of ours: its session is found, its turns are linked,
    and its results and follow-ups are the same as where the product posts them."""
    real.talk(str(client.base_url).rstrip("/"), [f"{how}:loop"])
    derived = episodes(gateway, tmp_path / "derived", 3)
    assert [one[:2] for one in derived] == [("", ""), ("tool_result", ""), ("answer", "")]
    calls, answers, last = gateway.sink.generations(3)
    assert {one.session_found for one in (calls, answers, last)} == {"beginning"}
    post(client, calls.generation_id, {"kind": "tool_result", "tool": "add", "error_class": None})
    post(client, answers.generation_id, {"kind": "followed_up", "text": "thanks"})
    posted = episodes(gateway, tmp_path / "posted", 5)
    assert posted == derived
    assert [one[2] for one in derived] == [
        [b'{"kind":"tool_result","tool":"add","error_class":null}'],
        [b'{"kind":"followed_up","text":"thanks","statement":null}'],
        [],
    ]
    assert [one[3] for one in derived] == [1.0, None, None]


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
    told = [said for _, _, signals, _ in derived for said in signals]
    assert sum(b"followed_up" in said for said in told) == complaints
