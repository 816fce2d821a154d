"""Who asked, as the event says it."""

from typing import Any

import httpx
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig

from rlwd.daemon.callers.generation_ids import new_generation_id, session_of
from rlwd.ops.flags.assignment import hash_user
from rlwd.streams.redaction.privacy import PrivacySettings, TenantPrivacy


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


@pytest.mark.parametrize(
    ("metadata", "left_out"),
    [
        ({"session": "my session 7"}, ["session"]),
        ({"tenant": "Acme Corp", "segment": {"a": 1}}, ["segment", "tenant"]),
        ({"harness": ["x"], "parent": {"deep": {}}}, ["harness", "parent"]),
        ({"user": {"id": 7}}, ["user"]),
        ({"order": {"id": 1}, "team": [1, 2]}, []),
        (5, ["metadata"]),
        ("a text", ["metadata"]),
    ],
)
def test_a_products_own_metadata_is_left_out(
    metadata: Any, left_out: list[str], client: httpx.Client, gateway: GatewayRig
) -> None:
    """Nobody is refused an answer for what a product keeps in `metadata`; what was unusable counts."""
    response = client.post(CHAT, json={**HELLO, "metadata": metadata})
    assert response.status_code == 200
    (event,) = gateway.sink.generations(1)
    assert (event.tenant, event.segment, event.harness) == ("default", "default", "")
    page = client.get("/metrics").text
    counted = [
        line for line in page.splitlines() if line.startswith("rlwd_gateway_left_out_total{")
    ]
    assert sorted(line.split('"')[1] for line in counted) == left_out


@pytest.mark.parametrize(
    ("said", "consent"), [("granted", False), ({"a": 1}, False), ("no", False), (True, True)]
)
def test_a_consent_that_cannot_be_read_is_none(
    said: Any, consent: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """The person is served; what they said is never trained on."""
    client.post(CHAT, json={**HELLO, "metadata": {"consent": said}})
    (event,) = gateway.sink.generations(1)
    assert event.consent is consent


def test_one_name_in_two_tenants_is_two_people(client: httpx.Client, gateway: GatewayRig) -> None:
    """Users and unnamed sessions of one tenant share no hash with another's of the same name."""
    for tenant in ("t1", "t2", "default"):
        headers = {"X-Rlwd-Tenant": tenant}
        client.post(CHAT, json={**HELLO, "user": "alice"}, headers=headers)
        client.post(CHAT, json={**HELLO, "prompt_cache_key": "chat 7"}, headers=headers)
    events = gateway.sink.generations(6)
    assert len({event.user_hash for event in events}) == 6
    assert len({event.session_id for event in events[1::2]}) == 3
    assert events[4].user_hash == hash_user("alice", b"key")


def test_a_safety_identifier_is_the_user(client: httpx.Client, gateway: GatewayRig) -> None:
    """OpenAI's follower of `user` names the person; thirty of their requests are one user."""
    for number in range(30):
        named = {"safety_identifier": "alice", "user": f"u{number}"}
        client.post(CHAT, json={**HELLO, **named})
    events = gateway.sink.generations(30)
    assert {g.user_hash for g in events} == {hash_user("alice", b"key")}
    assert all(g.user_named for g in events)
    assert "safety_identifier" not in gateway.engine.asked[0]


def test_a_cache_key_is_a_session_and_no_user(client: httpx.Client, gateway: GatewayRig) -> None:
    """`prompt_cache_key` keeps requests together and names nobody; the event says so."""
    for _ in range(3):
        client.post(CHAT, json={**HELLO, "prompt_cache_key": "alice@example.com chat 7"})
    client.post(CHAT, json=HELLO)
    *together, alone = gateway.sink.generations(4)
    assert len({g.session_id for g in together}) == len({g.user_hash for g in together}) == 1
    assert alone.session_id != together[0].session_id
    assert not any(g.user_named for g in (*together, alone))
    assert "alice" not in together[0].session_id


@pytest.mark.parametrize("streamed", [False, True])
def test_the_generation_is_named_before_the_first_byte(
    streamed: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Headers carry the id that feedback needs, for clients that show ids of their own."""
    gateway.engine.pause = 0.05
    with client.stream("POST", CHAT, json={**HELLO, "stream": streamed}) as response:
        named = response.headers["X-Rlwd-Generation"], response.headers["X-Request-Id"]
        response.read()
    (event,) = gateway.sink.generations(1)
    assert named == (event.generation_id, event.generation_id)


@pytest.mark.parametrize(
    ("said", "purposes"),
    [
        ("train", ("count", "train")),
        ("share", ("count", "share")),
        ("share, train", ("count", "train", "share")),
        ("true", ("count", "train")),
        ("false", ("count",)),
        ("", ("count", "train")),
    ],
)
def test_consent_names_purposes(
    said: str, purposes: tuple[str, ...], client: httpx.Client, gateway: GatewayRig
) -> None:
    """By header or in `metadata`; what may be shared alone is kept and not for training."""
    if said:
        client.post(CHAT, json=HELLO, headers={"X-Rlwd-Consent": said})
    client.post(CHAT, json={**HELLO, "metadata": {"consent": said}})
    for event in gateway.sink.generations(2 if said else 1):
        assert (event.purposes, event.consent) == (purposes, "train" in purposes)
        assert (event.text == "") is (purposes == ("count",))


def test_a_tenant_may_ask_first(gateway: GatewayRig) -> None:
    """Where it does, silence is no agreement, and `true` means what the tenant says that it means."""
    lab = TenantPrivacy(consent="opt_in", purposes=("train", "share"))
    gateway.set_flags()
    client = gateway.open(privacy=PrivacySettings(tenants={"lab": lab}))
    for said in ({}, {"X-Rlwd-Consent": "true"}):
        client.post(CHAT, json=HELLO, headers={"X-Rlwd-Tenant": "lab", **said})
    silent, agreed = gateway.sink.generations(2)
    assert (silent.purposes, silent.text) == (("count",), "")
    assert (agreed.purposes, agreed.text) == (("count", "train", "share"), "Good day!")


def test_a_purpose_that_there_is_not_is_refused(client: httpx.Client) -> None:
    """Our header is strict, and names itself."""
    response = client.post(CHAT, json=HELLO, headers={"X-Rlwd-Consent": "sell"})
    assert (response.status_code, "X-Rlwd-Consent" in response.text) == (400, True)
