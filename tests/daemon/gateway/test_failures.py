"""Answers that do not come whole: engines that fail, clients that leave."""

import json

import httpx
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, stream, version


def test_no_version_at_all_is_our_fault_not_the_clients(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """An engine that knows none of the versions is 503 in OpenAI's shape, and nothing is recorded."""
    gateway.engine.known = set()
    response = client.post(CHAT, json=HELLO)
    assert response.status_code == 503
    assert version(2).version in response.json()["error"]["message"]
    assert len(gateway.engine.asked) == 3


def test_an_engine_that_is_down_is_503(gateway: GatewayRig) -> None:
    """Without an engine the client gets OpenAI's error shape, and readiness says why."""
    gateway.set_flags()
    client = gateway.open(engines=("http://127.0.0.1:1",))
    response = client.post(CHAT, json=HELLO)
    assert response.status_code == 503
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "engine" in ready.json()["reasons"][0]


def test_a_dead_replica_is_passed_over(gateway: GatewayRig) -> None:
    """With one replica down, every session is answered by the other."""
    gateway.set_flags()
    client = gateway.open(engines=("http://127.0.0.1:1", gateway.engine.url))
    for number in range(8):
        response = client.post(CHAT, json=HELLO, headers={"X-Rlwd-Session": f"s{number}"})
        assert response.status_code == 200
    assert {g.engine for g in gateway.sink.generations(8)} == {gateway.engine.url}


def test_an_engine_dying_in_mid_stream_is_told_and_recorded(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """The client gets an error event instead of silence; what it saw is recorded as `error`."""
    gateway.engine.dies_after = 2
    with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response:
        lines = [line[6:] for line in response.iter_lines() if line]
    assert json.loads(lines[-1])["error"]["type"] == "bad_gateway"
    (event,) = gateway.sink.generations(1)
    assert event.finish_reason == "error"
    assert event.text == "Good "
    assert event.completion_token_ids == gateway.engine.TOKENS[:2]
    assert event.captured


def test_an_abort_by_the_engine_is_not_a_complete_answer(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """A 200 with finish reason abort is recorded as abort."""
    gateway.engine.finish = "abort"
    client.post(CHAT, json=HELLO)
    stream(client, CHAT, HELLO)
    assert [g.finish_reason for g in gateway.sink.generations(2)] == ["abort", "abort"]


def test_a_client_that_leaves_a_stream_stops_the_engine(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Leaving closes the engine's stream, and the event says abort with what was seen."""
    gateway.engine.pause = 0.2
    with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response:
        seen = next(response.iter_lines())
        assert seen.startswith("data: ")
    assert gateway.engine.left.wait(5)
    (event,) = gateway.sink.generations(1)
    assert event.finish_reason == "abort"
    assert len(event.completion_token_ids or ()) < 4


def test_a_client_that_does_not_wait_stops_the_engine(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Leaving before any byte came also stops the engine, and is recorded without tokens."""
    gateway.engine.pause = 5.0
    with pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json=HELLO, timeout=0.3)
    assert gateway.engine.left.wait(5)
    (event,) = gateway.sink.generations(1)
    assert (event.finish_reason, event.completion_token_ids) == ("abort", None)


def test_a_slow_engine_is_504(gateway: GatewayRig) -> None:
    """Past the request timeout the client gets an error, not a hang."""
    gateway.set_flags()
    gateway.engine.pause = 5.0
    response = gateway.open(request_seconds=0.3).post(CHAT, json=HELLO)
    assert response.status_code == 504
