"""Clients with credentials: a token decides tenant, pages, rate and caps, from the config file on."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, LoopThread
from typer.testing import CliRunner

from rlwd.daemon.callers.directory import ClientDirectory, TooMany
from rlwd.daemon.callers.settings import ClientSettings
from rlwd.daemon.cli import app
from rlwd.daemon.config import load_config
from rlwd.daemon.http.credentials import hash_token
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import to_document
from rlwd.ops.flags.harness_flag import HarnessFlag


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayRig]:
    loop = LoopThread()
    try:
        with ExitStack() as stack:
            yield GatewayRig(tmp_path, loop, stack)
    finally:
        loop.close()


def config(folder: Path) -> Path:
    path = folder / "rlwd.toml"
    path.write_text('# ours\n[learner]\nmodel = "base"\n\n[gateway]\nuser_key = "key"\n')
    return path


def client_of(path: Path, *arguments: str) -> str:
    """Run `rlwd client`; return the token that it prints."""
    done = CliRunner().invoke(app, ["client", *arguments, "--config", str(path)])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()[0]


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """Tokens of two tenants, as the command made them."""
    path = config(tmp_path)
    return {
        name: client_of(path, "add", name, "--tenant", f"tenant-{name}") for name in ("one", "two")
    }


@pytest.fixture
def client(gateway: GatewayRig, tokens: dict[str, str], tmp_path: Path) -> httpx.Client:
    gateway.set_flags(candidate=5000)
    loaded = load_config(tmp_path / "rlwd.toml")
    return gateway.open(clients=loaded.gateway.clients)


def test_the_command_keeps_only_a_hash(tmp_path: Path, tokens: dict[str, str]) -> None:
    """The file has no token, keeps its comments and mode, and loads."""
    text = (tmp_path / "rlwd.toml").read_text()
    assert text.startswith("# ours\n")
    assert not any(token in text for token in tokens.values())
    clients = load_config(tmp_path / "rlwd.toml").clients
    assert clients["one"].tokens == (hash_token(tokens["one"]),)
    assert clients["two"].tenant == "tenant-two"


def test_rotation_keeps_the_token_before(tmp_path: Path, tokens: dict[str, str]) -> None:
    """Two tokens are valid during a rotation, one after `--revoke`; the other client keeps its own. The
    file stays its owner's and its group's, who have to read it.
    """
    path = tmp_path / "rlwd.toml"
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 4141, 4242)
    before = path.stat()
    second = client_of(path, "rotate", "one")
    third = client_of(path, "rotate", "one")
    both = tuple(map(hash_token, (third, second)))
    assert load_config(path).clients["one"].tokens == both
    last = client_of(path, "rotate", "one", "--revoke")
    assert load_config(path).clients["one"].tokens == (hash_token(last),)
    assert load_config(path).clients["two"].tokens == (hash_token(tokens["two"]),)
    after = path.stat()
    assert after.st_ino != before.st_ino
    for what in ("st_mode", "st_uid", "st_gid"):
        assert getattr(after, what) == getattr(before, what)


@pytest.mark.parametrize(
    "arguments",
    [("add", "one"), ("rotate", "nobody"), ("add", "a b"), ("add", "x", "--tenant", "")],
)
def test_a_client_that_cannot_be_made_changes_nothing(
    arguments: tuple[str, ...], tmp_path: Path, tokens: dict[str, str]
) -> None:
    """A name that is taken, missing or odd, or no tenant: the file stays as it was."""
    path = tmp_path / "rlwd.toml"
    before = path.read_text()
    done = CliRunner().invoke(app, ["client", *arguments, "--config", str(path)])
    assert done.exit_code != 0
    assert path.read_text() == before


def test_the_token_decides_the_tenant(
    client: httpx.Client, gateway: GatewayRig, tokens: dict[str, str]
) -> None:
    """Nothing that a client says makes it another tenant; without a token nobody is served."""
    assert client.post(CHAT, json=HELLO).status_code == 401
    assert client.post(CHAT, json=HELLO, headers=bearer("rlwd-wrong")).status_code == 401
    named = {**HELLO, "metadata": {"tenant": "tenant-two"}}
    assert client.post(CHAT, json=named, headers=bearer(tokens["one"])).status_code == 200
    other = bearer(tokens["one"], **{"X-Rlwd-Tenant": "tenant-two"})
    assert client.post(CHAT, json=HELLO, headers=other).status_code == 403
    (event,) = gateway.sink.generations(1)
    assert event.tenant == "tenant-one"


def test_variant_and_version_are_not_told(client: httpx.Client, tokens: dict[str, str]) -> None:
    """Who knows the variant can vote against it: with clients it is shown only where configured."""
    response = client.post(CHAT, json=HELLO, headers=bearer(tokens["one"]))
    assert "X-Rlwd-Variant" not in response.headers
    assert response.headers["X-Rlwd-Version"].startswith("keep="), "a proof that names nothing"
    assert "X-Rlwd-Generation" in response.headers


@pytest.mark.parametrize("path", ["/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/policy"])
def test_a_client_asks_for_no_variant_that_it_may_not_know(path: str, gateway: GatewayRig) -> None:
    """By OFREP as in headers: not for a client's token, but for the operator's or where configured."""
    gateway.set_flags(candidate=5000)
    clients = {"one": ClientSettings(tokens=(hash_token("a"),))}
    for shown, token, status in [
        (None, "a", 403),
        (None, "operator", 200),
        (True, "a", 200),
        (False, "a", 403),
    ]:
        folder = str(gateway.folder / f"{shown}-{token}")
        client = gateway.open(clients=clients, token="operator", show_variant=shown, spool=folder)
        person = {"context": {"targetingKey": "p"}}
        response = client.post(path, json=person, headers=bearer(token))
        assert response.status_code == status
        assert ("policy@v" in response.text) == (status == 200)


def test_a_client_learns_its_arm_and_no_variant(gateway: GatewayRig) -> None:
    """The product has to know which of its versions a person has; the policy's variant stays hidden."""
    state = gateway.set_flags(candidate=5000)
    tried = HarnessFlag(
        name="prompt", salt="s", arms=("old", "new"), share=10_000, served=state.champion
    )
    document = to_document(
        msgspec.structs.replace(state, generation=state.generation + 1, experiment=tried)
    )
    write_flags(gateway.flags, document)
    client = gateway.open(clients={"one": ClientSettings(tokens=(hash_token("a"),))})
    person = {"context": {"targetingKey": "p"}}
    path = "/ofrep/v1/evaluate/flags"
    one = client.post(f"{path}/prompt", json=person, headers=bearer("a"))
    assert one.json()["value"] in tried.arms
    every = client.post(path, json=person, headers=bearer("a"))
    assert [flag["key"] for flag in every.json()["flags"]] == ["prompt"]
    assert client.post(f"{path}/policy", json=person, headers=bearer("a")).status_code == 403
    assert "policy@v" not in one.text + every.text


