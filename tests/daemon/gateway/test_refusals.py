"""What is refused, and how it is said."""

import json
import socket

import httpx
import msgspec
import pytest
from gateway_rig import CHAT, HELLO, PLAIN, GatewayRig, wait_for

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
        (CHAT, json.dumps({**HELLO, "temperature": 1e300}), 400, "temperature"),
        (CHAT, "[" * 900, 400, "deep"),
        # It can be read, and could not be written again for the engine.
        (CHAT, '{"messages": [], "x": ' + "[" * 300 + "]" * 300 + "}", 400, "deep"),
        (CHAT, json.dumps({**HELLO, "x": "y"})[:-4] + '"\\ud83d"}', 400, "surrogate"),
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
    # What only the engine can judge was assigned, so it has its event too.
    refused = ["refused"] if "Field required" in says else []
    events = gateway.sink.generations(1 + len(refused))
    assert [g.finish_reason for g in events] == [*refused, "stop"]


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


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Rlwd-Session", b"a b"),
        ("X-Rlwd-Consent", b"perhaps"),
        ("X-Rlwd-Tenant", b"Acme Corp"),
        ("X-Rlwd-Harness", b"caf\xe9"),
        ("X-Rlwd-Parent", b"\xff"),
        ("X-Rlwd-User", b"\xff\xfe"),
        ("X-Rlwd-Segment", b"x" * 201),
    ],
)
def test_our_headers_are_strict(
    header: str, value: bytes, client: httpx.Client, gateway: GatewayRig
) -> None:
    """A header of ours that is not usable is 400 with its name, whatever bytes it holds."""
    response = client.post(CHAT, json=HELLO, headers={header.encode(): value})
    assert response.status_code == 400
    assert header in response.json()["error"]["message"]
    assert gateway.engine.asked == []


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (b"Bearer secret", 200),
        (b"bearer secret", 200),
        (b"BEARER  secret", 200),
        (b"secret", 401),
        (b"Bearer \xff\xfe", 401),
        (b"Bearer", 401),
        (b"Basic secret", 401),
    ],
)
def test_a_token_is_read_as_the_standard_says(
    given: bytes, status: int, gateway: GatewayRig
) -> None:
    """The scheme's case does not matter, a bare token is none, and odd bytes are 401, not 500."""
    gateway.set_flags()
    client = gateway.open(token="secret")
    response = client.post(CHAT, json=HELLO, headers={b"Authorization": given})
    assert response.status_code == status


def test_who_is_not_known_learns_no_place(gateway: GatewayRig) -> None:
    """An unauthenticated `/readyz` and every 503 tell a reason and no path, host or port."""
    client = gateway.open(token="secret", engines=("http://127.0.0.1:1",))
    ready = client.get("/readyz")
    assert ready.status_code == 503
    for hidden in ("127.0.0.1", "flags.json", str(gateway.folder)):
        assert hidden not in ready.text
    known = {"Authorization": "Bearer secret"}
    assert "flags.json" in client.get("/readyz", headers=known).text
    response = client.post(CHAT, json=HELLO, headers=known)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert str(gateway.folder) not in response.text


