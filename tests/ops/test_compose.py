"""What compose.yaml starts: that it is a compose file, and that rlwd has all that it names."""

import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from deployed import (
    DEPLOY,
    compose_schema,
    documents,
    flags,
    load_with,
    needs_exactly,
    parses,
    probed,
)
from prometheus_server import promtool

from rlwd.daemon.config import Config

COMPOSE = DEPLOY / "compose"
FILE: dict[str, Any] = documents(COMPOSE / "compose.yaml")[0]
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
CONFIG = (COMPOSE / "rlwd.toml").read_text()
OURS = ("gateway", "daemon")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_with(CONFIG, {}, tmp_path)


def test_it_is_a_compose_file() -> None:
    """It follows the schema of the Compose specification."""
    jsonschema.validate(FILE, compose_schema())


def test_every_service_is_watched_and_waits_for_what_it_needs() -> None:
    """Each that stays has a health check; what is waited for exists and can come true."""
    for name, service in SERVICES.items():
        assert ("healthcheck" in service) == (service["restart"] != "no"), name
        for other, how in service.get("depends_on", {}).items():
            ends = SERVICES[other]["restart"] == "no"
            assert ends == (how["condition"] == "service_completed_successfully"), (name, other)
    asked = {"kafka", "postgres", "mlflow", "vllm", "prometheus", "grafana", "gateway", "daemon"}
    assert asked <= SERVICES.keys()


def test_every_image_is_a_variable_with_a_tag() -> None:
    """So a release pins it by digest; no default floats but our own, which are built first."""
    for name, service in SERVICES.items():
        found = re.fullmatch(r"\$\{[A-Z_]+_IMAGE:-([^}]+):([\w.]+)\}", service["image"])
        assert found, name
        assert (found[2] == "latest") == (name in OURS), name


def test_what_a_service_mounts_is_there() -> None:
    """Each file exists, each secret and each volume is declared, and each port is of this machine alone."""
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= FILE["secrets"].keys(), name
        for volume in service.get("volumes", []):
            source = str(volume).partition(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).is_file(), volume
            elif not source.startswith("${"):
                assert source in FILE["volumes"], volume
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), name


@pytest.mark.parametrize("service", OURS)
def test_each_process_of_ours_has_its_secrets_and_no_other(service: str, tmp_path: Path) -> None:
    """It starts with what it is given, and needs each of them."""
    given = {f"/run/secrets/{name}" for name in SERVICES[service]["secrets"]}
    needs_exactly(service, CONFIG, given, tmp_path)


