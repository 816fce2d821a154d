"""API tables: the parts of docs/public_api.md that are written from the code.

Run `PYTHONPATH=tests/support .venv/bin/python -m api_tables` after a change of a command, an option
or a metric; it writes docs/settings.md and the tables of docs/rewards.md too.
"""

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

import typer
from aiohttp import web
from prometheus_client import CollectorRegistry
from reward_tables import PAGE as REWARDS_PAGE
from reward_tables import with_reward_tables
from settings_page import write_pages

from rlwd.daemon.cli import app
from rlwd.daemon.gateway.app import build_app
from rlwd.daemon.gateway.context import CONTEXT
from rlwd.daemon.gateway.settings import GatewaySettings
from rlwd.daemon.status.metrics import Metrics
from rlwd.streams.log.embedded_log import EmbeddedSink

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


def metric_rows() -> list[str]:
    """Return one row for each metric of both servers."""
    return [
        "| server | name | what |",
        "| --- | --- | --- |",
        *_rows("daemon", Metrics().registry),
        *_rows("gateway", gateway_registry()),
    ]


def _rows(server: str, registry: CollectorRegistry) -> list[str]:
    return [
        f"| {server} | `{name}` | {what.rstrip('.')} |"
        for name, what in sorted(
            (one.name + ("_total" if one.type == "counter" else ""), one.documentation)
            for one in registry.collect()
        )
    ]


def gateway_registry() -> CollectorRegistry:
    """Return what a gateway that has just started shows."""

    async def started() -> CollectorRegistry:
        with tempfile.TemporaryDirectory() as folder:
            gateway = build_app(
                GatewaySettings(flags=f"{folder}/flags.json", spool=f"{folder}/spool"),
                lambda: EmbeddedSink(Path(folder) / "log.db"),
            )
            runner = web.AppRunner(gateway)
            await runner.setup()
            try:
                return gateway[CONTEXT].metrics.registry
            finally:
                await runner.cleanup()

    return asyncio.run(started())


def with_tables(page: str) -> str:
    """Return the page with its tables written anew."""
    for name, rows in (("commands", command_rows()), ("metrics", metric_rows())):
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
    REWARDS_PAGE.write_text(with_reward_tables(REWARDS_PAGE.read_text()))
    print(f"{PAGE}\n{REWARDS_PAGE}")
