"""Tool anomalies from request to page: gateway, join, watch, /tools, doctor, /readyz."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest
from lone_daemon import LoneDaemon
from pages_by_hand import served
from rich.console import Console
from rollout_rig import RolloutRig
from state_rig import config_of, rig_on
from waiting import until

from rlwd.daemon.commands.status import print_status
from rlwd.daemon.config import Config
from rlwd.daemon.doctor.doctor_services import check_services
from rlwd.ops.servers.process import NO_TLS
from rlwd.ops.tool_errors.calls_table import BUCKET, CallCount, add_calls, move_read_until
from rlwd.ops.tool_errors.settings import ToolErrorSettings
from rlwd.ops.tool_errors.watch import ToolWatch

CALLS = 60


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A daemon's config, without engine or model."""
    return config_of(tmp_path, "")


@pytest.fixture
def rig(config: Config) -> Iterator[RolloutRig]:
    """Gateway and join on the daemon's own state."""
    with rig_on(config) as rig:
        yield rig


def test_from_requests_to_the_pages(rig: RolloutRig, config: Config, tmp_path: Path) -> None:
    """A tool that fails in ways that nobody has classified is named everywhere, with its answers."""
    names = [rig.ask(f"u{number}")[2] for number in range(CALLS)]
    for number, name in enumerate(names):
        rig.say(name, "tool_result", tool="search", error_class=None if number % 4 else "unknown")
    rig.settle(CALLS, CALLS)
    # The clock of a test does not wait for the grace.
    watch = ToolWatch(rig.store, "policy", ToolErrorSettings(), grace_seconds=-60.0)
    (fired,) = watch.look()
    assert set(fired.evidence) <= set(names[::4])
    assert len(fired.evidence) == 10
    told = {finding.what: finding.line for finding in check_services(config)}
    assert "15 of 60 calls of search failed as unknown" in told["release, tools"]
    with served(tmp_path, rig.store) as pages:
        text = pages.text("/tools")
    assert "15 of 60 calls of search failed as unknown (25.0%, the bar is 2.0%)" in text
    assert f'href="/answers/{fired.evidence[0]}"' in text
    assert "unknown 15" in text


def test_an_outage_is_said_with_what_it_excused(
    rig: RolloutRig, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`rlwd status`, the page and `rlwd doctor` name the tool, though its calls are too few for an anomaly, and the
    answers that were left out; a tool that works is not named, and before any call nothing is said."""
    print_status(config, as_json=True)
    assert orjson.loads(capsys.readouterr().out)["outages"]["say"] == []
    for number in range(6):
        name = rig.ask(f"u{number}")[2]
        tool, error = ("mail", "provider_error") if number < 4 else ("search", None)
        rig.say(name, "tool_result", tool=tool, error_class=error)
        rig.say(name, "rejected")
    rig.settle(6, 12)
    assert not ToolWatch(rig.store, "policy", config.tool_errors, grace_seconds=-60.0).look()
    version = rig.versions[0].version
    said = [
        "mail is out of order: 4 of its last 4 calls failed",
        f"outages excused 4 of 6 answers of the last day: {version} 4 of 6",
    ]
    print_status(config, as_json=True)
    told = orjson.loads(capsys.readouterr().out)["outages"]
    assert (told["say"], told["excused"]) == (said, 4)
    print_status(config, as_json=False, console=Console(width=200))
    page = capsys.readouterr().out
    assert all(line in page for line in said)
    found = [one for one in check_services(config) if one.what == "outages"]
    assert [one.seen for one in found] == said
    assert found[0].remedy
    with served(tmp_path, rig.store) as pages:
        text = pages.text("/tools")
    assert "Answers that outages excused, last day" in text
    row = re.findall(r">([^<]+)(?:</a>)?</td>", text.partition("Answers that outages excused")[2])
    assert row[:3] == [version, "4", "6"]
    assert row[3].startswith("66.7")


DAY = 86_400.0
Came = tuple[str, str | None, int, float]
"""Calls of a tool: its name, how they ended, how many, how many seconds ago."""


@pytest.mark.parametrize(
    ("came", "settings", "said"),
    [
        (
            [("search", "unknown", CALLS, 120.0)],
            "",
            [f"{CALLS} of {CALLS} calls of search failed as unknown"],
        ),
        (
            [
                ("search", "unknown", 20, 5400.0),
                ("mail", None, 20, 10 * DAY),
                ("mail", "provider_error", 20, 5400.0),
            ],
            "[tool_errors]\nleast_calls = 20\nwindow_seconds = 7200\nbaseline_days = 14\n",
            [
                "20 of 20 calls of search failed as unknown",
                "failed as provider error (100.0%, before it was",
            ],
        ),
    ],
)
def test_a_daemon_looks_by_itself(
    rig: RolloutRig,
    config: Config,
    tmp_path: Path,
    came: list[Came],
    settings: str,
    said: list[str],
) -> None:
    """What is in the tables is counted by a daemon's own timer, and /readyz says what is wrong.

    From how many calls on, over which time and against which past, the config says: the second case's
    calls are too few, too long ago, and against a past too long ago, for what is built in.
    """
    path = tmp_path / "rlwd.toml"
    path.write_text(path.read_text() + settings)
    asked = list[tuple[str, float]]()
    for tool, error, calls, ago in came:
        for number in range(calls):
            name = rig.ask(f"u{number}")[2]
            rig.say(name, "tool_result", tool=tool, error_class=error)
            asked.append((name, ago))
    rig.settle(len(asked), len(asked))
    with rig.store.transaction() as tx:
        # As if it had come a while ago: the daemon waits for what may still be posted.
        tx.executemany(
            "UPDATE feedback SET received = received - ?, taken = taken - ?"
            " WHERE generation_id = ?",
            [(ago, ago, name) for name, ago in asked],
        )
    rig.store.close()
    with LoneDaemon(tmp_path / "rlwd.toml") as daemon:
        until(
            lambda: all(
                one
                in str(httpx.get(f"http://127.0.0.1:{daemon.port}/readyz", verify=NO_TLS).json())
                for one in said
            ),
            90.0,
        )


def test_before_any_call_the_page_says_so(config: Config, rig: RolloutRig, tmp_path: Path) -> None:
    """An empty state is a page too."""
    with served(tmp_path, rig.store) as pages:
        text = pages.text("/tools")
    assert "No call of a tool has come back yet" in text


def test_calls_of_no_version_count_once_and_made_up_names_do_not_fill_the_page(
    config: Config, rig: RolloutRig, tmp_path: Path
) -> None:
    """What the product does not say is a row of its own; of ten thousand names the most called are shown."""
    began = 3_000_000 * BUCKET
    counts = [
        CallCount(began, "search", "", "", 30),
        CallCount(began, "search", "", "timeout", 10),
        *[
            CallCount(began, f"<b>made up {n}</b>", "v", "invalid_arguments", 1)
            for n in range(5000)
        ],
    ]
    with rig.store.transaction() as tx:
        add_calls(tx, "policy", counts)
        move_read_until(tx, "policy", began + 60.0)
    with served(tmp_path, rig.store) as pages:
        text = pages.text("/tools")
    assert 'data-label="Calls" class="num">40<' in text
    assert "<b>made up" not in text
    assert "not said" in text
    assert "And 4,901 more that were called less often" in text
