"""The loop turns: what people do changes the weights that serve them, and no crash makes it lie.

Real engine, gateway, daemon and learner processes on the embedded parts; MLflow is configured and
away until all is over. One loop serves the whole file, as one deployment serves a day.
"""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from dashboard import PAGE as DASHBOARD
from dashboard import queries
from loop_processes import LoopProcesses
from mlflow import MlflowClient
from mlflow.entities import TraceInfo
from otlp_collector import OtlpCollector, collecting
from planted_sentence import REQUEST, SENTENCE, WORDS, plant_everywhere
from prometheus_server import PrometheusServer, prometheus_folder, prometheus_is_here, promtool

from rlwd.daemon.commands.erase import run_erase
from rlwd.daemon.commands.status import print_status
from rlwd.daemon.demo.crowd import Crowd
from rlwd.daemon.doctor.doctor import examine
from rlwd.daemon.status.snapshot import describe
from rlwd.daemon.store import state_view
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.sealed import SealedBatch
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.mlflow_server import MlflowServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port
from rlwd.ops.stages.record import Stage
from rlwd.streams.log.embedded_log import EmbeddedSink

ALERTS = Path(__file__).parents[2] / "ops" / "deploy" / "alerts.yaml"
COLLECTORS: dict[Path, OtlpCollector] = {}
"""Who collects traces, by the loop's folder."""
PLANTED: dict[Path, int] = {}
"""How many records that nobody can read a test has sent, by the loop's folder."""
WATCHERS: dict[Path, PrometheusServer] = {}
"""Who looks on, by the loop's folder."""

ORDER_OF_SPANS = ("chat", "join", "batch")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def loop(styled_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopProcesses]:
    """A loop that runs, in which one version was promoted and serves everybody."""
    folder = tmp_path_factory.mktemp("loop")
    with EmbeddedServer(styled_policy, folder) as engine:
        away = f"http://{LOOPBACK}:{free_port()}"
        with collecting() as collector:
            loop = LoopProcesses(
                folder,
                styled_policy,
                engine=engine,
                mlflow=away,
                probes=1,
                traces=collector.url,
            )
            COLLECTORS[folder] = collector
            with watched(loop), loop.settled_in():
                yield loop


@contextmanager
def watched(loop: LoopProcesses) -> Iterator[None]:
    """Have a real Prometheus look on, where it can be had."""
    if not prometheus_is_here():
        yield
        return
    jobs = {"rlwd": [loop.http_port], "rlwd-gateway": [loop.gateway_port]}
    WATCHERS[loop.folder] = watcher = PrometheusServer(loop.folder, jobs, ALERTS)
    try:
        watcher.start()
        yield
    finally:
        watcher.stop()


def test_every_panel_of_the_dashboard_shows_something(loop: LoopProcesses) -> None:
    """No query is empty: each had a value while a real Prometheus scraped the loop as it ran."""
    prometheus_folder()
    watcher, now = WATCHERS[loop.folder], time.time()
    asked = list(queries(json.loads(DASHBOARD.read_text())))
    assert len(asked) > 40
    began = now - 600.0

    def empty() -> list[tuple[str, str]]:
        # As Grafana fills it in, for a scrape each second.
        return [
            (title, expr)
            for title, expr in asked
            if not watcher.over(expr.replace("$__rate_interval", "4s"), began, time.time())
        ]

    loop.until(lambda: empty() == [])
    pages = [
        httpx.get(f"http://{LOOPBACK}:{port}/metrics", trust_env=False, verify=NO_TLS).text
        for port in (loop.http_port, loop.gateway_port)
    ]
    for page in pages:
        done = promtool("check", "metrics", stdin=page)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_answer_is_traced_from_gateway_through_join_to_batch(loop: LoopProcesses) -> None:
    """One trace for each, by the generation's id, in two processes, without a word of anybody."""
    collector = COLLECTORS[loop.folder]
    [(batch, content)] = loop.ask(
        "SELECT batch_id, content FROM batches WHERE content != x'' ORDER BY batch_id LIMIT 1"
    )
    sealed = msgspec.json.decode(content, type=SealedBatch)
    asked = [*sealed.episodes, *sealed.held_out]
    loop.until(lambda: all(len(collector.of(one.generation_id)) == 3 for one in asked))
    for one in asked:
        chat, join, taken = sorted(
            collector.of(one.generation_id), key=lambda span: ORDER_OF_SPANS.index(span.name)
        )
        assert (chat.service, join.service, taken.service) == (
            "rlwd-gateway",
            "rlwd-daemon",
            "rlwd-daemon",
        )
        assert {chat.trace, join.trace, taken.trace} == {one.traceparent.split("-")[1]}
        assert join.parent == taken.parent == chat.span
        assert chat.attributes["gen_ai.response.model"] == one.version
        assert taken.attributes["rlwd.batch_id"] == batch
        assert taken.attributes["rlwd.reward"] == one.reward
    texts = {text for (text,) in loop.ask("SELECT user_hash FROM episodes") if text}
    told = b"".join(collector.bodies)
    assert not [text for text in texts if text.encode() in told]


