"""The page of metrics is what daemon and gateway show, and they show it by Prometheus' conventions."""

import re
from pathlib import Path

import pytest
from metrics_page import (
    PAGE,
    MetricRow,
    daemon_registry,
    gateway_registry,
    rows_by_server,
    with_metrics,
)
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_server import promtool

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(
    r"\b(?:rlwd|process)_[a-z_]+(?:_total|_seconds|_bytes|_info)\b"
    r"|\brlwd_(?:gateway|log|problem|recent|rollout)_[a-z_]+"
)
SUFFIXES = ("_bucket", "_count", "_sum")
LABELS = {
    *("acting_on", "by", "client", "direction", "end", "engine", "factor", "fate", "field"),
    *("finish", "folder", "kind", "level", "name", "outcome", "partition", "reason", "route"),
    *("stage", "state", "status", "topic", "variant", "verdict", "version", "what", "why"),
    *("generation", "implementation", "major", "minor", "patchlevel"),
}
"""Each has few values: what is of a user, a session or an answer is none."""


def test_the_page_is_what_the_code_shows() -> None:
    """Every metric stands on it with type, labels and meaning; `make docs` writes it."""
    assert PAGE.read_text() == with_metrics(PAGE.read_text()), "run `make docs`"


@pytest.mark.parametrize("registry", [daemon_registry, gateway_registry])
def test_promtool_has_no_objection(registry: type[CollectorRegistry]) -> None:
    """Debian's promtool finds names, types, units and help in order."""
    done = promtool("check", "metrics", stdin=generate_latest(registry()).decode())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_metric_says_what_it_is() -> None:
    """None is described by its own name, and none has a label that could grow without end."""
    for rows in rows_by_server().values():
        assert len(rows) > 20
        for row in rows:
            assert not set(row.said.lower().split()) <= set(row.name.split("_")), row.name
            assert set(row.labels) <= LABELS, row.name


def known(rows: dict[str, list[MetricRow]]) -> set[str]:
    """Return the names of all metrics, a histogram's three too."""
    names = {row for each in rows.values() for row in each}
    parts = {row.name + suffix for row in names for suffix in SUFFIXES if row.kind == "histogram"}
    return {row.name for row in names} | parts


def test_pages_name_only_metrics_that_there_are() -> None:
    """Alerts and documentation ask for no series that nobody shows."""
    engines = {"rlwd_engine_requests_running", "rlwd_engine_requests_total"}
    names = known(rows_by_server()) | engines | {"rlwd_router_server_info"}
    texts = [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "ops" / "deploy" / "alerts.yaml"]
    asked = {(path.name, name) for path in texts for name in _NAMED.findall(path.read_text())}
    assert sorted((path, name) for path, name in asked if name not in names) == []