@pytest.mark.parametrize("service", OURS)
def test_each_process_of_ours_is_started_and_asked_as_it_can_be(
    service: str, config: Config
) -> None:
    """Its arguments are rlwd's, its check and its ports are the config's, and its root is read-only."""
    one = SERVICES[service]
    parses(one["command"])
    port = config.gateway.port if service == "gateway" else config.http.port
    assert probed(one["healthcheck"]["test"][-1]) == (port, "/livez")
    assert one["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert (one["read_only"], one["cap_drop"], one["user"]) == (True, ["ALL"], "10001:10001")
    longest = config.gateway.stop_seconds + 20 if service == "gateway" else config.stop_seconds
    assert int(one["stop_grace_period"].removesuffix("s")) > longest
    scraped = (COMPOSE / "prometheus.yaml").read_text()
    assert f'"{service}:{port}"' in scraped


def test_the_learner_may_load_what_it_compiles() -> None:
    """A container's tmpfs is noexec unless it is told otherwise, and Triton's cache lies in one."""
    image = (DEPLOY / "Containerfile").read_text()
    cache = Path(re.findall(r"TRITON_CACHE_DIR=(\S+)", image)[0])
    places = dict(one.partition(":")[::2] for one in SERVICES["daemon"]["tmpfs"])
    (options,) = [said for place, said in places.items() if cache.is_relative_to(place)]
    assert "exec" in options.split(",")


def test_the_others_are_where_the_config_looks_for_them(config: Config) -> None:
    """Broker, engine and MLflow by their names and ports; the topics that are made are those that are read."""
    kafka = SERVICES["kafka"]["environment"]
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == (
        f"PLAINTEXT://{config.stream.kafka.bootstrap_servers[0]}"
    )
    vllm = flags(SERVICES["vllm"]["command"])
    assert list(config.engine.urls) == [f"http://vllm:{vllm['port']}"]
    assert list(config.gateway.engines) == list(config.engine.urls)
    mlflow = flags(SERVICES["mlflow"]["command"])
    assert config.mlflow.tracking_uri == f"http://mlflow:{mlflow['port']}"
    assert f"mlflow:{mlflow['port']}" in mlflow["allowed-hosts"].split(",")
    made = SERVICES["topics"]["command"][0]
    for topic in (config.stream.generations, config.stream.feedback, config.stream.dead_letters):
        assert f" {topic}" in made


def test_vllm_serves_what_the_learner_makes(config: Config) -> None:
    """Adapters of the learner's rank, read where the daemon wrote them; the same base model."""
    one = SERVICES["vllm"]
    assert int(flags(one["command"])["max-lora-rank"]) >= config.learner.lora_rank
    assert one["command"][0] == config.learner.model
    assert f"state:{config.state}:ro" in one["volumes"]
    models = [v for v in one["volumes"] if v.endswith(f":{config.learner.model}:ro")]
    assert models == [v for v in SERVICES["daemon"]["volumes"] if v.endswith(f"{models[0][-17:]}")]


def test_prometheus_and_grafana_find_their_files() -> None:
    """Rules and dashboard are mounted where their configuration looks for them."""
    (rules,) = documents(COMPOSE / "prometheus.yaml")[0]["rule_files"]
    assert f"../alerts.yaml:{rules}:ro" in SERVICES["prometheus"]["volumes"]
    (provider,) = documents(COMPOSE / "grafana_dashboards.yaml")[0]["providers"]
    folder = provider["options"]["path"]
    assert f"../dashboard.json:{folder}/rlwd.json:ro" in SERVICES["grafana"]["volumes"]
    (source,) = documents(COMPOSE / "grafana_datasources.yaml")[0]["datasources"]
    assert (source["url"], source["isDefault"]) == ("http://prometheus:9090", True)


def test_a_person_is_erased_with_a_key_that_is_lent(tmp_path: Path) -> None:
    """The documented commands are rlwd's, and put the key where the configs look for it."""
    lines = (DEPLOY.parents[1] / "docs" / "install.md").read_text().splitlines()
    (compose,) = [one for one in lines if one.startswith("docker compose run")]
    words = shlex.split(compose)
    parses(words[words.index("daemon") + 1 :])
    source, place, _ = words[words.index("--volume") + 1].split(":")
    assert f'user_key = "file:{place}"' in CONFIG
    assert source.removeprefix("$PWD") == FILE["secrets"]["user_key"]["file"].removeprefix(".")
    (cluster,) = [one for one in lines if one.startswith("kubectl") and "rlwd erase" in one]
    script = shlex.split(cluster)[-1]
    (erase,) = re.findall(r"rlwd (erase .*?);", script)
    parses(shlex.split(erase))
    # As the pod's shell runs it, with a stand-in for rlwd that shows the key's place.
    config_file = tmp_path / "rlwd.toml"
    config_file.write_text((DEPLOY / "kubernetes" / "rlwd.toml").read_text())
    own = script.replace("/etc/rlwd/rlwd.toml", str(config_file))
    own = own.replace("/tmp/user-key", f"{tmp_path}/key").replace("/tmp/erase", f"{tmp_path}/erase")
    (tmp_path / "rlwd").write_text(f'#!/bin/sh\ngrep user_key "$6"; cat {tmp_path}/key')
    (tmp_path / "rlwd").chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", own],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        input="the key",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f'user_key = "file:{tmp_path}/key"\nthe key'
    assert not (tmp_path / "key").exists()


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """In a folder that is its owner's alone; a second run changes none."""
    script = tmp_path / "secrets.sh"
    script.write_text((COMPOSE / "secrets.sh").read_text())
    subprocess.run(["sh", str(script)], check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    routers = documents(COMPOSE / "router.yaml")[0]["secrets"]
    assert made.keys() == {*FILE["secrets"], *routers}
    assert len(made["user_key"]) == 64
    assert (
        made["database_url"] == f"postgresql://rlwd:{made['postgres_password']}@postgres:5432/rlwd"
    )
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    subprocess.run(["sh", str(script)], check=True)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    """promtool finds nothing wrong with it, where its files are where the container has them."""
    text = (COMPOSE / "prometheus.yaml").read_text()
    for path in ("/run/secrets/http_token", "/run/secrets/gateway_token"):
        (tmp_path / Path(path).name).write_text("x")
        text = text.replace(path, str(tmp_path / Path(path).name))
    text = text.replace("/etc/prometheus/alerts.yaml", str(DEPLOY / "alerts.yaml"))
    (tmp_path / "prometheus.yaml").write_text(text)
    done = promtool("check", "config", str(tmp_path / "prometheus.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
