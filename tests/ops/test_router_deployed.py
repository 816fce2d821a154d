"""What is deployed for full weights: a router beside compose.yaml's services and the manifests, and its image."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from deployed import (
    DEPLOY,
    compose_schema,
    documents,
    load_with,
    needs_exactly,
    parses,
    probed,
)

from rlwd.daemon.config import Config
from rlwd.ops.router.serve import END_SECONDS
from rlwd.ops.router.settings import RouterSettings
from tests.ops.test_compose import SERVICES
from tests.ops.test_kubernetes import PODS as PLAIN_PODS
from tests.ops.test_kubernetes import RESTRICTED, VERSIONS

COMPOSE, FOLDER = DEPLOY / "compose", DEPLOY / "kubernetes_router"
ADDED: dict[str, Any] = documents(COMPOSE / "router.yaml")[0]
KUSTOMIZATION = documents(FOLDER / "kustomization.yaml")[0]
RESOURCES = {
    one["kind"]: one for name in ("router.yaml", "network.yaml") for one in documents(FOLDER / name)
}
POD = RESOURCES["StatefulSet"]["spec"]["template"]
IMAGE = (DEPLOY / "Containerfile.router").read_text().replace("\\\n", " ")
CONFIGS = {
    "compose": (COMPOSE / "router.toml", COMPOSE / "rlwd.toml"),
    "kubernetes": (FOLDER / "rlwd.toml", DEPLOY / "kubernetes" / "rlwd.toml"),
}
CHANGED = {
    *("learner.weights", "learner.dtype", "learner.learning_rate", "rollout.gate_seconds"),
    *("engine.urls", "engine.token", "gateway.engines", "gateway.engine_token"),
}


def leaves(table: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}.{key}": v for name, one in table.items() for key, v in dict(one).items()}


def sections(path: Path) -> dict[str, Any]:
    told = tomllib.loads(path.read_text())
    return leaves({name: one for name, one in told.items() if isinstance(one, dict)})


def loaded(kind: str, folder: Path) -> Config:
    return load_with(CONFIGS[kind][0].read_text(), {}, folder)


@pytest.mark.parametrize("kind", CONFIGS)
def test_its_config_is_the_others_but_for_full_weights(kind: str, tmp_path: Path) -> None:
    """One that is loaded, whose router can be reached by those who are to, and knows them by a token."""
    ours, theirs = (sections(path) for path in CONFIGS[kind])
    changed = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert {key for key in changed if not key.startswith("router.")} == CHANGED
    config = loaded(kind, tmp_path)
    assert config.learner.weights == "full"
    name = {"compose": "router", "kubernetes": "router-0.router"}[kind]
    assert list(config.engine.urls) == [f"http://{name}:{config.router.port}"]
    assert config.engine.urls == config.gateway.engines
    assert config.engine.token == config.gateway.engine_token != ""
    assert config.router.host == "0.0.0.0"


def test_compose_takes_it_beside_its_own_file() -> None:
    """It follows the schema; the router is hardened, watched and given time; vLLM is left out, and nothing
    of all this is in the file that everybody starts."""
    jsonschema.validate(ADDED, compose_schema())
    router, ours = ADDED["services"]["router"], SERVICES["daemon"]
    for key in ("user", "read_only", "cap_drop", "security_opt", "restart", "tmpfs"):
        assert router[key] == ours[key], key
    parses(router["command"])
    assert probed(router["healthcheck"]["test"][-1]) == (RouterSettings().port, "/health")
    assert router["expose"] == [str(RouterSettings().port)]
    assert int(router["stop_grace_period"].removesuffix("s")) > END_SECONDS
    assert ADDED["services"]["vllm"] == {"profiles": ["adapters"]}
    assert "router" not in SERVICES
    for name in ("router", "gateway", "daemon"):
        assert "./router.toml:/etc/rlwd/rlwd.toml:ro" in ADDED["services"][name]["volumes"]


def test_each_process_has_its_secrets_and_no_other(tmp_path: Path) -> None:
    """Gateway and daemon one more than for adapters, and the router that one alone, in both."""
    for process in ("gateway", "daemon", "router"):
        named = SERVICES.get(process, {}).get("secrets", [])
        given = {f"/run/secrets/{one}" for one in (*named, *ADDED["services"][process]["secrets"])}
        needs_exactly(process, CONFIGS["compose"][0].read_text(), given, tmp_path)
    added = {one["target"]["name"]: one["patch"] for one in KUSTOMIZATION["patches"]}
    for process in ("gateway", "daemon", "router"):
        volumes = (POD if process == "router" else PLAIN_PODS[process])["spec"]["volumes"]
        items = list(volumes[1]["secret"]["items"])
        if process != "router":
            (patch,) = yaml.safe_load(added[process])
            assert (patch["op"], patch["path"]) == (
                "add",
                "/spec/template/spec/volumes/1/secret/items/-",
            )
            items.append(patch["value"])
        given = {f"/run/secrets/rlwd/{one['path']}" for one in items}
        needs_exactly(process, CONFIGS["kubernetes"][0].read_text(), given, tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cluster_takes_its_resources(version: str) -> None:
    """They follow the schema of the oldest and the newest version that are named, with no unknown key."""
    for resource in RESOURCES.values():
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_kustomization_names_what_is_there_and_deletes_what_is() -> None:
    """Every file of the folder and no other; what it deletes are the engines of the plain one."""
    (made,) = KUSTOMIZATION["configMapGenerator"]
    assert (made["name"], made["behavior"]) == ("rlwd", "replace")
    named = {*KUSTOMIZATION["resources"], *made["files"], "kustomization.yaml", FOLDER.name}
    assert named - {"../kubernetes", FOLDER.name} == {path.name for path in FOLDER.iterdir()}
    deleted = {
        (one["kind"], one["metadata"]["name"])
        for patch in KUSTOMIZATION["patches"]
        if "$patch" in (one := yaml.safe_load(patch["patch"]) or {})
    }
    engines = documents(DEPLOY / "kubernetes" / "vllm.yaml")
    network = documents(DEPLOY / "kubernetes" / "network.yaml")
    there = {(one["kind"], one["metadata"]["name"]) for one in (*engines, *network)}
    assert deleted == {one for one in there if one[1] == "vllm"}
    (image,) = KUSTOMIZATION["images"]
    assert image["name"] == POD["spec"]["containers"][0]["image"]
    assert f"version = {image['newTag']}\n" in (DEPLOY.parents[1] / "setup.cfg").read_text()


def test_its_pod_may_do_little_and_writes_to_a_volume_of_its_own(tmp_path: Path) -> None:
    """It meets the restricted standard, is probed and ended as it can be, and no two share the folder where
    they write versions; gateways and daemon reach it, and it reaches nobody."""
    (one,) = POD["spec"]["containers"]
    config, claims = loaded("kubernetes", tmp_path), RESOURCES["StatefulSet"]["spec"]
    parses(one["args"])
    assert (POD["spec"]["automountServiceAccountToken"], POD["spec"]["enableServiceLinks"]) == (
        False,
        False,
    )
    assert one["securityContext"] == RESTRICTED
    plain = PLAIN_PODS["daemon"]["spec"]["securityContext"]
    assert POD["spec"]["securityContext"] == plain
    assert one["ports"] == [{"name": "http", "containerPort": config.router.port}]
    probes = {
        one[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }
    assert probes == {"/health"}
    assert POD["spec"]["terminationGracePeriodSeconds"] > END_SECONDS
    (claim,) = [claim["metadata"]["name"] for claim in claims["volumeClaimTemplates"]]
    assert {"name": claim, "mountPath": config.router.folder} in one["volumeMounts"]
    assert {"name": "state", "mountPath": config.state, "readOnly": True} in one["volumeMounts"]
    volumes = {volume["name"] for volume in POD["spec"]["volumes"]}
    assert {mount["name"] for mount in one["volumeMounts"]} == {*volumes, claim}
    labels = POD["metadata"]["labels"]
    assert claims["selector"]["matchLabels"] == RESOURCES["Service"]["spec"]["selector"] == labels
    policy = RESOURCES["NetworkPolicy"]["spec"]
    assert (policy["podSelector"]["matchLabels"], policy["egress"]) == (labels, [])
    allowed = {str(who) for rule in policy["ingress"] for who in rule["from"]}
    assert all(f"rlwd-{name}" in str(allowed) for name in ("gateway", "daemon"))
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == [config.router.port]


def test_its_image_is_started_and_watched_as_it_can_be() -> None:
    """rlwd in vLLM's image, by the version that compose.yaml names; its user is no root."""
    parses(json.loads(re.findall(r"^CMD (\[.*\])$", IMAGE, re.MULTILINE)[0]))
    assert probed(IMAGE) == (RouterSettings().port, "/health")
    assert f"EXPOSE {RouterSettings().port}\n" in IMAGE
    assert "USER 10001:10001\n" in IMAGE
    (vllm,) = re.findall(r"^ARG VLLM=docker\.io/(\S+)$", IMAGE, re.MULTILINE)
    assert f":-{vllm}}}" in SERVICES["vllm"]["image"]
