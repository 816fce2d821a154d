"""Who is served by what: by bucket, by the newest flags, by fallbacks."""

import time

import httpx
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, stream, version

from rlwd.ops.flags.assignment import bucket, hash_user


def test_users_are_served_by_their_bucket(gateway: GatewayRig) -> None:
    """Every variant is served by its version, for all requests of a user alike, and the event has
    the salt and bucket that decided: the holdout's own for the anchor."""
    state = gateway.set_flags(candidate=3000, anchor=2000)
    client = gateway.open()
    served = {"candidate": 3, "control": 2, "champion": 2, "anchor": 0}
    seen, told = set(), {}
    for number in [*range(30), *range(30)]:
        response = client.post(CHAT, json={**HELLO, "user": f"u{number}"})
        user = hash_user(f"u{number}", b"key")
        held_out = bucket(state.holdout_salt, user)
        variant = state.shares.of(bucket(state.salt, user), holdout_bucket=held_out)
        assert response.headers["X-Rlwd-Variant"] == variant
        assert (
            response.headers["X-Rlwd-Version"].partition("; ")[0]
            == version(served[variant]).version
        )
        seen.add(str(variant))
        told[response.headers["X-Rlwd-Generation"]] = (user, variant)
    assert seen == set(served)
    for event in gateway.sink.generations(60):
        user, variant = told[event.generation_id]
        salt = state.holdout_salt if variant == "anchor" else state.salt
        assert (event.variant, event.salt, event.bucket) == (variant, salt, bucket(salt, user))


def test_a_new_flag_file_reaches_the_next_requests(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """After a rewrite the gateway serves by the new generation within its reload period."""
    assert client.post(CHAT, json=HELLO).headers["X-Rlwd-Variant"] == "champion"
    gateway.set_flags(anchor=10_000)
    time.sleep(0.2)
    response = client.post(CHAT, json=HELLO)
    assert response.headers["X-Rlwd-Variant"] == "anchor"
    assert [g.flag_generation for g in gateway.sink.generations(2)] == [1, 2]


@pytest.mark.parametrize(("known", "answers"), [((0, 1), 1), ((0,), 0)])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_missing_version_falls_back_and_says_so(
    known: tuple[int, ...], answers: int, streamed: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """On 404 the previous version answers, then v0; version and digest are of what answered."""
    gateway.engine.known = {version(n).version for n in known}
    if streamed:
        stream(client, CHAT, HELLO)
    else:
        response = client.post(CHAT, json=HELLO)
        assert response.headers["X-Rlwd-Version"].partition("; ")[0] == version(answers).version
    (event,) = gateway.sink.generations(1)
    assert (event.version, event.digest) == (version(answers).version, version(answers).digest)
    assert event.fallback
    assert event.reason == "fallback"
    assert event.variant == "champion"


def test_without_flags_nobody_is_served(gateway: GatewayRig) -> None:
    """Before there is a flag file requests are 503 and readiness names the file; then it goes on."""
    client = gateway.open()
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "flags.json" in ready.json()["reasons"][0]
    assert client.post(CHAT, json=HELLO).status_code == 503
    gateway.set_flags()
    time.sleep(0.2)
    assert client.post(CHAT, json=HELLO).status_code == 200
    assert client.get("/readyz").json()["flag_generation"] == 1