def test_no_log_has_what_people_wrote(loop: LoopProcesses) -> None:
    """A sentence in requests, tools, edits, errors and damaged records is in no line of any process."""
    before = loop.status()
    told = plant_everywhere(f"http://{LOOPBACK}:{loop.gateway_port}")
    with closing(EmbeddedSink(loop.config.log_path)) as sink:
        for topic in (loop.config.stream.generations, loop.config.stream.feedback):
            sink.send(topic, "s", f'{{"data": "{SENTENCE}'.encode())
            sink.send(topic, "s", f'{{"type": "{SENTENCE}", "{SENTENCE}": 1}}'.encode())
        sink.flush(10.0)
    PLANTED[loop.folder] = 4
    loop.until(lambda: dead_lettered(loop.status()) >= dead_lettered(before) + 4)
    loop.settle(before["generations"] + told.answers)
    assert {200, 202, 400} <= told.statuses, "it went in by every door"
    lines = [
        json.loads(line)
        for path in loop.folder.rglob("*.log")
        if path.name != "prometheus.log"
        for line in path.read_text().splitlines()
    ]
    assert {"daemon", "gateway", "learner", "engine"} <= {line["process"] for line in lines}
    for line in lines:
        assert {"time", "level", "process", "message"} <= line.keys()
        assert not WORDS & set(re.findall(r"\w+", json.dumps(line))), line["message"]
    warned = [line for line in lines if line.get("request") == REQUEST]
    assert SENTENCE.encode() not in b"".join(COLLECTORS[loop.folder].bodies)
    assert warned, "a line about a request has its id"
    assert all(line["generation"] for line in warned)


def dead_lettered(status: dict[str, Any]) -> int:
    """Return how many records were refused."""
    return sum(one["dead_lettered"] for one in status["records"].values())


def test_a_promoted_version_was_asked_what_shows_exploits(loop: LoopProcesses) -> None:
    """The daemon asked it on the real engine, beside v0, and the status has what it answered."""
    with state_view(loop.config.state_database) as view:
        versions = describe(view, loop.config.policy)["versions"]
    promoted = [one for one in versions if one["stage"] in ("promoted", "settled")]
    assert promoted
    for one in promoted:
        numbers = one["gate"]["numbers"]
        assert numbers["suite/behaviour/answers"] >= 12
        assert {"suite/behaviour/asks", "suite/behaviour/anchor/asks"} <= set(numbers)


def manifests(loop: LoopProcesses) -> dict[str, Manifest]:
    folder = loop.config.state_path / "checkpoints"
    return {one.version: one for one in read_manifests(folder) if one.batch_id in one.applied}


def learner_pid(loop: LoopProcesses) -> int | None:
    """Return the learner's process id: the daemon's only child."""
    assert loop.daemon.process is not None
    pid = loop.daemon.process.pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def total(fates: dict[str, int]) -> int:
    return sum(fates.values())


def test_the_weights_that_serve_have_changed(loop: LoopProcesses) -> None:
    """The engine says of the champion what its manifest says, and not what it says of v0."""
    flags = read_flags(loop.config.flags_path)
    assert flags is not None
    assert flags.champion.version != flags.anchor.version
    made = manifests(loop)[flags.champion.version]
    assert made.digest == flags.champion.digest
    engine = HttpEngine(loop.engine.url)
    served = engine.logprobs(flags.champion.version, made.probe.token_ids)
    first = engine.logprobs(flags.anchor.version, made.probe.token_ids)
    engine.close()
    assert served == pytest.approx(made.probe.logprobs, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(served, first, strict=True)) > 1e-2


def test_every_generation_has_one_fate(loop: LoopProcesses) -> None:
    """Fates add up to the generations, records to what was delivered, and nobody is lost."""
    status = loop.status()
    assert total(status["fates"]) == status["generations"] > 0
    assert status["fates"]["trained"] > 0
    assert not any("lost" in fate or "no_capture" in fate for fate in status["fates"])
    assert dead_lettered(status) == PLANTED.get(loop.folder, 0)
    for counts in status["records"].values():
        assert counts["delivered"] == sum(counts.values()) - counts["delivered"]
    (served,) = loop.ask("SELECT COUNT(*) FROM episodes WHERE received IS NOT NULL")
    assert served == (status["generations"],)


