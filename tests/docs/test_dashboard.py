"""The dashboard's file is what its module makes, and asks only for metrics that there are."""

import json
import re
from typing import Any

from dashboard import PAGE, dashboard_json, queries
from metrics_page import rows_by_server


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_the_file_is_what_the_module_makes() -> None:
    """Grafana imports what the SDK built; `make docs` writes it."""
    assert PAGE.read_text() == dashboard_json(), "run `make docs`"


def test_every_panel_says_what_to_look_for() -> None:
    """Each has a title of its own, a sentence and a unit, its own place and source."""
    shown = panels(json.loads(PAGE.read_text()))
    assert len({panel["title"] for panel in shown}) == len(shown) > 30
    assert len({panel["id"] for panel in shown}) == len(shown)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in shown]
    assert len(set(places)) == len(places)
    for panel in shown:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0


def test_it_shows_every_kind_of_metric() -> None:
    """Most of what daemon and gateway show is on it; what is not is in alerts or on the page alone."""
    document = json.loads(PAGE.read_text())
    asked = {name for _, expr in queries(document) for name in re.findall(r"\brlwd_[a-z_]+", expr)}
    names = {row.name for rows in rows_by_server().values() for row in rows}
    assert {re.sub("_bucket$", "", name) for name in asked} <= names
    assert len(asked) > 25