def test_a_malformed_request_is_logged_without_its_bytes(
    gateway: GatewayRig, capfd: pytest.CaptureFixture[str]
) -> None:
    """A request that is not HTTP may hold a token; the log does not repeat it."""
    gateway.set_flags()
    url = gateway.open().base_url
    with socket.create_connection((url.host, url.port or 80), 5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nAuthorization Bearer tok-3f2a\r\n\r\n")
        answer = connection.recv(4096)
    assert b" 400 " in answer
    told = capfd.readouterr()
    assert "tok-3f2a" not in told.err + told.out


def test_a_compressed_body_is_refused_in_order(
    gateway: GatewayRig, capfd: pytest.CaptureFixture[str]
) -> None:
    """The caller's fault is no error of ours, no byte of it is logged, and the next request works."""
    gateway.set_flags()
    client = gateway.open()
    for path in (CHAT, "/v1/feedback", "/ofrep/v1/evaluate/flags"):
        for content in (b"tok-3f2a", b"\x1f\x8b\x08tok-3f2a", b"tok-3f2a" * 100_000):
            damaged = client.post(path, content=content, headers={"Content-Encoding": "gzip"})
            assert damaged.status_code == 415
            assert client.get("/v1/models").status_code == 200
    told = capfd.readouterr()
    assert "error" not in told.err + told.out
    assert "tok-3f2a" not in told.err + told.out


def test_slow_connections_are_closed(gateway: GatewayRig) -> None:
    """Who connects and does not ask in time is closed; a body that does not come is 408."""
    gateway.set_flags()
    client = gateway.open(header_seconds=0.3, body_seconds=0.3)
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address, 5) as silent:
        silent.sendall(b"POST /v1/feedback HTTP/1.1\r\nHost: x\r\n")
        assert silent.recv(10) == b""
    with socket.create_connection(address, 5) as slow:
        head = b"POST /v1/feedback HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"
        slow.sendall(head)
        assert b" 408 " in slow.recv(4096)
    assert "rlwd_gateway_connections_too_slow_total 1.0" in client.get("/metrics").text


def test_connections_are_limited(gateway: GatewayRig) -> None:
    """One connection over the limit is closed at once; when one goes, another may come."""
    gateway.set_flags()
    client = gateway.open(max_connections=3)
    address = (client.base_url.host, client.base_url.port or 80)
    held = [socket.create_connection(address, 5) for _ in range(3)]
    try:
        for connection in held:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in connection.recv(4096)
        with pytest.raises(httpx.TransportError):
            client.get("/livez")
    finally:
        for connection in held:
            connection.close()
    wait_for(lambda: client.get("/livez").status_code == 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 202),
        ({"Content-Type": "application/json; charset=utf-8"}, 202),
        ({}, 202),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json", "Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8080"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "application/json", "Origin": "https://app.example"}, 202),
    ],
)
def test_only_allowed_pages_may_post(
    headers: dict[str, str], status: int, gateway: GatewayRig
) -> None:
    """A page of another site cannot post feedback through its reader's browser."""
    gateway.set_flags()
    client = gateway.open(allowed_origins=("https://app.example",))
    post = {"feedback_id": "f", "generation_id": "g", "session_id": "s"}
    raw = json.dumps({**post, "signal": {"kind": "accepted"}})
    response = client.post("/v1/feedback", content=raw, headers=headers)
    assert response.status_code == status
    origin = response.headers.get("Access-Control-Allow-Origin")
    assert origin == (headers.get("Origin") if status == 202 else None)


def test_a_browser_may_evaluate_flags(gateway: GatewayRig) -> None:
    """A preflight of an allowed page is answered without a token; the call itself needs it."""
    gateway.set_flags()
    client = gateway.open(token="secret", allowed_origins=("https://app.example",))
    path, asks = "/ofrep/v1/evaluate/flags/policy", {"Access-Control-Request-Method": "POST"}
    first = client.options(path, headers={"Origin": "https://app.example", **asks})
    assert first.status_code == 204
    assert first.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Authorization" in first.headers["Access-Control-Allow-Headers"]
    assert client.options(path, headers={"Origin": "https://evil", **asks}).status_code == 403
    body, page = {"context": {"targetingKey": "u"}}, {"Origin": "https://app.example"}
    assert client.post(path, json=body, headers=page).status_code == 401
    known = {**page, "Authorization": "Bearer secret"}
    assert client.post(path, json=body, headers=known).json()["variant"] == "champion"


@pytest.mark.parametrize("model", ["rlwd", "policy@v000002-d4735e3a", "a/b"])
def test_one_model_can_be_asked_for(model: str, client: httpx.Client) -> None:
    """`/v1/models/{id}` knows the public name alone."""
    response = client.get(f"/v1/models/{model}")
    assert response.status_code == (200 if model == "rlwd" else 404)
    assert (response.json().get("id") == "rlwd") == (model == "rlwd")
