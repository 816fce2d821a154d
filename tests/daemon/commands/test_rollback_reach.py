"""A rollback is complete when every gateway that was heard of acts on it, from command to verdict."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from daemon_by_hand import open_daemon_ledger
from gateway_rig import GatewayRig, LoopThread, wait_for
from releases_by_hand import promote, register, version
from rich.console import Console

from rlwd.daemon.commands.by_hand import run_rollback
from rlwd.daemon.commands.status import print_status, status_document
from rlwd.daemon.config import load_config
from rlwd.daemon.control.gateway_watch import GatewayWatch
from rlwd.daemon.control.making_way import MakingWay
from rlwd.daemon.status.flag_page import FlagPage
from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.server import StatusServer, Vitals
from rlwd.learner.process.supervisor import LearnerSupervisor
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.ops.flags import intents_table
from rlwd.ops.flags.flag_reach import LATE_SECONDS
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.flags.gateway_report import ACTS_ON, GATEWAY
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.rollout.publish_flags import publish_flags
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port
from rlwd.streams.state.lease import take_lease

KEY = "a key of 16 characters"


class Control:
    """The control role's part in flags: it publishes, serves, listens, and holds the lease."""

    def __init__(self, folder: Path) -> None:
        path = folder / "rlwd.toml"
        path.write_text('state = "."\n[learner]\nmodel = "base"\n')
        self.config = load_config(path)
        self.store = open_daemon_ledger(folder / "rlwd.db").store
        self.controller = RolloutController("policy", self.config.rollout)
        self.versions = [version(number, folder) for number in range(2)]
        register(self.store, self.controller, self.versions[0])
        promote(self.store, self.controller, self.versions[1])
        self.page = FlagPage(KEY, self.confirmed)
        settings = LearnerProcessSettings(
            learner=self.config.learner, policy="policy", folder=str(folder), lease_epoch=1
        )
        self.watch = GatewayWatch(
            self.store,
            "policy",
            self.config.flags_path,
            self.page,
            MakingWay(LearnerSupervisor(settings, folder)),
        )
        port = free_port()
        self.url = f"http://{LOOPBACK}:{port}/flags"
        self.server = StatusServer(
            Vitals(),
            Metrics().registry,
            lambda: {"flags": status_document(self.config, time.time())["flags"]},
            host=LOOPBACK,
            port=port,
            flags=self.page,
        )
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.turn)

    def confirmed(self) -> FlagState | None:
        with self.store.reading() as view:
            return intents_table.confirmed(view, "policy")

    def turn(self) -> None:
        """As the control loop does, and nothing else of it."""
        while not self.ended.wait(0.02):
            now, ahead = time.time(), self.watch.listen(time.time())
            flags, rollout = self.config.flags_path, self.config.rollout
            publish_flags(self.store, "policy", rollout, flags, now, always=ahead)

    def heard(self) -> dict[str, int]:
        """Return the generation that each gateway was heard to act on, by the gateway's name."""
        found = status_document(self.config, time.time())["flags"]["gateways"]
        return {one["gateway"].partition("@")[0]: one["generation"] for one in found}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path)
    take_lease(control.store, "policy", time.time())
    control.server.start()
    control.thread.start()
    yield control
    control.ended.set()
    control.thread.join()
    control.server.stop()
    control.store.close()


@pytest.fixture
def gateway(tmp_path: Path, control: Control) -> Iterator[GatewayRig]:
    """Gateways beside the control role's flag file."""
    loop = LoopThread()
    try:
        with ExitStack() as stack:
            rig = GatewayRig(tmp_path / "gateways", loop, stack)
            wait_for(lambda: control.confirmed() is not None)
            yield rig
    finally:
        loop.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "gateways").mkdir()


class Holder:
    """A proxy that passes every question on, and still gives the answer of earlier."""

    def __init__(self, url: str) -> None:
        self.url, self.holds = url, False
        self.answer: httpx.Response | None = None

    async def pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if "Rlwd" in name}
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            answer = await client.get(self.url, headers=headers)
        if not self.holds or self.answer is None:
            self.answer = answer
        kept = {name: self.answer.headers[name] for name in self.answer.headers if "rlwd" in name}
        return web.Response(body=self.answer.content, headers=kept)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/flags", self.pass_on)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, LOOPBACK, 0)
        await site.start()
        self.place = f"http://{LOOPBACK}:{self.runner.addresses[0][1]}/flags"


