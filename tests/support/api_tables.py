"""API tables: the parts of docs/public_api.md that are written from the code.

Run `PYTHONPATH=tests/support .venv/bin/python -m api_tables` after a change of a command, an option
or a metric; it writes docs/settings.md and the tables of docs/metrics.md and docs/rewards.md too.
"""

import re
from pathlib import Path
from typing import Any

import typer
from metrics_page import PAGE as METRICS_PAGE
from metrics_page import with_metrics
from reward_tables import PAGE as REWARDS_PAGE
from reward_tables import with_reward_tables
from settings_page import write_pages

from rlwd.daemon.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "public_api.md"


def command_rows() -> list[str]:
    """Return one row for each command, with every option and argument."""
    group: Any = typer.main.get_command(app)
    rows = ["| command | options and arguments |", "| --- | --- |"]
    for name, command in group.commands.items():
        told = [_told(parameter) for parameter in command.params if parameter.name != "help"]
        rows.append(f"| `rlwd {name}` | {', '.join(told) or _free(command)} |")
    return rows


def _told(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    names = "`, `".join(parameter.opts)
    return f"`{names}`" + (" (required)" if parameter.required else "")


def _free(command: Any) -> str:
    """Options of a command that parses its own, as its help names them."""
    found = re.findall(r"--[a-z-]+", command.help or "")
    return ", ".join(f"`{name}`" for name in found)


def with_tables(page: str) -> str:
    """Return the page with its tables written anew."""
    for name, rows in (("commands", command_rows()),):
        table = "\n".join([f"<!-- {name} -->", *rows, f"<!-- /{name} -->"])
        before, first, rest = page.partition(f"<!-- {name} -->")
        _, last, after = rest.partition(f"<!-- /{name} -->")
        assert first, f"{PAGE}: no place for {name}"
        assert last, f"{PAGE}: {name} does not end"
        page = before + table + after
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
    write_pages()
    METRICS_PAGE.write_text(with_metrics(METRICS_PAGE.read_text()))
    REWARDS_PAGE.write_text(with_reward_tables(REWARDS_PAGE.read_text()))
    print(f"{PAGE}\n{METRICS_PAGE}\n{REWARDS_PAGE}")
