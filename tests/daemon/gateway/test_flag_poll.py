"""Flags for gateways on other hosts: fetched from a daemon, signed, and never taken on trust."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from daemon_by_hand import open_daemon_ledger
from gateway_rig import CHAT, HELLO, GatewayRig, version, wait_for

from rlwd.daemon.gateway.flag_reporter import gateway_id
from rlwd.daemon.gateway.settings import GatewaySettings
from rlwd.daemon.http.access import Access
from rlwd.daemon.status.flag_page import FlagPage
from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.server import StatusServer, Vitals
from rlwd.ops.flags import intents_table
from rlwd.ops.flags.assignment import Shares
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.flags.signed_flags import GENERATION, SIGNATURE, asking_token, sign_flags
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port
from rlwd.streams.state import this_host

KEY, TOKEN = "a key of 16 characters", "the daemon's token"


def flags(generation: int, champion: int = 2, policy: str = "policy") -> FlagState:
    return FlagState(
        policy=policy,
        generation=generation,
        salt="salt-1",
        champion=version(champion),
        anchor=version(0),
        candidate=version(3),
        shares=Shares(candidate=5000),
    )


class Daemon:
    """A daemon's pages on real tables; it may go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.store = open_daemon_ledger(folder / "rlwd.db").store
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}/flags"
        self.server: StatusServer | None = None
        self.start()

    def start(self) -> None:
        def confirmed() -> FlagState | None:
            with self.store.reading() as view:
                return intents_table.confirmed(view, "policy")

        self.server = StatusServer(
            Vitals(),
            Metrics().registry,
            dict,
            host=LOOPBACK,
            port=self.port,
            access=Access(TOKEN),
            flags=FlagPage(KEY, confirmed),
        )
        self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
        self.server = None

    def decide(self, state: FlagState) -> None:
        with self.store.transaction() as tx:
            intents_table.intend(tx, state, time.time())
            intents_table.confirm(tx, state.policy, state.generation, time.time())


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.stop()
    daemon.store.close()


class Forger:
    """Somebody between daemon and gateway, who answers what a test tells him to."""

    def __init__(self) -> None:
        self.body, self.headers = b"", dict[str, str]()
        self.asked: list[dict[str, str]] = []

    def says(self, state: FlagState, key: str = KEY, **changed: Any) -> None:
        signed = sign_flags(state, key.encode())
        self.body = changed.get("body", signed.body)
        self.headers = {GENERATION: str(signed.generation), SIGNATURE: signed.signature}
        self.headers |= changed.get("headers", {})

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.headers))
        return web.Response(body=self.body, headers=self.headers)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/flags", self.answer)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, LOOPBACK, 0)
        await site.start()
        self.url = f"http://{LOOPBACK}:{self.runner.addresses[0][1]}/flags"


@pytest.fixture
def forger(gateway: GatewayRig) -> Forger:
    forger = Forger()
    gateway.loop.run(forger.start())
    gateway.stack.callback(lambda: gateway.loop.run(forger.runner.cleanup()))
    return forger


def remote(gateway: GatewayRig, url: str, name: str = "one", **changes: Any) -> httpx.Client:
    """Open a gateway that knows no flag file."""
    given: dict[str, Any] = {
        "flags": str(gateway.folder / name / "nothing.json"),
        "flags_url": url,
        "flags_key": KEY,
        "flags_seconds": 0.05,
        "name": name,
        "spool": str(gateway.folder / f"spool-{name}"),
    }
    return gateway.open(**(given | changes))


def generation(client: httpx.Client) -> int | None:
    found: int | None = client.get("/readyz").json()["flag_generation"]
    return found


def why(client: httpx.Client) -> str:
    """Return what the gateway's metrics say of its flags: whether there is a problem."""
    lines = client.get("/metrics").text.splitlines()
    return next(line for line in lines if line.startswith("rlwd_gateway_flag_problem"))[-3:]


def served(client: httpx.Client, user: str = "ada") -> tuple[str, str]:
    headers = client.post(CHAT, json=HELLO, headers={"X-Rlwd-User": user}).headers
    return headers["X-Rlwd-Variant"], headers["X-Rlwd-Version"].partition("; ")[0]


