"""What a repository owes: a licence, a way to report a weakness, hooks and CI that run what we run."""

import configparser
import hashlib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_licence_is_apaches_own_text() -> None:
    """LICENSE is the unmodified text of the licence that setup.cfg names."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["license"] == "Apache-2.0"
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_hosted_ci_runs_what_runs_everywhere() -> None:
    """The hosted file only prepares a machine and calls .ci/run, which is executable."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_hooks_run_the_environments_own_tools() -> None:
    """Every hook is local and calls a tool of the environment that `make check` uses."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    entries = [hook["entry"] for repository in hooks["repos"] for hook in repository["hooks"]]
    assert {entry.split()[0] for entry in entries} == {".venv/bin/ruff", ".venv/bin/mypy"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(tool in makefile for tool in ("$(BIN)/ruff check .", "$(BIN)/mypy tests"))


def test_the_changelog_has_versions() -> None:
    """The changelog names the version that setup.cfg ships, under what is not yet released."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    heads = [
        line.split()[1].strip("[]")
        for line in (ROOT / "CHANGELOG.md").read_text().splitlines()
        if line.startswith("## ")
    ]
    assert heads[0] == "Unreleased"
    assert config["metadata"]["version"] in heads
