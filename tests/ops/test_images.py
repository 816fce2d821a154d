"""The images: what their Containerfile says, and one that is built of it where a builder is.

Nothing is pulled: the base is what debootstrap made. It takes minutes and installs from the index, so
it runs where RLWD_IMAGES=1 asks for it (`make images`).
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from deployed import DEPLOY, documents, parses, probed
from systemd_machine import debian

from rlwd.daemon.gateway.settings import GatewaySettings
from rlwd.daemon.sections import HttpSettings

ROOT = DEPLOY.parents[1]
RUN = ROOT / "tests" / "support" / "image_run.sh"
FILE = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
TARGETS = {"gateway": GatewaySettings().port, "learner": HttpSettings().port}
CONFIG = 'state = "/var/lib/rlwd"\n[learner]\nmodel = "/models/base"\n'
LIVES = """
rlwd gateway --config /etc/rlwd/rlwd.toml 2> /tmp/log & gateway=$!
until CHECK 2> /tmp/check; do kill -0 $gateway || exit 9; sleep 0.2; done
id -u; touch /x 2> /tmp/touch || echo read-only; command -v gcc make pip
python -c "import torch" 2> /tmp/torch || echo no torch
kill -TERM $gateway; wait $gateway; echo ended $?
"""


def stage(name: str) -> str:
    """The lines of one stage."""
    (found,) = re.findall(
        rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", FILE, re.MULTILINE | re.DOTALL
    )
    return str(found)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_started_and_watched_as_it_can_be(target: str) -> None:
    """Its command is rlwd's, its check asks for the page and port of the defaults, its user is no root."""
    lines = stage(target)
    parses(json.loads(re.findall(r"^CMD (\[.*\])$", lines, re.MULTILINE)[0]))
    assert probed(lines) == (TARGETS[target], "/livez")
    assert f"EXPOSE {TARGETS[target]}\n" in lines
    assert "USER 10001:10001\n" in lines
    assert '"10001:10001"' in (DEPLOY / "compose" / "compose.yaml").read_text()


def test_only_the_learner_has_torch_and_a_compiler() -> None:
    """The base is an argument in every stage that has one, and what builds stays behind."""
    assert set(re.findall(r"^FROM (\S+)", FILE, re.MULTILINE)) == {"${BASE}", "source", "bare"}
    assert "learner" in stage("built-learner")
    assert "learner" not in stage("built-gateway")
    assert "gcc" not in stage("gateway") + stage("bare")
    for built in ("built-gateway", "built-learner"):
        assert "--constraint constraints.txt" in stage(built)
        assert "pip uninstall --yes pip" in stage(built)


def test_a_release_names_every_image(tmp_path: Path) -> None:
    """With stand-ins for builder and skopeo: the base goes in by digest, and `.env` pins all of compose's."""
    source = tmp_path / "src"
    shutil.copytree(DEPLOY, source / "ops" / "deploy")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "skopeo").write_text("#!/bin/sh\necho sha256:$(printf %064d 7)\n")
    (tools / "podman").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    command = ["sh", "ops/deploy/release_images.sh", "registry.example.com/team", "1.2"]
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    said = subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=True
    )
    pins = dict(
        line.split("=", 1) for line in (source / "ops/deploy/compose/.env").read_text().splitlines()
    )
    services = documents(DEPLOY / "compose" / "compose.yaml")[0]["services"].values()
    assert pins.keys() == {re.findall(r"\$\{(\w+)", one["image"])[0] for one in services}
    digest = "sha256:" + "7".zfill(64)
    assert all(pin.endswith(f"@{digest}") for pin in pins.values())
    assert pins["RLWD_LEARNER_IMAGE"] == f"registry.example.com/team/rlwd-learner:1.2@{digest}"
    asked = (tmp_path / "asked").read_text()
    assert asked.count(f"BASE=docker.io/library/python:3.11-slim-bookworm@{digest}") == 2
    assert f"rlwd-gateway=registry.example.com/team/rlwd-gateway@{digest}" in said.stdout
    # What the operator wrote there is the operator's: the model's folder, the GPUs.
    compose = source / "ops/deploy/compose/.env"
    compose.write_text(
        "RLWD_MODEL=/m\nLEARNER_GPU=1\n" + compose.read_text().replace("1.2@", "1.1@")
    )
    subprocess.run(command, cwd=source, env=environment, capture_output=True, check=True)
    lines = compose.read_text().splitlines()
    assert lines[:2] == ["RLWD_MODEL=/m", "LEARNER_GPU=1"]
    assert dict(line.split("=", 1) for line in lines[2:]) == pins
    # vLLM's image is fetched by nobody who did not ask for a router's.
    assert "router" not in (tmp_path / "asked").read_text()
    wanted = {**environment, "ROUTER": "yes"}
    subprocess.run(command, cwd=source, env=wanted, capture_output=True, check=True)
    assert f"VLLM=docker.io/vllm/vllm-openai:v0.32.0@{digest}" in (tmp_path / "asked").read_text()
    pin = f"RLWD_ROUTER_IMAGE=registry.example.com/team/rlwd-router:1.2@{digest}"
    assert pin in compose.read_text().splitlines()


