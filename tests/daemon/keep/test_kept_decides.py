"""Kept decides: from `rlwd keep` through the gateway and the join to a batch, with no other signal at all."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from daemon_by_hand import open_daemon_ledger
from gateway_rig import CHAT, HELLO, GatewayRig
from keep_rig import KeepRig
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.keep import measure
from rlwd.daemon.keep.keep_watch import spec_horizons
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.learner.ledger.weighed import Trust
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec, reward_spec
from rlwd.rewards.trust.settings import TrustSettings
from rlwd.streams.events.event import GenerationEvent, encode_event
from rlwd.streams.join.joiner import Joiner

NAME = "coding-agent"
FOUR = "alpha = first(1)\nbeta = second(2)\ngamma = third(3)\ndelta = fourth(4)\n"


def joined(gateway: GatewayRig, place: Path, spec: Spec, count: int) -> Ledger:
    """Join what came, as the daemon does under a spec."""
    ledger = open_daemon_ledger(place / "rlwd.db")
    ledger.joiner = Joiner("policy", Scorer(spec), spec.decision_seconds)
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    for event in gateway.sink.wait(count):
        answer = isinstance(event, GenerationEvent)
        ledger.take(encode_event(event), partition=GENERATIONS if answer else FEEDBACK)
    return ledger


def fate(ledger: Ledger, name: str) -> str:
    return str(ledger.ask("SELECT fate FROM episodes WHERE generation_id = ?", name)[0])


def test_keep_alone_makes_an_episode_that_is_trained_on(
    rig: KeepRig,
    served: tuple[GatewayRig, httpx.Client],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of four answers one stands by half, one whole, one file is gone, and one is only minutes old."""
    gateway, client = served
    spec, runner = reward_spec(NAME), CliRunner()
    monkeypatch.chdir(rig.top)
    ids = {}
    for file, ago in (("half.py", 3700), ("whole.py", 3700), ("gone.py", 3700), ("young.py", 320)):
        ids[file] = answer = client.post(CHAT, json=HELLO).json()["id"]
        rig.now = time.time() - 3800
        text = FOUR.replace("(", f"({file[0]}, ")
        rig.write(file, text)
        at = datetime.fromtimestamp(time.time() - ago, UTC).isoformat()
        edit = {"generation_id": answer, "file": file, "text": text, "at": at}
        recorded = runner.invoke(app, ["keep", "record"], input=json.dumps(edit))
        assert recorded.exit_code == 0, recorded.output
    rig.write("half.py", "".join((rig.top / "half.py").read_text().splitlines(True)[:2]))
    (rig.top / "gone.py").unlink()
    looked = runner.invoke(app, ["keep", "--once", "--url", str(client.base_url), "--spec", NAME])
    assert looked.exit_code == 0, looked.output
    said = {
        (one.generation_id, one.signal.horizon_seconds, one.signal.fraction)  # type: ignore[union-attr]
        for one in gateway.sink.feedback(4 + 3)
    }
    assert said == {
        (ids["half.py"], 3600.0, 0.5),
        (ids["whole.py"], 3600.0, 1.0),
        (ids["young.py"], 300.0, 1.0),
    }
    ledger = joined(gateway, tmp_path, spec, 7)
    rewards = [
        ledger.ask("SELECT reward FROM episodes WHERE generation_id = ?", one)
        for one in ids.values()
    ]
    assert [one[0] for one in rewards] == [0.5, 1.0, None, None]
    ledger.close(time.time() + spec.ready_seconds("default") + 60)
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BatchSettings(episodes=2, held_out=0.0),
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=time.time(),
            trust=Trust(
                settings=TrustSettings(copies=False),
                verification=spec.verification,
                share=Scorer(spec).share,
            ),
        )
    assert batch is not None
    assert {one.generation_id: one.reward for one in batch.episodes} == {
        ids["half.py"]: 0.5,
        ids["whole.py"]: 1.0,
    }
    assert [fate(ledger, ids[one]) for one in ("gone.py", "young.py")] == ["waiting"] * 2
    ledger.close(time.time() + spec.decision_seconds("default") + 60)
    assert [fate(ledger, ids[one]) for one in ("gone.py", "young.py")] == [
        "censored:no_decision"
    ] * 2
    ledger.store.close()


def test_keep_measures_the_horizon_that_decides() -> None:
    """Also where no part names it, and without it an answer would never be decided."""
    spec = Spec(
        name="s", parts={"kept": 1.0}, decisive=("kept@1800",), decision={"default": 3600.0}
    )
    assert spec_horizons(spec) == (300.0, 1800.0, 3600.0, 43200.0)


def test_the_shipped_spec_waits_for_the_last_measurement() -> None:
    """Nothing is trained on, and nothing given up, before the last one that counts can have come."""
    spec = reward_spec(NAME)
    last = max(spec_horizons(spec))
    until = last + measure.lateness(last)
    assert until < spec.ready_seconds("any") < spec.decision_seconds("any")
    assert until < spec.horizons["kept"]
