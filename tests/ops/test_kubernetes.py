"""The Kubernetes manifests: that a cluster takes them, and that they fit rlwd and one another."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from deployed import DEPLOY, documents, flags, load_with, needs_exactly, parses

from rlwd.daemon.config import Config
from rlwd.daemon.supervisor.notify import BUILDING_SECONDS

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = documents(FOLDER / "kustomization.yaml")[0]
RESOURCES = [one for name in KUSTOMIZATION["resources"] for one in documents(FOLDER / name)]
CONFIG = (FOLDER / "rlwd.toml").read_text()
OURS = ("gateway", "daemon")
VERSIONS = ("1.30", "1.37")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in RESOURCES if one["kind"] == kind}


PODS = {name: one["spec"]["template"] for name, one in of_kind("StatefulSet").items()}


def container(name: str) -> dict[str, Any]:
    (found,) = PODS[name]["spec"]["containers"]
    return dict(found)


def given_to(name: str) -> set[str]:
    (secrets,) = [v["secret"] for v in PODS[name]["spec"]["volumes"] if "secret" in v]
    (place,) = [m["mountPath"] for m in container(name)["volumeMounts"] if m["name"] == "secrets"]
    return {f"{place}/{one['path']}" for one in secrets["items"]}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_with(CONFIG, {}, tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "resource", RESOURCES, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_a_cluster_takes_a_resource(resource: dict[str, Any], version: str) -> None:
    """It follows the schema of the oldest and the newest version that are named, with no unknown key."""
    kubernetes_validate.validate(resource, version, strict=True)


def test_the_kustomization_names_what_is_there() -> None:
    """Every file of the folder and no other; the images that it sets are those that pods name."""
    (made,) = KUSTOMIZATION["configMapGenerator"]
    named = {*KUSTOMIZATION["resources"], *made["files"], "kustomization.yaml"}
    assert named == {path.name for path in FOLDER.iterdir()}
    images = {container(name)["image"] for name in PODS}
    assert {one["name"] for one in KUSTOMIZATION["images"]} == {i for i in images if ":" not in i}
    assert KUSTOMIZATION["images"][0]["newTag"] in (DEPLOY.parents[1] / "setup.cfg").read_text()


def test_resources_find_one_another(config: Config) -> None:
    """Selectors select pods, claims, config maps and secrets exist, and services have the pods' ports."""
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    for name, one in of_kind("StatefulSet").items():
        assert one["spec"]["selector"]["matchLabels"] == labels[name]
        assert one["spec"]["serviceName"] in of_kind("Service")
        made = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"]: volume for volume in PODS[name]["spec"]["volumes"]}
        assert {m["name"] for m in container(name)["volumeMounts"]} == {*volumes, *made}
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "rlwd-state")
            assert claim in of_kind("PersistentVolumeClaim")
            assert volume.get("configMap", {"name": "rlwd"}) == {"name": "rlwd"}
            assert volume.get("secret", {}).get("secretName", "rlwd") == "rlwd"
    for name, service in of_kind("Service").items():
        assert service["spec"]["selector"] == labels[name]
        (port,) = service["spec"]["ports"]
        assert container(name)["ports"] == [{"name": "http", "containerPort": port["port"]}]
    for policy in of_kind("NetworkPolicy").values():
        assert policy["spec"]["podSelector"]["matchLabels"] in labels.values()
    (budget,) = of_kind("PodDisruptionBudget").values()
    assert budget["spec"]["selector"]["matchLabels"] == labels["gateway"]
    assert of_kind("StatefulSet")["gateway"]["spec"]["replicas"] >= 2


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_little(name: str) -> None:
    """It meets the restricted standard, writes to volumes alone, and has no token and no variables of the
    cluster's.
    """
    spec = PODS[name]["spec"]
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(name)["securityContext"] == RESTRICTED
    assert "memory" in container(name)["resources"]["limits"]