def open_three(gateway: GatewayRig, control: Control, held: Holder) -> None:
    """Open one gateway on the flag file, one that asks the daemon, one that asks through a proxy."""
    shared: dict[str, Any] = {
        "flags": str(control.config.flags_path),
        "flags_key": KEY,
        "flags_seconds": 0.05,
    }
    for name, url in (("beside", ""), ("remote", control.url), ("held", held.place)):
        gateway.open(name=name, flags_url=url, spool=str(gateway.folder / name), **shared)
    state = control.confirmed()
    assert state is not None
    wait_for(
        lambda: control.heard() == dict.fromkeys(("beside", "remote", "held"), state.generation)
    )


def test_gateways_ahead_of_a_restored_state_are_caught_up_with(
    gateway: GatewayRig, control: Control
) -> None:
    """They refuse what is older than what they act on: the daemon goes beyond, and they follow."""
    ahead = {GATEWAY: "far@host:8080", ACTS_ON: "50"}
    httpx.get(control.url, headers=ahead, trust_env=False, verify=NO_TLS)
    wait_for(lambda: (state := control.confirmed()) is not None and state.generation == 51)
    mine: dict[str, Any] = {
        "flags_url": control.url,
        "flags_key": KEY,
        "spool": str(gateway.folder / "mine"),
    }
    gateway.open(name="mine", **mine)
    wait_for(lambda: control.heard().get("mine") == 51)


@pytest.fixture
def held(gateway: GatewayRig, control: Control) -> Holder:
    held = Holder(control.url)
    gateway.loop.run(held.start())
    gateway.stack.callback(lambda: gateway.loop.run(held.runner.cleanup()))
    return held


def test_a_rollback_is_complete_when_all_follow(
    gateway: GatewayRig, control: Control, held: Holder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the flag file or on another host, each says by itself that it follows."""
    open_three(gateway, control, held)
    assert run_rollback(control.config, "champion", "it shouts", wait_seconds=60.0) == 0
    assert "the rollback is complete: generation" in capsys.readouterr().out
    state = control.confirmed()
    assert state is not None
    assert state.champion.version == control.versions[0].version
    assert set(control.heard().values()) == {state.generation}


def test_a_gateway_that_does_not_follow_is_named(
    gateway: GatewayRig, control: Control, held: Holder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says who, and is not done; status, page and problems say so until it follows."""
    open_three(gateway, control, held)
    before = control.confirmed()
    assert before is not None
    held.holds = True
    assert run_rollback(control.config, "champion", "it shouts", wait_seconds=2.0) == 1
    said = capsys.readouterr().out
    assert "the rollback is not complete" in said
    assert f"held@{socket.gethostname()}" in said
    assert f" on {before.generation}" in said
    assert "remote@" not in said
    console = Console(width=300)
    with console.capture() as captured:
        print_status(control.config, as_json=False, console=console)
    assert "is not everywhere: held@" in captured.get()
    shown = httpx.get(
        control.url.replace("/flags", "/statusz"), trust_env=False, verify=NO_TLS
    ).json()["flags"]
    assert [one["gateway"][:4] for one in shown["gateways"] if one["behind"]] == ["held"]
    assert control.watch.problem() is None, "a moment is no problem"
    with control.store.reading() as view:
        reach = control.watch.measure(view)
    assert "held@" in (reach.problem(time.time() + LATE_SECONDS) or "")
    held.holds = False
    wait_for(lambda: status_document(control.config, time.time())["flags"]["complete"])


def test_who_does_not_want_to_wait_need_not(
    gateway: GatewayRig, control: Control, held: Holder, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no wait the command ends with the flag file, and says nothing of gateways."""
    open_three(gateway, control, held)
    held.holds = True
    assert run_rollback(control.config, "champion", "it shouts", wait_seconds=0.0) == 0
    assert "complete" not in capsys.readouterr().out