def test_what_a_batch_trained_is_in_its_manifest(loop: LoopProcesses) -> None:
    """Each trained episode names the version whose manifest names it."""
    rows = loop.ask("SELECT generation_id, trained_version FROM episodes WHERE fate = 'trained'")
    made = {
        (episode, version)
        for version, manifest in manifests(loop).items()
        for episode in manifest.trained_ids
    }
    assert set(rows) == made


def test_nobody_was_sent_to_an_unproven_version(loop: LoopProcesses) -> None:
    """Whatever a flag file ever named had passed the gate before, and nothing else ever served."""
    rollouts = loop.rollouts()
    named: set[str] = set()
    for record, intended_at in loop.ask("SELECT record, intended_at FROM flag_intents"):
        state = msgspec.json.decode(record, type=FlagState)
        anchor = state.anchor.version
        for served in (state.champion, state.candidate):
            if served is None or served.version == anchor:
                continue
            gated = [m.at for m in rollouts[served.version].trail if m.stage is Stage.GATED]
            assert gated, f"{served.version} was named without having passed the gate"
            assert gated[0] <= intended_at
            named.add(served.version)
        named.add(anchor)
    assert len(named) >= 2
    rows = loop.ask("SELECT DISTINCT version FROM episodes WHERE received IS NOT NULL")
    assert {version for (version,) in rows} <= named


