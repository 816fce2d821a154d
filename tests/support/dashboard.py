"""Dashboard: ops/deploy/dashboard.json for Grafana, made with Grafana's foundation SDK.

Run `PYTHONPATH=tests/support .venv/bin/python -m dashboard` after a change; `make docs` does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dashboard_loop import LOOP
from dashboard_panels import HOSTS, Shown
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

PAGE = Path(__file__).parents[2] / "ops" / "deploy" / "dashboard.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH, HEIGHT = 8, 7
"""Of a panel, in the grid's 24 columns and its rows."""


def dashboard_json() -> str:
    """Return the dashboard as Grafana imports it."""
    built = (
        dashboard.Dashboard("rlwd")
        .uid("rlwd")
        .description("A policy that learns in production (docs/metrics.md, docs/runbook.md).")
        .tags(["rlwd"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
    )
    number = 0
    for title, panels in (LOOP | HOSTS).items():
        number += 1
        built = built.with_row(dashboard.Row(title).id(number))
        for shown in panels:
            number += 1
            built = built.with_panel(_panel(shown).id(number))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _panel(shown: Shown) -> Any:
    panel: Any = _number() if shown.now else _curve()
    panel = (
        panel.title(shown.title)
        .description(shown.said)
        .unit(shown.unit)
        .datasource(SOURCE)
        .span(WIDTH)
        .height(HEIGHT)
    )
    for name, (legend, asked) in zip("ABCDEF", shown.queries.items(), strict=False):
        query = prometheus.Dataquery().expr(asked).legend_format(legend).ref_id(name)
        panel = panel.with_target(query.datasource(SOURCE))
    return panel


def _curve() -> timeseries.Panel:
    legend = VizLegendOptions().show_legend(True)
    legend = legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return timeseries.Panel().legend(legend).min(0)


def _number() -> stat.Panel:
    return stat.Panel().reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))


def queries(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every query of a dashboard's file, with the title of its panel."""
    for panel in document["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))
        yield from queries({"panels": panel.get("panels", ())})


if __name__ == "__main__":
    PAGE.write_text(dashboard_json())
    print(PAGE)
