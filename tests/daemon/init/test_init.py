"""`rlwd init`: a config for what is here, whole, never over another, and what to do next."""

import stat
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from kafka.admin import KafkaAdminClient
from kafka_server import KafkaServer

from rlwd.daemon.cli import main
from rlwd.daemon.config import load_config
from rlwd.daemon.doctor.doctor import examine
from rlwd.daemon.init import findings
from rlwd.daemon.init.setting_notes import every_key
from rlwd.ops.servers.mlflow_server import MlflowServer
from rlwd.ops.servers.process import LOOPBACK, free_port
from rlwd.ops.servers.vllm_server import VllmServer


def init(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command as a shell would; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["rlwd", "init", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual places are ports of this test, on which nothing listens."""
    monkeypatch.setattr(findings, "ENGINES", (f"http://{LOOPBACK}:{free_port()}",))
    monkeypatch.setattr(findings, "KAFKA", (f"{LOOPBACK}:{free_port()}",))
    monkeypatch.setattr(findings, "MLFLOW", (f"http://{LOOPBACK}:{free_port()}",))


def test_what_is_here_stands_in_the_config(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_policy: Path,
    vllm_server: VllmServer,
    kafka_server: KafkaServer,
    mlflow_server: MlflowServer,
) -> None:
    """A real vLLM, its model's folder, a real Kafka and a real MLflow are found and written down."""
    monkeypatch.setattr(findings, "ENGINES", (vllm_server.url,))
    monkeypatch.setattr(findings, "KAFKA", (kafka_server.bootstrap,))
    monkeypatch.setattr(findings, "MLFLOW", (mlflow_server.url,))
    file, wanted = tmp_path / "rlwd.toml", list[str]()
    # Another test may have made some of them: the broker is the session's.
    there = set(KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap).list_topics())
    if missing := sorted({"rlwd.deadletter", "rlwd.feedback", "rlwd.generations"} - there):
        topics, where = ", ".join(missing), kafka_server.bootstrap
        wanted = [f"create the topics {topics} at {where} (docs/kafka.md)"]
    assert init(monkeypatch, "--config", str(file), "--policy", "reply") == 0
    said = capsys.readouterr().err
    config = load_config(file)
    assert (config.policy, config.stream.kind) == ("reply", "kafka")
    assert config.engine.urls == config.gateway.engines == (vllm_server.url,)
    assert config.stream.kafka.bootstrap_servers == (kafka_server.bootstrap,)
    assert config.mlflow.tracking_uri == mlflow_server.url
    assert Path(config.learner.model) == tiny_policy
    assert said.count("found      ") == 4, said
    assert "not found" not in said
    steps = [line.partition(". ")[2] for line in said.splitlines()]
    assert [step for step in steps if "create the topics" in step] == wanted, said
    assert f"rlwd doctor --config {file}" in said


@pytest.mark.usefixtures("nothing_here")
def test_with_nothing_here_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is whole and loads all the same, is its owner's alone, and every gap has a step."""
    file = tmp_path / "rlwd.toml"
    assert init(monkeypatch, "--config", str(file)) == 0
    said = capsys.readouterr().err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("not found")] == [
        f"not found  {what}" for what in ("engine", "kafka", "mlflow", "model")
    ]
    assert "put the base model" in said
    assert "start an engine" in said
    text = file.read_text()
    assert [key for key in every_key() if f"{key.rpartition('.')[2]} = " not in text] == []
    examine(file)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "config: " in line] == [f"ok    config: {file}"]


@pytest.mark.usefixtures("nothing_here")
def test_a_config_that_is_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It refuses with one line and exit 2; with --print nothing is written, and the text is the file's."""
    file, other = tmp_path / "rlwd.toml", tmp_path / "other.toml"
    file.write_text("mine")
    assert init(monkeypatch, "--config", str(file)) == 2
    assert capsys.readouterr().err.startswith(f"rlwd: {file}: is there, and is not overwritten")
    assert init(monkeypatch, "--config", str(file), "--print") == 0
    printed = capsys.readouterr().out
    assert file.read_text() == "mine"
    assert init(monkeypatch, "--config", str(other)) == 0
    assert other.read_text() == printed


class _Other(BaseHTTPRequestHandler):
    """Something else that speaks HTTP."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>not what you look for</html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.usefixtures("nothing_here")
def test_what_is_something_else_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another server at a usual port is not written down; what was named by hand is, and is told of."""
    with ThreadingHTTPServer((LOOPBACK, 0), _Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{LOOPBACK}:{server.server_port}"
        monkeypatch.setattr(findings, "MLFLOW", (url,))
        file = tmp_path / "rlwd.toml"
        assert init(monkeypatch, "--config", str(file), "--engine", url) == 0
        server.shutdown()
    said = capsys.readouterr().err
    assert f"not found  engine: {url}: answers, and is no OpenAI-compatible engine" in said
    assert f"not found  mlflow: {url}: answers, and is no MLflow server" in said
    config = load_config(file)
    assert (config.engine.urls, config.mlflow.tracking_uri) == ((url,), "")


@pytest.mark.usefixtures("nothing_here")
def test_a_wrong_value_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the config would refuse is refused by its key, and no half of it stays."""
    file = tmp_path / "rlwd.toml"
    assert init(monkeypatch, "--config", str(file), "--policy", "../evil") == 2
    assert "policy: '../evil' is no name" in capsys.readouterr().err
    assert not file.exists()