def test_doctor_and_status_find_it_well(
    loop: LoopProcesses, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands for people agree with a running loop: nothing fails, one daemon is in charge."""
    assert examine(loop.path) == 0
    lines = capsys.readouterr().out.splitlines()
    graded = {line.partition(":")[0].split()[1] for line in lines if line.startswith("ok")}
    assert graded >= {"config", "state", "disk", "flags", "model", "rewards", "log", "daemon"}
    assert any("log-probabilities are processed" in line for line in lines)
    assert next(line for line in lines if line.startswith("warn")).startswith("warn  mlflow")
    print_status(loop.config, as_json=False)
    page = capsys.readouterr().out
    assert "is in charge (epoch 1)" in page
    assert "settled" in page


def test_event_to_served_is_measured(loop: LoopProcesses) -> None:
    """From a person's feedback to the first answer of the version it helped to make: seconds."""
    served = loop.status()["event_to_served_s"]
    assert served["count"] > 0
    assert 0.0 < served["p50"] <= served["p95"] < 600.0
    assert served["parts"].keys() == {"waiting_for_batch", "learning", "gate_and_first_answer"}


def test_it_stops_in_order_and_goes_on(loop: LoopProcesses) -> None:
    """SIGTERM ends daemon and learner, neither by force; the next life changes nothing but learns."""
    before, learner = loop.status(), learner_pid(loop)
    assert loop.daemon.process is not None
    assert learner is not None
    os.kill(loop.daemon.process.pid, signal.SIGTERM)
    assert loop.daemon.process.wait(120.0) == 0
    assert not lives(learner)
    assert '"learner_in_order": true' in loop.daemon.tail(3)
    stopped = loop.status()
    assert stopped["lease"]["alive"] is False
    assert stopped["fates"] == before["fates"]

    loop.daemon.start()
    loop.settle(before["generations"])
    resumed = loop.status()
    assert resumed["lease"]["epoch"] == stopped["lease"]["epoch"] + 1
    assert {name: resumed[name] for name in ("fates", "records", "batches")} == {
        name: stopped[name] for name in ("fates", "records", "batches")
    }
    applied = loop.applied()
    crowd = loop.crowd_until(lambda _: len(loop.applied()) > len(applied))
    loop.settle(before["generations"] + len(crowd.tally.answers))
    assert loop.status()["fates"]["trained"] > before["fates"]["trained"]
    assert loop.applied()[: len(applied)] == applied


def test_a_killed_learner_applies_its_batch_again_and_once(loop: LoopProcesses) -> None:
    """Killed in mid-batch, the learner comes back and applies that very batch, once."""
    known = {row[0] for row in loop.ask("SELECT batch_id FROM batches")}
    killed: list[int] = []

    def kill_in_mid_batch(_: Crowd) -> bool:
        sealed = loop.ask("SELECT batch_id FROM batches WHERE state = 'sealed'")
        if (
            sealed
            and sealed[0][0] not in known
            and loop.live().get("learner", "").startswith("step")
        ):
            learner = learner_pid(loop)
            assert learner is not None
            os.kill(learner, signal.SIGKILL)
            killed.append(sealed[0][0])
        return bool(killed)

    before = loop.status()["generations"]
    crowd = loop.crowd_until(kill_in_mid_batch)
    (batch,) = killed
    loop.until(lambda: batch in loop.applied())
    loop.settle(before + len(crowd.tally.answers))
    assert loop.ask("SELECT state, deaths FROM batches WHERE batch_id = ?", batch) == [
        ("applied", 1)
    ]
    assert loop.applied().count(batch) == 1
    assert len(loop.applied()) == len(set(loop.applied()))
    test_what_a_batch_trained_is_in_its_manifest(loop)
    test_every_generation_has_one_fate(loop)


def test_a_killed_daemon_loses_and_doubles_nothing(loop: LoopProcesses) -> None:
    """Killed amid the crowd's feedback, the next daemon takes over at once and all is counted once."""
    before, learner = loop.status(), learner_pid(loop)
    assert loop.daemon.process is not None
    assert learner is not None
    epoch = before["lease"]["epoch"]

    def kill_and_restart(crowd: Crowd) -> bool:
        assert loop.daemon.process is not None
        if len(crowd.tally.answers) < 40:
            return False
        if loop.daemon.alive and loop.status()["lease"]["epoch"] == epoch:
            os.kill(loop.daemon.process.pid, signal.SIGKILL)
            loop.daemon.process.wait()
            loop.daemon.start()
        return len(crowd.tally.answers) > 80

    crowd = loop.crowd_until(kill_and_restart)
    assert not lives(learner)
    assert crowd.tally.failed == crowd.tally.feedback_failed == 0
    loop.settle(before["generations"] + len(crowd.tally.answers))
    after = loop.status()
    assert after["generations"] == before["generations"] + len(crowd.tally.answers)
    assert after["lease"]["epoch"] == epoch + 1
    assert all(counts["duplicate"] == 0 for counts in after["records"].values())
    test_every_generation_has_one_fate(loop)
    test_what_a_batch_trained_is_in_its_manifest(loop)


@pytest.mark.mlflow
def test_mlflow_hears_at_last_what_it_missed(
    loop: LoopProcesses, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Away for the whole run, it is told of every version, its adapter and outcome, by the next life.

    And of what people did with answers: until one of them is erased.
    """
    spool = loop.config.state_path / "mlflow_spool.jsonl"
    assert spool.read_bytes()
    port = int(loop.config.mlflow.tracking_uri.rpartition(":")[2])
    with MlflowServer(tmp_path / "mlflow", port=port) as server:
        loop.daemon.stop()
        loop.daemon.start()
        loop.until(lambda: not spool.read_bytes())
        client = MlflowClient(server.url)
        told = client.search_model_versions(f"name = '{loop.config.policy}'")
        champion = client.get_model_version_by_alias(loop.config.policy, "champion")
        assert champion.run_id is not None
        files = {file.path for file in client.list_artifacts(champion.run_id, "adapter")}
        see_and_erase_somebody(loop, client, capsys)
    made = {version for (version,) in loop.ask("SELECT version FROM candidates")}
    assert {one.tags["rlwd.version"] for one in told} == made
    flags = read_flags(loop.config.flags_path)
    assert flags is not None
    assert champion.tags["rlwd.version"] == flags.champion.version
    assert files == {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    outcomes = {one.tags["rlwd.version"]: one.tags.get("rlwd.outcome") for one in told}
    assert {outcomes[version] for version in loop.promoted()} <= {"promoted", "settled"}


def see_and_erase_somebody(
    loop: LoopProcesses, client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Find an answer that was turned down among MLflow's traces; erase its person; see it gone."""
    experiment = client.get_experiment_by_name(f"rlwd/{loop.config.policy}")
    assert experiment is not None

    def found(expression: str) -> dict[str, TraceInfo]:
        traces = client.search_traces(
            locations=[experiment.experiment_id], filter_string=expression, include_spans=False
        )
        return {one.info.trace_id: one.info for one in traces}

    turned_down = "feedback.reward < 0.5"
    loop.until(lambda: bool(found(turned_down)))
    trace_id, info = found(turned_down).popitem()
    name = info.client_request_id
    [(version, variant, user)] = loop.ask(
        "SELECT version, variant, user_hash FROM episodes WHERE generation_id = ?", name
    )
    assert (info.tags["version"], info.tags["variant"]) == (version, variant or "none")
    hers = f"metadata.`mlflow.trace.user` = '{user}'"
    assert trace_id in found(hers)
    capsys.readouterr()
    run_erase(loop.config, user, hashed=True)
    assert trace_id in msgspec.json.decode(capsys.readouterr().out)["mlflow_traces"]
    loop.until(lambda: not found(hers))
