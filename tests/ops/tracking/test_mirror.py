"""What MLflow is told, against the real server and against none.

Locked here: callers never wait and never see an error; registry operations survive an outage and
the end of the process, in order and once; metrics are bounded, and what was dropped is counted.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from releases_by_hand import register
from scripted_release import House
from waiting import until

from rlwd.learner.candidate import Candidate
from rlwd.ops.engine.port import Engine
from rlwd.ops.gate.suites import GateSuite
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.rollout.move_log import MoveLog
from rlwd.ops.servers.mlflow_server import MlflowServer
from rlwd.ops.servers.process import LOOPBACK, free_port
from rlwd.ops.stages.record import Stage
from rlwd.ops.statistics.gate import GateSettings
from rlwd.ops.statistics.verdict import Verdict, VerdictKind
from rlwd.ops.tracking.mirror import Mirror
from rlwd.ops.tracking.mirror_settings import MirrorSettings
from rlwd.ops.tracking.outbox import PARENT, AliasEntry, Outbox
from rlwd.ops.tracking.reports import rollout_reporter

V0, V1, V2 = (f"tiny@v{n:06d}-{n:08x}" for n in range(3))


def adapter(folder: Path, version: str) -> Path:
    path = folder / version
    path.mkdir(parents=True, exist_ok=True)
    (path / "adapter_config.json").write_text('{"r": 8}')
    (path / "adapter_model.safetensors").write_bytes(version.encode())
    return path


def tell_of(mirror: Mirror, folder: Path, version: str, at: float) -> None:
    mirror.candidate(
        version,
        tags={"digest": version[-8:], "parent": V0},
        params={"learning_rate": "0.005"},
        metrics={"loss/policy": 0.5, "grad_norm": float("nan")},
        adapter_path=adapter(folder, version),
        at=at,
    )


@contextlib.contextmanager
def running(uri: str, policy: str, folder: Path) -> Iterator[Mirror]:
    mirror = Mirror(MirrorSettings(tracking_uri=uri, flush_seconds=0.1), policy, folder)
    mirror.start()
    try:
        yield mirror
    finally:
        assert mirror.close(60.0)


@pytest.mark.mlflow
def test_a_life_is_mirrored(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Experiment, parent run, nested runs, metrics, adapter, aliases and outcome are all there."""
    client = MlflowClient(mlflow_server.url)
    with running(mlflow_server.url, "life", tmp_path) as mirror:
        for version, at in ((V0, 1000.0), (V1, 2000.0), (V2, 3000.0)):
            tell_of(mirror, tmp_path, version, at)
        mirror.alias({"champion": V0, "challenger": V1, "previous": V0, "anchor": V0})
        mirror.metrics(V1, 1, {"ab/diff": 0.1, "ab/bad": float("inf")}, 2001.0)
        mirror.metrics(PARENT, 7, {"throughput/events_per_s": 30.0}, 2002.0)
        mirror.metrics(V1, 2, {"ab/diff": 0.2}, 2003.0)
        mirror.outcome(V1, "promoted", "reward +0.2", 2004.0)
        mirror.alias({"champion": V1, "challenger": None, "previous": V0, "anchor": V0})
    assert (mirror.dropped, mirror.refused, mirror.non_finite) == (0, 0, 4)
    experiment = client.get_experiment_by_name("rlwd/life")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "rlwd.life" in run.data.tags]
    nested = {run.info.run_name: run for run in runs if "rlwd.version" in run.data.tags}
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    assert parents[0].data.metrics == {"throughput/events_per_s": 30.0}
    assert set(nested) == {V0, V1, V2}
    one = nested[V1]
    assert one.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
    assert (one.data.tags["rlwd.outcome"], one.data.tags["rlwd.parent"]) == ("promoted", V0)
    assert one.data.params == {"learning_rate": "0.005"}
    assert one.data.metrics == {"loss/policy": 0.5, "ab/diff": 0.2}
    history = client.get_metric_history(one.info.run_id, "ab/diff")
    assert [(m.step, m.timestamp, m.value) for m in history] == [
        (1, 2001000, 0.1),
        (2, 2003000, 0.2),
    ]
    champion = client.get_model_version_by_alias("life", "champion")
    assert champion.tags["rlwd.version"] == V1
    assert champion.tags["rlwd.outcome"] == "promoted"
    assert set(client.get_registered_model("life").aliases) == {"champion", "previous", "anchor"}
    got = Path(client.download_artifacts(one.info.run_id, "adapter", str(tmp_path / "got")))
    assert (got / "adapter_model.safetensors").read_bytes() == V1.encode()


