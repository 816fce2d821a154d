"""docs/runbook.md has every alert and every problem by name, each with cause, check and cure."""

import ast
import re
from pathlib import Path
from typing import Any

import typer
import yaml

from rlwd.daemon.cli import app
from rlwd.ops.rollout.problems import PROBLEMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "runbook.md").read_text()
ALERTS = ROOT / "ops" / "deploy" / "alerts.yaml"
LOOPS = (
    "daemon/control/loop.py",
    "daemon/control/control_loop.py",
    "daemon/control/ingest_loop.py",
)


def entries() -> dict[str, str]:
    """Return each alert's heading with what stands under it."""
    parts = re.split(r"^#{2,3} (.+)$", PAGE, flags=re.MULTILINE)
    return {
        name: text
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
        if "Rlwd" in name or name.startswith("Problem")
    }


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def named_problems() -> set[str]:
    """Return the names that a daemon gives its problems, as its loops have them."""
    found = set(PROBLEMS)
    for path in LOOPS:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "problems":
                keys = [
                    key
                    for each in ast.walk(node)
                    if isinstance(each, ast.Dict)
                    for key in each.keys
                ]
                found |= {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return found


def test_every_alert_has_its_entry_and_leads_to_it() -> None:
    """No alert is without an entry, no entry without an alert, and the rule's link is the heading's."""
    names = [rule["alert"] for rule in alerts()]
    assert [name for name in entries() if "Rlwd" in name] == names
    for rule in alerts():
        assert rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}")


def test_every_problem_has_its_entry() -> None:
    """Each name that status can show is under one heading: that of its alert, or one of its own."""
    said = {
        problem: name
        for name, text in entries().items()
        for problem in re.findall(r"Problem `(\w+)`", f"{name}\n{text}")
    }
    assert set(said) == named_problems()
    asked = {
        problem: rule["alert"]
        for rule in alerts()
        for problem in re.findall(r'rlwd_problem\{name="(\w+)"\}', rule["expr"])
    }
    assert {problem: said[problem] for problem in asked} == asked


def test_every_entry_has_cause_check_and_cure() -> None:
    """In this order, and the check is something to type or a page to open."""
    for name, text in entries().items():
        parts = re.findall(r"^- \*\*(Cause|Check|Cure)\*\*: (.+)$", text, re.MULTILINE)
        assert [part for part, _ in parts] == ["Cause", "Check", "Cure"], name
        assert "`" in parts[1][1], name


def test_every_command_that_it_names_is_one() -> None:
    """No `rlwd` command is misspelt, and each option after it is known."""
    group: Any = typer.main.get_command(app)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
    spans += [line.partition("#")[0] for block in blocks for line in block.splitlines()]
    used = {
        (words[0], tuple(re.findall(r" (--[a-z-]+)", line)))
        for span in spans
        for line in re.findall(r"(?:^|; |sudo -u rlwd |/rlwd )rlwd ([a-z][^;|]*)", span)
        if (words := line.split())
    }
    assert len(used) > 15
    for name, options in used:
        assert name in group.commands, name
        known = {option for each in group.commands[name].params for option in each.opts}
        assert set(options) <= known, (name, options)
