"""The holdout from request to alarm: gateway, join, watch, /readyz, metrics, `rlwd report`."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from daemon_by_hand import open_daemon_ledger
from releases_by_hand import promote, register, version
from rollout_rig import RolloutRig
from state_rig import config_of, rig_on, wait_for_gateway

from rlwd.daemon.config import Config
from rlwd.daemon.doctor.doctor_services import check_services
from rlwd.daemon.experiments.report import print_report
from rlwd.ops.holdout.watch import HoldoutWatch
from rlwd.ops.rollout import holdout_table
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers
from rlwd.ops.statistics.answers import ComparisonSettings

SHARE = 0.4


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A daemon's config, without engine or model."""
    return config_of(tmp_path, f"anchor_share = {SHARE}")


@pytest.fixture
def rig(config: Config) -> Iterator[RolloutRig]:
    """Gateway, engine and release on the daemon's own state; version 1 is the champion."""
    with rig_on(config) as rig:
        promote(rig.store, rig.controller, rig.versions[1])
        rig.turn()
        wait_for_gateway(rig, 2)
        yield rig


def report(config: Config, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return what `rlwd report --json` prints."""
    capsys.readouterr()
    print_report(config, as_json=True)
    found: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    return found


def serve_and_judge(rig: RolloutRig, users: int) -> int:
    """Let users ask; those on v0 take the answer, the champion's reject it. Return who is on v0."""
    held_out = 0
    for number in range(users):
        variant, _, name = rig.ask(f"u{number}")
        held_out += variant == "anchor"
        rig.say(name, "accepted" if variant == "anchor" else "rejected")
    rig.settle(users, users)
    return held_out


def test_from_requests_to_the_alarm(
    rig: RolloutRig, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """People on v0 take what the champion's people reject: report, status and doctor say so."""
    assert "nothing to compare yet" in report(config, capsys)["says"]
    held_out = serve_and_judge(rig, 120)
    watch = HoldoutWatch(
        rig.store,
        "policy",
        share=SHARE,
        comparison=ComparisonSettings(),
        longest_horizon=-60.0,  # The clock of a test does not wait for the grace.
    )
    watch.look(time.time())
    found = report(config, capsys)
    whole = found["periods"][0]
    assert whole["holdout_users"] == held_out
    # Nobody counts whose answer came before the holdout's first.
    assert 100 - held_out < whole["champion_users"] <= 120 - held_out
    assert "reward 0 against 1 (-1.0000)" in found["alarm"]
    assert found["says"].startswith("what learning has brought in all: reward -1.0000")
    assert whole["period"] == "all"
    print_report(config, as_json=False)
    assert "champion is worse than the holdout" in capsys.readouterr().out.replace("\n", " ")
    told = {finding.what: finding.line for finding in check_services(config)}
    assert "worse than the holdout" in told["release, holdout"]


def test_a_daemon_says_it_on_its_pages(config: Config, tmp_path: Path) -> None:
    """/readyz is not ready for that reason, and the metrics name it, as long as it is so."""
    look = holdout_table.HoldoutLook(
        period="all",
        began=1.0,
        until=2.0,
        champion_users=90,
        holdout_users=60,
        measures=(
            holdout_table.HoldoutMeasure(
                name="reward",
                champion=0.5,
                holdout=0.6,
                difference=-0.1,
                low=-0.15,
                high=-0.05,
                worse=True,
            ),
        ),
        shown=("reward",),
    )
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    register(ledger.store, RolloutController("policy", config.rollout), version(0, tmp_path))
    with ledger.store.transaction() as tx:
        holdout_table.save_look(tx, "policy", look, is_open=True)
    ledger.store.close()
    daemon = Server(
        [sys.executable, "-m", "rlwd.daemon", "run", "--config", str(tmp_path / "rlwd.toml")],
        name="daemon",
        log=tmp_path / "daemon.log",
        healthy=answers(f"http://{LOOPBACK}:{config.http.port}/livez"),
    )
    with daemon:
        url, deadline = f"http://{LOOPBACK}:{config.http.port}", time.monotonic() + 60.0
        ready: dict[str, Any] = {}
        while "holdout" not in ready.get("problems", {}):
            assert time.monotonic() < deadline, daemon.tail()
            ready = httpx.get(f"{url}/readyz", verify=NO_TLS).json()
            time.sleep(0.1)
        assert "reward 0.5 against 0.6" in ready["problems"]["holdout"]
        metrics = ""
        while not re.search(r'rlwd_problem\{name="holdout"\} 1', metrics):
            assert time.monotonic() < deadline, metrics
            metrics = httpx.get(f"{url}/metrics", verify=NO_TLS).text
            time.sleep(0.1)
