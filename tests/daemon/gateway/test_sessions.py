"""Sessions are found where nobody names them, and what nobody here keeps is refused by name."""

from typing import Any

import httpx
import pytest
from gateway_rig import CHAT, HELLO, PLAIN, GatewayRig

BEGAN = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
LATER = [*BEGAN, {"role": "assistant", "content": "Good day!"}, {"role": "user", "content": "why"}]


def sessions(gateway: GatewayRig, client: httpx.Client, *bodies: dict[str, Any]) -> list[str]:
    """Ask each of these; return the sessions that the log has them in."""
    for body in bodies:
        assert client.post(CHAT, json=body).status_code == 200
    return [event.session_id for event in gateway.sink.generations(len(bodies))]


def test_a_conversation_is_known_by_its_beginning(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """A person's later request is in the session of the first; another person's, or another's
    beginning, is not, and the session tells neither words nor names."""
    first, second, other_user, other_words = sessions(
        gateway,
        client,
        {"messages": BEGAN, "user": "alice"},
        {"messages": LATER, "user": "alice"},
        {"messages": LATER, "user": "bob"},
        {"messages": [BEGAN[1]], "user": "alice"},
    )
    assert first == second
    assert len({first, other_user, other_words}) == 3
    event = gateway.sink.generations(4)[0]
    assert event.session_found == "beginning"
    assert event.generation_id.startswith(f"{first}.")


def test_another_tenant_has_other_sessions(client: httpx.Client, gateway: GatewayRig) -> None:
    """The key is the tenant's: one name and one beginning in two tenants are two sessions."""
    for tenant in ("t1", "t2"):
        body = {"messages": BEGAN, "user": "alice"}
        client.post(CHAT, json=body, headers={"X-Rlwd-Tenant": tenant})
    one, two = gateway.sink.generations(2)
    assert one.session_id != two.session_id


def test_who_is_not_named_gets_a_session_of_chance(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """Two strangers who begin in the same words are not one conversation."""
    one, two = sessions(gateway, client, {"messages": BEGAN}, {"messages": BEGAN})
    assert one != two
    assert gateway.sink.generations(2)[0].session_found == "chance"


@pytest.mark.parametrize(
    ("headers", "body", "found"),
    [
        ({"X-Rlwd-Session": "chat-7"}, {"prompt_cache_key": "k"}, "named"),
        ({}, {"metadata": {"session": "chat-7"}}, "named"),
        ({"X-Session-Id": "chat 7"}, {}, "cache_key"),
        ({"session_id": "chat 7"}, {}, "cache_key"),
        ({"X-Claude-Code-Session-Id": "chat 7"}, {}, "cache_key"),
        ({}, {"session_id": "chat 7"}, "cache_key"),
        ({}, {"prompt_cache_key": "chat 7"}, "cache_key"),
        ({}, {"session_id": {"not": "a text"}}, "beginning"),
    ],
)
def test_the_nearest_name_decides(
    headers: dict[str, str],
    body: dict[str, Any],
    found: str,
    client: httpx.Client,
    gateway: GatewayRig,
) -> None:
    """Ours first, then what other clients send, then the beginning; none of it bends the sampling."""
    for messages in (BEGAN, LATER):
        client.post(CHAT, json={"messages": messages, "user": "a", **body}, headers=headers)
    one, two = gateway.sink.generations(2)
    assert (one.session_found, one.session_id) == (found, two.session_id)
    assert (one.session_id == "chat-7") is (found == "named")
    assert "chat 7" not in one.session_id
    assert not one.sampling.constrained
    assert "session_id" not in gateway.engine.asked[0]


@pytest.mark.parametrize("path", [CHAT, PLAIN])
@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
def test_history_that_nobody_keeps_is_refused_by_name(
    path: str, field: str, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Answered without it, the model would read half of a conversation."""
    response = client.post(path, json={**HELLO, "prompt": "hi", field: "resp_1"})
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(f"{field}: ")
    assert not gateway.engine.asked


def test_subagents_and_side_requests_are_named(client: httpx.Client, gateway: GatewayRig) -> None:
    """By header or in `metadata`, and the log has it."""
    headers = {"X-Rlwd-Tool-Call": "call-7", "X-Rlwd-Parent": "s.1"}
    client.post(CHAT, json=HELLO, headers=headers)
    client.post(CHAT, json={**HELLO, "metadata": {"side_request": "title"}})
    agent, title = gateway.sink.generations(2)
    assert (agent.call_id, agent.parent_id, agent.side_request) == ("call-7", "s.1", "")
    assert (title.call_id, title.parent_id, title.side_request) == (None, None, "title")
