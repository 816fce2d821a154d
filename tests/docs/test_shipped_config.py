"""The commented config that ships is one that starts, and what it shows are the defaults."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from rlwd.daemon.config import Config, load_config

SHIPPED = Path(__file__).parents[2] / "ops" / "deploy" / "rlwd.toml"
OWN = {"state", "stream.kafka.group_instance_id", "learner.model"}
"""What a deployment has to decide for itself."""


def leaves(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


def test_what_is_shown_are_the_defaults() -> None:
    """Who copies the file and changes nothing but their own names has the production defaults."""
    default = dict(
        leaves(msgspec.to_builtins(msgspec.convert({"learner": {"model": "m"}}, Config)))
    )
    shown = dict(leaves(tomllib.loads(SHIPPED.read_text())))
    other = {
        key: (value, default.get(key))
        for key, value in shown.items()
        if key not in OWN and value != _plain(default.get(key))
    }
    assert other == {}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_it_is_a_config() -> None:
    """It loads as it is shipped."""
    assert load_config(SHIPPED).policy == "policy"
