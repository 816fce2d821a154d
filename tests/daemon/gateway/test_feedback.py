"""Feedback that clients post."""

from typing import Any

import httpx
import msgspec
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig

from rlwd.daemon.callers.generation_ids import new_generation_id
from rlwd.streams.events.event import Feedback, FeedbackEvent
from rlwd.streams.events.signals import Edited


def test_feedback_is_taken_and_reaches_the_log(client: httpx.Client, gateway: GatewayRig) -> None:
    """A posted feedback is 202 and comes out as its event, keyed by the generation's session."""
    generation = client.post(CHAT, json={**HELLO, "metadata": {"session": "s7"}}).json()["id"]
    response = client.post(
        "/v1/feedback",
        json={
            "feedback_id": "f1",
            "generation_id": generation,
            "signal": {"kind": "edited", "final_text": "Good night!"},
            "actor": "agent",
            "time": "2026-11-21T12:00:00+02:00",
            "unknown": 1,
        },
        headers={"X-Rlwd-Tenant": "acme"},
    )
    assert (response.status_code, response.json()) == (202, {"feedback_id": "f1", "status": 202})
    gateway.sink.wait(2)
    (event,) = [e for e in gateway.sink.flushed if isinstance(e, FeedbackEvent)]
    assert event.data == Feedback(
        feedback_id="f1",
        generation_id=generation,
        session_id="s7",
        signal=Edited(final_text="Good night!"),
        tenant="acme",
        actor="agent",
        redacted=(),
    )
    assert event.source == "/feedback/acme"
    assert event.time.isoformat() == "2026-11-21T12:00:00+02:00"


def test_a_list_of_feedback_is_answered_one_by_one(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """The good ones are taken, each bad one is told what is wrong with it."""
    good = {"generation_id": "foreign", "session_id": "s1", "signal": {"kind": "accepted"}}
    ours = new_generation_id("s1", 1.0)
    posts: list[Any] = [
        {**good, "feedback_id": "1"},
        {**good},
        {**good, "feedback_id": "3", "signal": {"kind": "loved"}},
        {**good, "feedback_id": "3b", "signal": {"kind": "judged", "value": 1}},
        {**good, "feedback_id": "4", "signal": {"kind": "rated", "value": 2}},
        {"feedback_id": "5", "generation_id": "foreign", "signal": {"kind": "accepted"}},
        {**good, "feedback_id": "6", "generation_id": ours, "session_id": "s2"},
        {**good, "feedback_id": "7", "time": "2026-11-21T12:00:00"},
        "text",
        {**good, "feedback_id": "9", "replaces": "1"},
    ]
    response = client.post("/v1/feedback", json=posts)
    results = response.json()["results"]
    assert response.status_code == 207
    assert [r["status"] for r in results] == [202, 400, 400, 400, 400, 400, 400, 400, 400, 202]
    says = [r["error"]["message"] for r in results if r["status"] == 400]
    for expected, message in zip(
        [
            "feedback_id",
            "loved",
            "daemon alone",
            "value",
            "session_id",
            "session_id",
            "zone",
            "object",
        ],
        says,
        strict=True,
    ):
        assert expected in message
    assert [f.feedback_id for f in gateway.sink.feedback(2)] == ["1", "9"]
    assert client.post("/v1/feedback", json=posts[:1]).status_code == 202


def test_of_one_list_the_later_one_came_later(client: httpx.Client, gateway: GatewayRig) -> None:
    """Whatever their ids: who accepts and then takes it back in one post has taken it back."""
    about = {"generation_id": "foreign", "session_id": "s1"}
    kinds = ["accepted", "rejected", "accepted", "undone"]
    posts = [
        {**about, "feedback_id": name, "signal": {"kind": kind}}
        for name, kind in zip("dcba", kinds, strict=True)
    ]
    assert client.post("/v1/feedback", json=posts).status_code == 202
    gateway.sink.wait(4)
    events = [one for one in gateway.sink.flushed if isinstance(one, FeedbackEvent)]
    events.sort(key=lambda one: (one.time, one.receivedtime))
    assert [one.id for one in events] == ["d", "c", "b", "a"]
    assert len({one.receivedtime for one in events}) == 4


@pytest.mark.parametrize(
    ("signal", "says"),
    [
        ({"kind": "interrupted"}, None),
        ({"kind": "tool_result", "tool": "search", "error_class": None}, None),
        ({"kind": "tool_result", "tool": "search", "error_class": "timeout"}, None),
        ({"kind": "tool_result", "tool": "search"}, "error_class"),
        ({"kind": "tool_result", "tool": "search", "error_class": "bad_luck"}, "error_class"),
        ({"kind": "resolved"}, None),
        ({"kind": "escalated"}, None),
        ({"kind": "regenerated"}, None),
        ({"kind": "regenerated", "new_generation_id": "s1.g2"}, None),
        ({"kind": "outcome", "name": "sold", "value": 0.5, "amount": 120, "unit": "EUR"}, None),
        ({"kind": "outcome", "name": "sold", "value": 120}, "value"),
        ({"kind": "followed_up", "text": "shorter", "statement": "direction"}, None),
        ({"kind": "followed_up", "text": "shorter", "statement": "mood"}, "statement"),
    ],
)
def test_work_data_is_taken_as_it_is(
    signal: dict[str, Any], says: str | None, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Each kind of the taxonomy is posted as it stands on the topic; a wrong one names its field."""
    post = {"feedback_id": "f", "generation_id": "foreign", "session_id": "s", "signal": signal}
    response = client.post("/v1/feedback", json=post)
    if says is None:
        assert response.status_code == 202
        (taken,) = gateway.sink.feedback(1)
        assert msgspec.to_builtins(taken.signal).items() >= signal.items()
    else:
        assert response.status_code == 400
        assert f"$.signal.{says}" in response.text or f"`{says}`" in response.text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"feedback_id": "a\0b"}, r"$.feedback_id: holds a NUL"),
        ({"generation_id": "ü" * 400}, r"$.generation_id: is longer than 512 bytes"),
        ({"time": "9999-12-31T23:59:59-14:00"}, r"$.time: "),
    ],
)
def test_what_ingest_would_bury_is_refused_at_the_door(
    fields: dict[str, str], says: str, client: httpx.Client
) -> None:
    """A client hears of what no ledger can hold, instead of a 202 and a dead letter."""
    good = {"generation_id": "foreign", "session_id": "s1", "signal": {"kind": "accepted"}}
    response = client.post("/v1/feedback", json={"feedback_id": "f", **good, **fields})
    assert response.status_code == 400
    assert says in response.json()["error"]["message"]


@pytest.mark.parametrize("body", ["{", '"x"', "[" + ",".join("1" * 1001) + "]"])
def test_what_is_no_feedback_is_400(body: str, client: httpx.Client) -> None:
    """Broken JSON, another type, or too long a list is refused as a whole."""
    assert client.post("/v1/feedback", content=body).status_code == 400


def test_feedback_of_who_names_no_tenant_is_the_answers_own(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """A product that named its tenant when it asked need not name it again: the record says none."""
    generation = client.post(CHAT, json={**HELLO, "metadata": {"tenant": "acme"}}).json()["id"]
    posted = {"feedback_id": "f", "generation_id": generation, "signal": {"kind": "accepted"}}
    assert client.post("/v1/feedback", json=posted).status_code == 202
    assert [one.tenant for one in gateway.sink.feedback(1)] == [""]
