"""Who asked, as the event says it."""

import httpx
from gateway_rig import CHAT, HELLO, GatewayRig

from rlwd.daemon.gateway.identity import new_generation_id, session_of


def test_without_consent_nothing_said_is_kept(client: httpx.Client, gateway: GatewayRig) -> None:
    """The generation is counted, with its usage, but has neither text nor tokens."""
    client.post(CHAT, json=HELLO, headers={"X-Rlwd-Consent": "false"})
    (event,) = gateway.sink.generations(1)
    assert not event.consent
    assert (event.text, event.prompt_token_ids, event.completion_token_ids) == ("", None, None)
    assert event.usage.completion_tokens == 4


def test_headers_beat_metadata_and_the_session_stands_in_for_a_user(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """A header wins over the body; without a user, a session's requests share one bucket."""
    body = {**HELLO, "metadata": {"session": "from-body", "tenant": "t1"}}
    for _ in range(2):
        client.post(CHAT, json=body, headers={"X-Rlwd-Session": "from-header"})
    client.post(CHAT, json={**HELLO, "user": "from-header"})
    one, two, three = gateway.sink.generations(3)
    assert (one.session_id, one.tenant) == ("from-header", "t1")
    assert one.user_hash == two.user_hash != three.user_hash


def test_generation_ids_grow_and_carry_their_session() -> None:
    """Ids of one process sort by time and never repeat, whatever the session looks like."""
    ids = [new_generation_id("a.b", 1e9 + n / 1000) for n in range(2000)]
    assert sorted(ids) == ids
    assert len({new_generation_id("s", 1.0) for _ in range(2000)}) == 2000
    assert {session_of(i) for i in ids} == {"a.b"}
    assert session_of("cmpl-abc.def") is None