def built_from(path: str) -> bool:
    """Whether the builder is given a file: the last line of .dockerignore that matches it decides."""
    given, parts = True, Path(path).parts
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern = Path(line.removeprefix("!")).parts
        above = parts[: len(pattern)]
        if len(above) == len(pattern) and all(map(fnmatch, above, pattern)):
            given = line.startswith("!")
    return given


def test_the_builder_is_given_what_is_installed_and_no_secret() -> None:
    """What a link of the package leads to is there, or the image's pages fail; no key is in a layer."""
    folders = ("streams", "rewards", "learner", "kernels", "ops", "daemon")
    links = [one for name in folders for one in (ROOT / name).rglob("*") if one.is_symlink()]
    assert links
    for link in links:
        assert built_from(str(link.resolve(strict=True).relative_to(ROOT))), link
    compose = "ops/deploy/compose"
    for kept in (
        "secrets/user-key",
        f"{compose}/secrets/user_key",
        f"{compose}/.env.before",
        ".git",
    ):
        assert not built_from(kept), kept
    assert not built_from("docs/install.md")


def podman(*arguments: str) -> str:
    done = subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture
def gateway_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The gateway's image on a base that debootstrap made, in a store of this test's own."""
    if os.environ.get("RLWD_IMAGES") != "1":
        pytest.skip("takes minutes: RLWD_IMAGES=1 runs it")
    if shutil.which("podman") is None:
        pytest.skip("podman is not here")
    base = debian(ask="RLWD_IMAGES")
    store = tmp_path / "storage.conf"
    lines = ('driver = "overlay"', f'graphroot = "{tmp_path}/store"', f'runroot = "{tmp_path}/run"')
    store.write_text("\n".join(("[storage]", *lines, "")))
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(store))
    monkeypatch.setenv("BUILDAH_FORMAT", "docker")
    archive = tmp_path / "base.tar"
    subprocess.run(
        ["tar", "-C", str(base), "--exclude=./done", "-cf", str(archive), "."], check=True
    )
    podman("import", str(archive), "localhost/base:12")
    archive.unlink()
    # What this machine's own pip goes by.
    pip = [f"--env={key}={value}" for key, value in os.environ.items() if key.startswith("PIP_")]
    podman(
        *("build", "--isolation", "chroot", "--network", "host", *pip),
        *("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--build-arg", "BASE=localhost/base:12"),
        *("--file", str(DEPLOY / "Containerfile"), "--target", "gateway", "--tag", "gateway", "."),
    )
    yield "gateway"
    podman("image", "umount", "--all")
    podman("rmi", "--all", "--force")


@pytest.mark.timeout(1800)
def test_the_gateways_image_lives_with_a_read_only_root(gateway_image: str, tmp_path: Path) -> None:
    """Built and started as its user it answers its own health check, has no torch, no compiler and no pip,
    writes nothing beside its folders, and ends in order.
    """
    (tmp_path / "files").mkdir()
    (tmp_path / "rlwd.toml").write_text(CONFIG)
    check = shlex.join(
        json.loads(re.findall(r"CMD\s+(\[\"python.*\])$", stage("gateway"), re.MULTILINE)[0])
    )
    places = [podman("image", "mount", gateway_image), str(tmp_path / "files")]
    done = subprocess.run(
        [
            *("unshare", "--mount", "--pid", "--fork", "--net", "sh", str(RUN), *places),
            *(str(tmp_path / "rlwd.toml"), LIVES.replace("CHECK", check)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.split("\n")[:-1] == ["10001", "read-only", "no torch", "ended 0"], done
