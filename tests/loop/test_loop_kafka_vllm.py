"""The same loop on real Kafka, real vLLM and a real MLflow server: only the config differs."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka_server import KafkaServer
from loop_processes import LoopProcesses
from mlflow import MlflowClient

from rlwd.daemon.doctor.doctor import examine
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.sealed import SealedBatch
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.servers.mlflow_server import MlflowServer
from rlwd.ops.servers.vllm_server import VllmServer

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.vllm,
    pytest.mark.mlflow,
    pytest.mark.timeout(600),
]

POLICY = "looped"


@pytest.fixture(scope="module")
def loop(
    kafka_server: KafkaServer,
    vllm_server: VllmServer,
    mlflow_server: MlflowServer,
    tiny_policy: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LoopProcesses]:
    """A loop on the real servers, in which one version was promoted and serves everybody."""
    topics = [f"{POLICY}.{name}" for name in ("generations", "feedback", "deadletter")]
    kafka_server.create_topics(topics, partitions=2)
    loop = LoopProcesses(
        tmp_path_factory.mktemp("loop"),
        tiny_policy,
        policy=POLICY,
        engine=vllm_server,
        kafka=kafka_server.bootstrap,
        mlflow=mlflow_server.url,
    )
    with loop.settled_in(seconds=240.0, by_coin=0.6):
        yield loop


def test_vllm_serves_the_weights_that_were_learned(loop: LoopProcesses) -> None:
    """vLLM says of the champion what the learner says of it, and not what it says of v0."""
    flags = read_flags(loop.config.flags_path)
    assert flags is not None
    assert flags.champion.version != flags.anchor.version
    found = read_manifests(loop.config.state_path / "checkpoints")
    (made,) = [one for one in found if one.version == flags.champion.version]
    engine = HttpEngine(loop.engine.url)
    served = engine.logprobs(made.version, made.probe.token_ids)
    first = engine.logprobs(flags.anchor.version, made.probe.token_ids)
    engine.close()
    assert served == pytest.approx(made.probe.logprobs, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(served, first, strict=True)) > 1e-3


def test_what_the_engine_logged_is_what_the_learner_reckons(loop: LoopProcesses) -> None:
    """Before the first step the learner gives vLLM's own tokens the log-probabilities it logged."""
    flags = read_flags(loop.config.flags_path)
    assert flags is not None
    # A version that was turned down keeps its manifest alone, and its batch no tokens.
    rows = loop.ask("SELECT content FROM batches WHERE content != x'' ORDER BY batch_id")
    held = [msgspec.json.decode(content, type=SealedBatch) for (content,) in rows]
    logged = [
        one for batch in held for one in batch.episodes if one.version == flags.anchor.version
    ]
    assert logged
    engine = HttpEngine(loop.engine.url)
    for episode in logged[:5]:
        tokens = (*episode.prompt_token_ids, *episode.completion_token_ids)
        scored = engine.logprobs(episode.version, tokens)[len(episode.prompt_token_ids) - 1 :]
        assert scored == pytest.approx(episode.logprobs, abs=1e-4)
    engine.close()
    first = read_manifests(loop.config.state_path / "checkpoints")[1]
    assert first.metrics["mismatch/k3"] < 1e-8


def test_kafka_delivered_everything_once(loop: LoopProcesses, kafka_server: KafkaServer) -> None:
    """What the topics hold is what the ledger counts, fates add up, and people see the offsets."""
    status = loop.status()
    assert sum(status["fates"].values()) == status["generations"] > 0
    delivered = {}
    for name, counts in status["records"].items():
        assert counts["duplicate"] == counts["dead_lettered"] == 0
        topic, _, index = name.rpartition("/")
        if counts["delivered"]:
            delivered[TopicPartition(topic, int(index))] = counts["delivered"]
    group = loop.config.stream.kafka.group_id
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)

    def shown() -> dict[TopicPartition, int]:
        found = admin.list_group_offsets(group)[group]
        return {where: at.offset for where, at in found.items() if at.offset > 0}

    try:
        loop.until(lambda: shown() == delivered)
    finally:
        admin.close()


def test_mlflow_knows_the_champion(loop: LoopProcesses, mlflow_server: MlflowServer) -> None:
    """Each version is a registered one with its adapter, and the alias names who serves."""
    client = MlflowClient(mlflow_server.url)
    flags = read_flags(loop.config.flags_path)
    assert flags is not None

    def champion() -> str:
        aliases = client.get_registered_model(POLICY).aliases
        if "champion" not in aliases:
            return ""
        return str(client.get_model_version(POLICY, aliases["champion"]).tags["rlwd.version"])

    loop.until(lambda: champion() == flags.champion.version)
    version = client.get_model_version_by_alias(POLICY, "champion")
    assert version.tags["rlwd.digest"] == flags.champion.digest
    assert version.run_id is not None
    run_id = version.run_id
    # Metrics go out every few seconds, and not with the registry's own calls.
    # Every look is a point of its curve; the one that promoted it is the last.
    loop.until(lambda: client.get_run(run_id).data.metrics.get("ab/users_candidate", 0) >= 10)
    # The daemon looks at how it behaves, too.
    loop.until(lambda: client.get_run(run_id).data.metrics.get("drift/answers", 0) >= 1)
    run = client.get_run(run_id)
    assert run.data.tags["rlwd.outcome"] in ("promoted", "settled")
    files = {file.path for file in client.list_artifacts(run.info.run_id, "adapter")}
    assert files == {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}


def test_doctor_finds_it_well(loop: LoopProcesses, capsys: pytest.CaptureFixture[str]) -> None:
    """With everything up every line is ok."""
    assert examine(loop.path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines[:-1] if not line.startswith("ok")] == []
    assert any("takes adapters while it runs" in line for line in lines)
    assert any(f"{POLICY}.deadletter" in line for line in lines)
