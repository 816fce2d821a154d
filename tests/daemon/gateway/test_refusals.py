"""What is refused, and how it is said."""

import json

import msgspec
import pytest
from gateway_rig import CHAT, HELLO, PLAIN, GatewayRig

from rlwd.daemon.gateway.app import GatewaySettings


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (CHAT, "{", 400, "unexpected end"),
        (CHAT, "[]", 400, "object"),
        (CHAT, '{"model": "rlwd"}', 400, "messages: Field required"),
        (CHAT, json.dumps({**HELLO, "model": "policy@v000002-d4735e3a"}), 404, "does not exist"),
        (CHAT, json.dumps({**HELLO, "n": 2}), 400, "n: only 1"),
        (CHAT, json.dumps({**HELLO, "stream": 1}), 400, "stream"),
        (CHAT, json.dumps({**HELLO, "temperature": "hot"}), 400, "temperature"),
        (CHAT, json.dumps({**HELLO, "metadata": 5}), 400, "metadata"),
        (CHAT, json.dumps({**HELLO, "user": 5}), 400, "user"),
        (CHAT, json.dumps({**HELLO, "metadata": {"session": "a b"}}), 400, "session"),
        (CHAT, json.dumps({**HELLO, "metadata": {"consent": "perhaps"}}), 400, "consent"),
        (PLAIN, json.dumps({"prompt": ["a", "b"]}), 400, "prompt: only one"),
        (PLAIN, json.dumps({"prompt": "a", "echo": True}), 400, "echo"),
        (PLAIN, json.dumps({"prompt": "x" * 70_000}), 413, ""),
        ("/v1/embeddings", "{}", 404, ""),
    ],
)
def test_bad_requests_get_a_clear_error(
    path: str, body: str, status: int, says: str, gateway: GatewayRig
) -> None:
    """Each is refused in OpenAI's error shape, naming the field, and the next request is served."""
    gateway.set_flags()
    client = gateway.open(max_body_bytes=65_536)
    response = client.post(path, content=body, headers={"X-Rlwd-User": ""})
    assert response.status_code == status
    assert says in response.json()["error"]["message"]
    assert client.post(CHAT, json=HELLO).status_code == 200
    assert len(gateway.sink.generations(1)) == 1


def test_a_token_is_asked_for_where_one_is_set(gateway: GatewayRig) -> None:
    """Everything but liveness and readiness needs the token."""
    gateway.set_flags()
    client = gateway.open(token="secret")
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    wrong = {"Authorization": "Bearer wrong"}
    assert client.post(CHAT, json=HELLO, headers=wrong).status_code == 401
    for path in (CHAT, "/v1/feedback", "/ofrep/v1/evaluate/flags/policy"):
        assert client.post(path, json=HELLO).status_code == 401
    assert client.get("/metrics").status_code == 401
    good = {"Authorization": "Bearer secret"}
    assert client.post(CHAT, json=HELLO, headers=good).status_code == 200


@pytest.mark.parametrize("field", ["token", "user_key"])
def test_beyond_loopback_secrets_are_required(field: str) -> None:
    """A gateway that others can reach does not start without token and user key."""
    given = {"host": "0.0.0.0", "token": "t", "user_key": "k"} | {field: ""}
    with pytest.raises(ValueError, match=f"gateway.{field}"):
        msgspec.convert(given, GatewaySettings)
    msgspec.convert({**given, "host": "127.0.0.1"}, GatewaySettings)
