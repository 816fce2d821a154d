"""Reward tables: the parts of docs/rewards.md that are written from the registry of parts and costs.

Run `PYTHONPATH=tests/support .venv/bin/python -m reward_tables` after a change of a part or a cost.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlwd.daemon.init.setting_notes import toml_value, type_name
from rlwd.rewards.spec.registry import COSTS, PARTS, option_fields

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"


def registry_rows(noun: str, registry: Mapping[str, Callable[..., Any]]) -> list[str]:
    """Return one row for each function: what it returns, and its options with their defaults."""
    rows = [f"| {noun} | what it says | options |", "| --- | --- | --- |"]
    for name, function in registry.items():
        told = (inspect.getdoc(function) or "").split("\n\n")[0]
        said = " ".join(told.split()).removeprefix("Return ")
        options = [
            f"`{option}` ({type_name(kind)}; {_default(default)})"
            for option, (kind, default) in option_fields(function).items()
        ]
        rows.append(f"| `{name}` | {said[:1].upper()}{said[1:]} | {', '.join(options) or '-'} |")
    return rows


def _default(value: Any) -> str:
    return "left out" if value is None else toml_value(value)


def with_reward_tables(page: str) -> str:
    """Return the page with its tables written anew."""
    for name, rows in (
        ("parts", registry_rows("part", PARTS)),
        ("costs", registry_rows("cost", COSTS)),
    ):
        before, first, rest = page.partition(f"<!-- {name} -->")
        _, last, after = rest.partition(f"<!-- /{name} -->")
        assert first, f"{PAGE}: no place for {name}"
        assert last, f"{PAGE}: {name} does not end"
        page = before + "\n".join([first, *rows, last]) + after
    return page


if __name__ == "__main__":
    PAGE.write_text(with_reward_tables(PAGE.read_text()))
    print(PAGE)
