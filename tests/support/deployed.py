"""Deployed: the files of `ops/deploy`, read as what runs them reads them."""

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from rlwd.daemon.cli import app
from rlwd.daemon.config import Config, load_config

DEPLOY = Path(__file__).parents[2] / "ops" / "deploy"
SECRETS_LINE = re.compile(r'"file:(/run/secrets/\S+)"')
PROBED = re.compile(r"http://127\.0\.0\.1:(\d+)(/\w+)'")


def documents(path: Path) -> list[dict[str, Any]]:
    """Return every document of a YAML file."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def compose_schema() -> dict[str, Any]:
    """Return the schema of the Compose specification."""
    package = importlib.resources.files("check_jsonschema")
    schema = package / "builtin_schemas" / "vendor" / "compose-spec.json"
    return dict(json.loads(schema.read_text()))


def load_with(config: str, given: dict[str, str], folder: Path) -> Config:
    """Load a config where these secrets, text by path, are given and no others."""
    for path, text in given.items():
        (folder / Path(path).name).write_text(text)
    file = folder / "rlwd.toml"
    file.write_text(SECRETS_LINE.sub(lambda it: f'"file:{folder / Path(it[1]).name}"', config))
    return load_config(file)


def read_secrets(process: str, config: Config) -> None:
    """Read what a gateway, a router, or a daemon reads of a config's secrets when it starts."""
    if process == "gateway":
        config.with_secrets("gateway")
    elif process == "router":
        config.with_secrets("engine")
    else:
        config.with_secrets("http", "engine")
        assert str(config.state_database).startswith("postgresql://")


def needs_exactly(process: str, config: str, given: set[str], folder: Path) -> None:
    """Assert that a process starts with the secrets at these paths, and without none of them."""
    text = "postgresql://rlwd:" + "x" * 32
    loaded = load_with(config, dict.fromkeys(given, text), folder)
    read_secrets(process, loaded)
    for path in given:
        (folder / Path(path).name).unlink()
        with pytest.raises(ValueError, match=Path(path).name):
            read_secrets(process, loaded)
        (folder / Path(path).name).write_text(text)


def parses(arguments: list[str]) -> None:
    """Raise where these are no arguments of `rlwd`; nothing is run."""
    command = typer.main.get_command(app)
    with command.make_context("rlwd", arguments[:1], resilient_parsing=True):
        found = command.get_command(None, arguments[0])  # type: ignore[attr-defined]
    assert found is not None, arguments
    found.make_context(arguments[0], arguments[1:])


def probed(text: str) -> tuple[int, str]:
    """Return port and path that a health check in Python asks for."""
    (found,) = PROBED.findall(text)
    return int(found[0]), found[1]


def flags(arguments: list[str]) -> dict[str, str]:
    """Return the options of a command line, `--name=value`, by name."""
    pairs = (one.removeprefix("--").partition("=") for one in arguments if one.startswith("--"))
    return {name: value for name, _, value in pairs}
