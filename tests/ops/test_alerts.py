"""The alert rules: each is whole, and fires where it should and nowhere else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_server import promtool

ALERTS = Path(__file__).parents[2] / "ops" / "deploy" / "alerts.yaml"
RULE_TESTS = Path(__file__).with_name("alerts.test.yaml")


def rules() -> list[dict[str, Any]]:
    """Return every rule of the file."""
    document = yaml.safe_load(ALERTS.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_prometheus_takes_the_rules() -> None:
    """Debian's promtool finds nothing wrong with them."""
    done = promtool("check", "rules", "--lint-fatal", str(ALERTS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_where_they_should() -> None:
    """Every alert fires for the bad one, not before its time, and not for the sound one beside it."""
    done = promtool("test", "rules", str(RULE_TESTS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """None is left out: each fires in one test, and in that or another one there is a sound case."""
    tests = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    names = {one["name"] for one in tests}
    for rule in rules():
        fires = next(one for one in tests if one["name"] == f"{rule['alert']} fires")
        quiet_before, fired = fires["promql_expr_test"]
        assert quiet_before["exp_samples"] == [], rule["alert"]
        assert rule["alert"] in fired["exp_samples"][0]["labels"]
        beside = json.dumps(fires["input_series"])
        assert "good" in beside or "settled" in beside or f"{rule['alert']} does not fire" in names


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """It has a severity, a sentence, what it means, and the heading of the runbook that is its own."""
    assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(
        f"/runbook{{{{ end }}}}#{rule['alert'].lower()}"
    )
    over_time = re.search(r"\b(increase|changes)\(", rule["expr"])
    assert "for" in rule or over_time, "a moment alone wakes nobody"