@pytest.mark.parametrize("name", OURS)
def test_each_process_of_ours_has_its_secrets_and_no_other(name: str, tmp_path: Path) -> None:
    """It starts with what is mounted, and needs each of them."""
    needs_exactly(name, CONFIG, given_to(name), tmp_path)


@pytest.mark.parametrize("name", OURS)
def test_each_process_of_ours_is_started_and_probed_as_it_can_be(name: str, config: Config) -> None:
    """Its arguments are rlwd's; probes and scrapes ask for its pages at its port; there is time to end."""
    one = container(name)
    parses(one["args"])
    port = config.gateway.port if name == "gateway" else config.http.port
    assert one["ports"] == [{"name": "http", "containerPort": port}]
    asked = {kind: one[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    pages = {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert asked == {kind: {"path": path, "port": "http"} for kind, path in pages.items()}
    notes = PODS[name]["metadata"]["annotations"]
    assert (notes["prometheus.io/port"], notes["prometheus.io/path"]) == (str(port), "/metrics")
    # The pause before the signal, and what is sent after the last answer.
    longest = config.gateway.stop_seconds + 20 if name == "gateway" else config.stop_seconds
    assert PODS[name]["spec"]["terminationGracePeriodSeconds"] > longest + 10
    assert {"name": "state" if name == "daemon" else "spool", "mountPath": config.state} in one[
        "volumeMounts"
    ]


def test_the_daemon_has_time_to_migrate_a_large_state() -> None:
    """As long as it asks of systemd: its page answers only afterwards."""
    probe = container("daemon")["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= BUILDING_SECONDS


def test_pages_that_are_probed_are_routes() -> None:
    """Both documents of our routes have them."""
    for name in ("gateway", "daemon"):
        page = (DEPLOY.parents[1] / "docs" / f"openapi.{name}.json").read_text()
        assert all(f'"{path}"' in page for path in ("/livez", "/readyz", "/metrics"))


def test_the_daemon_gives_flags_while_something_is_wrong(config: Config) -> None:
    """Gateways reach it by its service though it is not ready, with the key that it signs with."""
    service = of_kind("Service")["daemon"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    (port,) = service["spec"]["ports"]
    assert config.gateway.flags_url == f"http://daemon:{port['port']}/flags"
    assert config.gateway.flags_key == config.http.flags_key != ""


def test_vllm_serves_what_the_learner_makes(config: Config) -> None:
    """Adapters of the learner's rank, read where the daemon wrote them; each server by its own name."""
    one = container("vllm")
    given = flags(one["args"])
    assert int(given["max-lora-rank"]) >= config.learner.lora_rank
    assert one["args"][0] == config.learner.model
    assert {"name": "state", "mountPath": config.state, "readOnly": True} in one["volumeMounts"]
    replicas = of_kind("StatefulSet")["vllm"]["spec"]["replicas"]
    urls = [f"http://vllm-{number}.vllm:{given['port']}" for number in range(replicas)]
    assert list(config.engine.urls) == list(config.gateway.engines) == urls


def ports_out(name: str) -> set[int]:
    spec = of_kind("NetworkPolicy")[name]["spec"]
    return {port["port"] for rule in spec["egress"] for port in rule["ports"]}


def ports_named(*texts: str) -> Iterator[int]:
    for text in texts:
        yield from map(int, re.findall(r":(\d+)", text))


def test_the_network_lets_through_what_the_config_names(config: Config) -> None:
    """Each process reaches broker, engines and the rest, and nothing that it does not need."""
    log = config.stream.kafka.bootstrap_servers
    engines = config.engine.urls
    gateway = set(ports_named(*log, *engines, config.gateway.flags_url))
    assert ports_out("gateway") == {53, *gateway}
    daemon = set(ports_named(*log, *engines, config.mlflow.tracking_uri))
    assert ports_out("daemon") == {53, 5432, *daemon}
    assert of_kind("NetworkPolicy")["vllm"]["spec"]["egress"] == []