def test_feedback_is_only_for_those_who_were_served(
    client: httpx.Client, gateway: GatewayRig, tokens: dict[str, str]
) -> None:
    """Another tenant's answer cannot be judged, by its id or by naming its tenant."""
    answer = client.post(CHAT, json=HELLO, headers=bearer(tokens["one"])).json()["id"]
    post = {"feedback_id": "f", "generation_id": answer, "signal": {"kind": "rejected"}}

    def give(token: str, **more: Any) -> int:
        return client.post("/v1/feedback", json={**post, **more}, headers=bearer(token)).status_code

    assert give(tokens["two"]) == 403
    assert give(tokens["two"], tenant="tenant-one") == 403
    assert (
        give(tokens["one"], generation_id=f"{answer[:-1]}{'0' if answer[-1] != '0' else '1'}")
        == 403
    )
    assert give(tokens["one"]) == 202
    (taken,) = gateway.sink.feedback(2)
    assert (taken.tenant, taken.generation_id) == ("tenant-one", answer)


def test_a_client_is_held_to_its_rate_and_caps(gateway: GatewayRig) -> None:
    """Over its rate or its day's cap a client gets 429 with Retry-After; others are served."""
    gateway.set_flags()
    limited = ClientSettings(tokens=(hash_token("a"),), requests_per_minute=3)
    capped = ClientSettings(tokens=(hash_token("b"),), requests_per_day=2, feedback_per_day=3)
    client = gateway.open(clients={"limited": limited, "capped": capped})

    def ask(token: str) -> httpx.Response:
        return client.post(CHAT, json=HELLO, headers=bearer(token))

    assert [ask("a").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert 0 < int(ask("a").headers["Retry-After"]) <= 60
    assert [ask("b").status_code for _ in range(4)] == [200, 200, 429, 429]
    post = {"generation_id": "g", "session_id": "s", "signal": {"kind": "accepted"}}
    many = [{**post, "feedback_id": str(n)} for n in range(3)]
    assert client.post("/v1/feedback", json=many, headers=bearer("b")).status_code == 202
    assert client.post("/v1/feedback", json=many[0], headers=bearer("b")).status_code == 429
    assert len(gateway.sink.generations(5)) >= 5


def test_a_cap_ends_with_the_day_and_a_rate_refills() -> None:
    """A new day, UTC, has a new cap; after a third of a minute one of three is free again."""
    settings = ClientSettings(tokens=(hash_token("a"),), requests_per_minute=3, requests_per_day=4)
    caller = ClientDirectory("", {"a": settings}).find("a")

    def ask(now: float) -> None:
        caller.spend_rate(now)
        caller.spend("requests", now)

    for _ in range(3):
        ask(86_000.0)
    with pytest.raises(TooMany, match="a minute"):
        ask(86_000.0)
    ask(86_020.0)
    with pytest.raises(TooMany, match="cap of 4") as over:
        ask(86_100.0)
    assert over.value.retry_after == 300
    ask(86_400.0)


def test_every_call_of_a_client_counts_against_its_rate(gateway: GatewayRig) -> None:
    """Flags, models and feedback that cannot be read cost a call too; health checks cost none."""
    gateway.set_flags()
    limited = ClientSettings(tokens=(hash_token("a"),), requests_per_minute=3)
    client = gateway.open(clients={"limited": limited}, show_variant=True)
    for _ in range(5):
        assert client.get("/livez", headers=bearer("a")).status_code == 200
    person = {"context": {"targetingKey": "p"}}
    found = [
        client.post("/ofrep/v1/evaluate/flags", json=person, headers=bearer("a")),
        client.get("/v1/models", headers=bearer("a")),
        client.post("/v1/feedback", content=b"[", headers=bearer("a")),
        client.post("/ofrep/v1/evaluate/flags", json=person, headers=bearer("a")),
        client.get("/v1/models", headers=bearer("a")),
    ]
    assert [one.status_code for one in found] == [200, 200, 400, 429, 429]


def test_a_clients_page_may_call_with_its_token_alone(gateway: GatewayRig) -> None:
    """An origin is allowed with the token that it is configured for, and with no other."""
    gateway.set_flags()
    page = "https://app.example"
    one = ClientSettings(tokens=(hash_token("a"),), allowed_origins=(page,))
    client = gateway.open(clients={"one": one, "two": ClientSettings(tokens=(hash_token("b"),))})
    for token, status in (("a", 200), ("b", 403)):
        response = client.post(CHAT, json=HELLO, headers=bearer(token, Origin=page))
        assert response.status_code == status
    assert client.get("/metrics", headers=bearer("a")).status_code == 403


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ('tokens = ["secret"]', "tokens"),
        ("tokens = []", "tokens"),
        (f"tokens = {json.dumps([hash_token('a')])}\ntenant = 'a b'", "tenant"),
        (f"tokens = {json.dumps([hash_token('a')])}\nrequests_per_day = -1", "requests_per_day"),
        (f"tokens = {json.dumps([hash_token('a')])}\nallowed_origins = ['*']", "allowed_origins"),
        (f"tokens = {json.dumps([hash_token('a')])}\nteannt = 'a'", "teannt"),
    ],
)
def test_a_bad_section_stops_the_start(section: str, says: str, tmp_path: Path) -> None:
    """Each fault is named by its key."""
    path = config(tmp_path)
    path.write_text(f"{path.read_text()}\n[clients.one]\n{section}\n")
    with pytest.raises(ValueError, match=rf"clients\b.*{says}|{says}.*clients\b"):
        load_config(path)


def test_clients_are_enough_beyond_loopback(tmp_path: Path, tokens: dict[str, str]) -> None:
    """A gateway that others can reach needs clients or a token; clients need a key to sign ids with."""
    path = tmp_path / "rlwd.toml"
    with_clients = path.read_text()
    path.write_text(with_clients.replace("[gateway]", '[gateway]\nhost = "0.0.0.0"'))
    assert set(load_config(path).gateway.clients) == {"one", "two"}
    path.write_text(with_clients.replace('user_key = "key"', ""))
    with pytest.raises(ValueError, match="user_key"):
        load_config(path)