def test_two_gateways_follow_one_daemon(gateway: GatewayRig, daemon: Daemon) -> None:
    """Without the file they serve what it decided, give a user the same, and follow each change."""
    daemon.decide(flags(1))
    one, two = (remote(gateway, daemon.url, name) for name in ("one", "two"))
    users = [f"user{number}" for number in range(20)]
    given = [served(one, user) for user in users]
    assert given == [served(two, user) for user in users]
    assert set(given) == {
        ("candidate", version(3).version),
        ("control", version(2).version),
    }
    daemon.decide(flags(2, champion=1))
    for client in (one, two):
        wait_for(lambda client=client: generation(client) == 2)  # type: ignore[misc]
        assert ("control", version(1).version) in {served(client, user) for user in users}


def test_a_daemon_that_is_away_changes_nothing(gateway: GatewayRig, daemon: Daemon) -> None:
    """Its last word counts; it is caught up with on its return; a restart without it is safe."""
    daemon.decide(flags(1))
    with ExitStack() as life:
        client = remote(gateway, daemon.url, life=life)
        before = [served(client, f"user{number}") for number in range(20)]
        daemon.stop()
        wait_for(lambda: why(client) == "1.0")
        assert [served(client, f"user{number}") for number in range(20)] == before
        daemon.start()
        wait_for(lambda: why(client) == "0.0")
        daemon.decide(flags(2, champion=1))
        wait_for(lambda: generation(client) == 2)
    daemon.stop()
    client = remote(gateway, daemon.url)
    # Nobody knows what became of the experiment since: everybody gets its champion.
    assert {served(client, f"user{number}") for number in range(20)} == {
        ("champion", version(1).version)
    }
    daemon.start()
    wait_for(lambda: why(client) == "0.0")
    assert "candidate" in {served(client, f"user{number}")[0] for number in range(20)}


def test_without_any_flags_a_gateway_waits_for_them(gateway: GatewayRig, daemon: Daemon) -> None:
    """A first start before the daemon's first version answers 503, and serves as soon as there is one."""
    client = remote(gateway, daemon.url)
    assert client.post(CHAT, json=HELLO).status_code == 503
    daemon.decide(flags(1))
    wait_for(lambda: client.post(CHAT, json=HELLO).status_code == 200)


def _tampered(state: FlagState) -> bytes:
    document = json.loads(sign_flags(state, KEY.encode()).body)
    document["metadata"]["salt"] = "another"
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "how",
    ["tampered", "other key", "no signature", "re-dated", "no number", "other policy", "no flags"],
)
def test_what_is_not_the_daemons_own_is_refused(
    gateway: GatewayRig, forger: Forger, how: str
) -> None:
    """The last good flags are served on, the metric says so, and good ones are taken again."""
    forger.says(flags(5))
    client = remote(gateway, forger.url)
    good = served(client)
    newer = flags(6, champion=1)
    match how:
        case "tampered":
            forger.says(newer, body=_tampered(newer))
        case "other key":
            forger.says(newer, key="another key of 16 chars")
        case "no signature":
            forger.says(newer, headers={SIGNATURE: ""})
        case "re-dated":
            forger.says(flags(4), headers={GENERATION: "6"})
        case "no number":
            forger.says(newer, headers={GENERATION: "six"})
        case "other policy":
            forger.says(flags(6, policy="other"))
        case "no flags":
            forger.body = b"<html>log in</html>"
    wait_for(lambda: why(client) == "1.0")
    assert generation(client) == 5
    assert served(client) == good
    forger.says(newer)
    wait_for(lambda: generation(client) == 6)
    assert why(client) == "0.0"


def test_an_old_document_is_refused_though_it_is_signed(
    gateway: GatewayRig, forger: Forger
) -> None:
    """Whoever kept one cannot bring back what was rolled back; not even after a restart."""
    forger.says(flags(5))
    with ExitStack() as life:
        client = remote(gateway, forger.url, life=life)
        good = served(client)
        forger.says(flags(4, champion=1))
        wait_for(lambda: why(client) == "1.0")
        assert (generation(client), served(client)) == (5, good)
    client = remote(gateway, forger.url)
    wait_for(lambda: why(client) == "1.0")
    assert generation(client) == 5
    assert served(client) == ("champion", version(2).version)