@pytest.mark.mlflow
def test_replaying_everything_changes_nothing(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """A life that ended before it could note what was done repeats it: same runs, same versions."""
    client = MlflowClient(mlflow_server.url)
    for life in ("first", "second"):
        with running(mlflow_server.url, "again", tmp_path / life) as mirror:
            tell_of(mirror, tmp_path, V0, 1000.0)
            mirror.outcome(V0, "settled", "fine", 1001.0)
            mirror.metrics(V0, 1, {"ab/diff": 0.1}, 1002.0)
            mirror.alias({"champion": V0, "challenger": None})
        assert mirror.refused == 0
    experiment = client.get_experiment_by_name("rlwd/again")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`rlwd.version` != ''")
    assert len(runs) == 1
    assert len(client.get_metric_history(runs[0].info.run_id, "ab/diff")) == 1
    assert len(client.search_model_versions("name = 'again'")) == 1


@pytest.mark.mlflow
def test_what_an_outage_kept_is_told_in_the_next_life(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Without a server callers never wait, close is bounded, and nothing of the registry is lost."""
    away = f"http://{LOOPBACK}:{free_port()}"
    settings = MirrorSettings(tracking_uri=away, flush_seconds=0.05, waiting_points=100)
    mirror = Mirror(settings, "outage", tmp_path)
    mirror.start()
    slowest = 0.0
    for step in range(300):
        began = time.monotonic()
        mirror.metrics(PARENT, step, {"lag": float(step)}, 1000.0 + step)
        if step == 100:
            tell_of(mirror, tmp_path, V0, 1000.0)
            mirror.alias({"champion": V0})
            mirror.outcome(V0, "settled", "fine", 1001.0)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.0
    began = time.monotonic()
    assert not mirror.close(0.3)
    assert time.monotonic() - began < 2.0
    assert mirror.pending == 3
    assert mirror.dropped >= 200
    with running(mlflow_server.url, "outage", tmp_path) as mirror:
        assert mirror.pending == 3
    client = MlflowClient(mlflow_server.url)
    version = client.get_model_version_by_alias("outage", "champion")
    assert version.tags["rlwd.outcome"] == "settled"
    assert not (tmp_path / "mlflow_spool.jsonl").read_bytes()


@pytest.mark.mlflow
def test_a_server_that_comes_back_gets_all(tmp_path: Path) -> None:
    """Metrics and registry operations of the outage follow, in the same life."""
    server = MlflowServer(tmp_path / "server")
    settings = MirrorSettings(tracking_uri=server.url, flush_seconds=0.1, retry_seconds=0.5)
    mirror = Mirror(settings, "back", tmp_path / "state")
    mirror.start()
    mirror.metrics(PARENT, 1, {"lag": 1.0}, 1000.0)
    tell_of(mirror, tmp_path, V0, 1000.0)
    with server:
        until(lambda: mirror.pending == 0 and mirror.sent == 1)
        assert mirror.close(60.0)
        experiment = MlflowClient(server.url).get_experiment_by_name("rlwd/back")
        assert experiment is not None


@pytest.mark.mlflow
def test_what_the_server_declines_does_not_hold_up_the_rest(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """An alias of a version never mirrored, and a metric that may not be, are counted and let go."""
    with running(mlflow_server.url, "declined", tmp_path) as mirror:
        mirror.alias({"champion": V2})
        mirror.metrics(PARENT, 1, {"no/such?name!": 1.0}, 1000.0)
        tell_of(mirror, tmp_path, V1, 1000.0)
        mirror.alias({"champion": V1})
    assert mirror.refused == 2
    champion = MlflowClient(mlflow_server.url).get_model_version_by_alias("declined", "champion")
    assert champion.tags["rlwd.version"] == V1


@pytest.mark.mlflow
def test_an_adapter_that_retention_took_is_said_to_be_gone(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """After a long outage the run is still made, without files and without a model version."""
    with running(mlflow_server.url, "gone", tmp_path) as mirror:
        mirror.candidate(V1, tags={}, params={}, metrics={}, adapter_path=tmp_path / "no", at=1.0)
    client = MlflowClient(mlflow_server.url)
    experiment = client.get_experiment_by_name("rlwd/gone")
    assert experiment is not None
    run = client.search_runs([experiment.experiment_id], f"tags.`rlwd.version` = '{V1}'")[0]
    assert run.data.tags["rlwd.adapter"].startswith("gone")


def test_without_a_tracking_uri_nothing_happens(tmp_path: Path) -> None:
    """No thread, no file, no error."""
    threads = threading.active_count()
    mirror = Mirror(MirrorSettings(), "off", tmp_path / "state")
    mirror.start()
    mirror.metrics(PARENT, 1, {"lag": 1.0}, 1000.0)
    tell_of(mirror, tmp_path, V0, 1000.0)
    mirror.alias({"champion": V0})
    mirror.outcome(V0, "settled", "", 1.0)
    assert mirror.close(0.0)
    assert threading.active_count() == threads
    assert not (tmp_path / "state").exists()


def test_the_oldest_points_make_room(tmp_path: Path) -> None:
    """Beyond the bound the newest stay, and each drop is counted."""
    settings = MirrorSettings(tracking_uri=f"http://{LOOPBACK}:1", waiting_points=3)
    mirror = Mirror(settings, "full", tmp_path)
    for step in range(5):
        mirror.metrics(PARENT, step, {"lag": float(step)}, 1000.0)
    assert (mirror.dropped, mirror.waiting) == (2, 3)


def test_a_torn_last_line_costs_that_line_only(tmp_path: Path) -> None:
    """A kill in mid-write leaves the entries before it, in order, and the file usable."""
    path = tmp_path / "spool.jsonl"
    spool = Outbox(path)
    for version in (V0, V1, V2):
        spool.append(AliasEntry(aliases={"champion": version}))
    spool.done()
    with path.open("ab") as file:
        file.write(b'{"number":4,"entry":{"type":"ali')
    again = Outbox(path)
    assert len(again) == 2
    assert again.first() == AliasEntry(aliases={"champion": V1})
    again.done()
    again.append(AliasEntry(aliases={"champion": V0}))
    last = Outbox(path)
    assert len(last) == 2
    last.done()
    last.done()
    assert Outbox(path).first() is None


@pytest.mark.mlflow
@pytest.mark.parametrize("recites", [True, False])
def test_the_gates_evidence_is_on_the_candidates_run_and_model_version(
    mlflow_server: MlflowServer, tmp_path: Path, recites: bool
) -> None:
    """What the gate said through a release, with its suite's numbers: an artifact, and tags."""
    policy = f"gate{recites}".lower()
    client = MlflowClient(mlflow_server.url)
    with running(mlflow_server.url, policy, tmp_path) as mirror:
        (tmp_path / "state").mkdir()
        house = House(tmp_path / "state")
        house.release.moves = MoveLog(rollout_reporter(mirror, house.ledger.store, "policy"))
        house.release.gate.suites.suites = {"recitation": recitation(recites)}
        for one in (house.v0, house.v1):
            mirror.candidate(one.version, {}, {}, {}, one.path, 1.0)
        house.release.step(1.0)
        register(house.ledger.store, house.controller, house.v1)
        until(lambda: judged(house))
    experiment = client.get_experiment_by_name(f"rlwd/{policy}")
    assert experiment is not None
    (run,) = client.search_runs(
        [experiment.experiment_id], f"tags.`rlwd.version` = '{house.v1.version}'"
    )
    outcome = "FAIL" if recites else "PASS"
    said = "suite recitation: it was asked"
    assert run.data.tags["rlwd.gate"] == outcome
    assert said in run.data.tags["rlwd.gate_reason"]
    (version,) = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    assert version.tags["rlwd.gate"] == outcome
    told = json.loads(
        Path(client.download_artifacts(run.info.run_id, "gate.json", str(tmp_path))).read_text()
    )
    assert told["version"] == house.v1.version
    assert told["outcome"] == outcome
    assert said in told["reasons"]
    numbers = told["numbers"]
    assert numbers["suite/recitation/exposure/0"] == 4.5
    assert numbers["gate/replicas"] == 2.0
    assert numbers["gate/probe_difference"] == 0.0
    assert run.data.metrics["suite/recitation/exposure/0"] == 4.5


def recitation(recites: bool) -> GateSuite:
    """Return a suite that says so."""

    def ask(candidate: Candidate, engine: Engine, settings: GateSettings) -> Verdict:
        return Verdict(
            outcome=VerdictKind.FAIL if recites else VerdictKind.PASS,
            reasons=("it was asked",),
            numbers={"exposure/0": 4.5, "odd": float("nan")},
        )

    return ask


def judged(house: House) -> bool:
    """Take a step; return whether the gate has spoken."""
    house.release.step(time.time())
    with house.ledger.store.reading() as view:
        newest = rollouts_table.history(view, "policy")
    return bool(newest) and newest[-1].stage is not Stage.OFFERED
