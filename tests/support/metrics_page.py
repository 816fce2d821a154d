"""Metrics page: the tables of docs/metrics.md, written from what daemon and gateway show.

Run `PYTHONPATH=tests/support .venv/bin/python -m metrics_page` after a change of a metric.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry

from rlwd.daemon.gateway.app import build_app
from rlwd.daemon.gateway.context import CONTEXT
from rlwd.daemon.gateway.settings import GatewaySettings
from rlwd.daemon.status.metrics import Metrics
from rlwd.streams.log.embedded_log import EmbeddedSink

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
SERVERS = ("daemon", "gateway")


class MetricRow(NamedTuple):
    """One metric as the page describes it."""

    name: str
    """As Prometheus stores it; a histogram's without `_bucket`, `_sum` and `_count`."""
    kind: str
    """Counter, gauge or histogram."""
    labels: tuple[str, ...]
    """Names of its labels."""
    said: str
    """What it counts or measures."""


def daemon_registry() -> CollectorRegistry:
    """Return what a daemon that has just started shows."""
    return Metrics({"state": Path("/")}).registry


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


def metric_rows(registry: CollectorRegistry) -> list[MetricRow]:
    """Return every metric of a registry, by name."""
    rows = []
    for family in registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        # A metric of its own knows its labels; what is made for a page has them with it.
        owner = registry._names_to_collectors.get(name, family)
        labels: Sequence[str] = getattr(family, "_labelnames", ()) or getattr(
            owner, "_labelnames", ()
        )
        if not labels and family.samples:
            labels = [label for label in family.samples[0].labels if label != "le"]
        rows.append(MetricRow(name, family.type, tuple(labels), family.documentation.rstrip(".")))
    return sorted(rows)


def rows_by_server() -> dict[str, list[MetricRow]]:
    """Return the metrics of both servers."""
    return {"daemon": metric_rows(daemon_registry()), "gateway": metric_rows(gateway_registry())}


def with_metrics(page: str) -> str:
    """Return the page with its tables written anew."""
    for server, rows in rows_by_server().items():
        table = [
            f"<!-- {server} -->",
            "| name | type | labels | what |",
            "| --- | --- | --- | --- |",
            *(f"| `{row.name}` | {row.kind} | {_told(row.labels)} | {row.said} |" for row in rows),
            f"<!-- /{server} -->",
        ]
        before, first, rest = page.partition(f"<!-- {server} -->")
        _, last, after = rest.partition(f"<!-- /{server} -->")
        assert first, f"{PAGE}: no place for {server}"
        assert last, f"{PAGE}: {server} does not end"
        page = before + "\n".join(table) + after
    return page


def _told(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


if __name__ == "__main__":
    PAGE.write_text(with_metrics(PAGE.read_text()))
    print(PAGE)