def test_the_document_is_sent_once(gateway: GatewayRig, daemon: Daemon) -> None:
    """A caller that has it gets 304, with the proof; one without the daemon's token gets nothing."""
    daemon.decide(flags(1))
    token = {"Authorization": f"Bearer {TOKEN}"}
    first = httpx.get(daemon.url, headers=token, trust_env=False, verify=NO_TLS)
    again = httpx.get(
        daemon.url,
        headers={**token, "If-None-Match": first.headers["ETag"]},
        trust_env=False,
        verify=NO_TLS,
    )
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again.headers[SIGNATURE] == first.headers[SIGNATURE]
    daemon.decide(flags(2))
    changed = httpx.get(
        daemon.url,
        headers={**token, "If-None-Match": first.headers["ETag"]},
        trust_env=False,
        verify=NO_TLS,
    )
    assert changed.json()["metadata"]["generation"] == 2
    assert httpx.get(daemon.url, trust_env=False, verify=NO_TLS).status_code == 401
    client = remote(gateway, daemon.url, flags_token="wrong")
    assert client.post(CHAT, json=HELLO).status_code == 503


def test_what_a_gateway_shows_opens_flags_alone(daemon: Daemon) -> None:
    """Whoever takes over its host gets no token by which anything is decided, or read, but flags."""
    daemon.decide(flags(1))
    shown = {"Authorization": f"Bearer {asking_token(KEY.encode())}"}
    base = daemon.url.removesuffix("/flags")
    found = {
        path: httpx.get(f"{base}{path}", headers=shown, trust_env=False, verify=NO_TLS).status_code
        for path in ("/flags", "/statusz", "/metrics")
    }
    assert found == {"/flags": 200, "/statusz": 401, "/metrics": 401}
    other = {"Authorization": f"Bearer {asking_token(b'another key of 16')}"}
    assert httpx.get(daemon.url, headers=other, trust_env=False, verify=NO_TLS).status_code == 401


def test_a_poll_asks_only_for_what_is_new(gateway: GatewayRig, forger: Forger) -> None:
    """It says what it has, so that an unchanged document costs a few bytes."""
    forger.says(flags(5))
    remote(gateway, forger.url)
    wait_for(lambda: len(forger.asked) > 2)
    assert forger.asked[-1]["If-None-Match"] == f'"{forger.headers[SIGNATURE]}"'
    assert TOKEN not in str(forger.asked), "versions are decided of with it"


def test_a_key_that_is_no_secret_is_refused_by_name(gateway: GatewayRig) -> None:
    """On both sides: whoever can guess it can write flags."""
    with pytest.raises(ValueError, match=r"http\.flags_key: must have 16 characters or more"):
        FlagPage("short", lambda: None)
    with pytest.raises(ValueError, match=r"gateway\.flags_key: must have 16 characters or more"):
        remote(gateway, "http://127.0.0.1:9/flags", flags_key="short")
    with pytest.raises(ValueError, match=r"gateway\.flags_key: required with flags_url"):
        remote(gateway, "http://127.0.0.1:9/flags", flags_key="")


def test_gateways_of_hosts_with_one_name_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one, the first that follows a rollback would be taken for both; a restart changes nothing."""
    monkeypatch.setattr(this_host, "BOOT_ID", tmp_path / "boot")
    settings = GatewaySettings(flags_url="https://daemon/flags", flags_key=KEY)
    ids = list[str]()
    for boot in ("11111111-one", "22222222-two", "11111111-one"):
        (tmp_path / "boot").write_text(boot)
        ids.append(gateway_id(settings))
    assert ids[0] == ids[2] != ids[1]
    assert ids[0].startswith(f"{settings.name}@{socket.gethostname()}:{settings.port}")


@pytest.mark.parametrize("url", ["", "https://daemon/flags"])
def test_gateways_of_containers_with_one_name_are_two(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a port 8080 of its own; a container that is started again in its pod is still the same one."""
    monkeypatch.setattr(this_host, "NAMESPACES", tmp_path)
    settings = GatewaySettings(flags_url=url, flags_key=KEY if url else "")
    ids = list[str]()
    for pid, net in ((5, 1), (6, 2), (7, 1)):
        for kind, number in (("pid", pid), ("net", net)):
            (tmp_path / kind).unlink(missing_ok=True)
            (tmp_path / kind).symlink_to(f"{kind}:[{number}]")
        ids.append(gateway_id(settings))
    assert ids[0] == ids[2] != ids[1]
    (tmp_path / "pid").unlink()
    (tmp_path / "pid").symlink_to("pid:[4026531836]")
    assert gateway_id(settings) not in ids, "outside of containers it is called as ever"
    assert gateway_id(settings).endswith(f":{settings.port}" if not url else this_host.boot())
