"""`rlwd triage` from records on the log to issues at a tracker: by hand, by the daemon's timer, and killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from forked import ForkServer
from issue_tracker import IssueTracker
from lone_daemon import LoneDaemon
from triage_weeks import DAY, MINE, NEW, OLD, join_weeks, write_config, write_weeks
from waiting import until

from rlwd.daemon.config import load_config
from rlwd.daemon.store import state_store
from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.drift_look import BehaviourLook, DriftLook
from rlwd.ops.problem_groups.days import last_monday, named_day
from rlwd.ops.servers.process import LOOPBACK
from rlwd.streams.state.file_lock import lock_file

MONDAY = last_monday(int(time.time() // DAY))
"""End of the last week that is over."""
LAST_WEEK = ("--since", named_day(MONDAY - 7), "--until", named_day(MONDAY))
WEEKLY = 'every = "week"\nwebhook = "$TRIAGE_URL"\ntoken = "$TRIAGE_TOKEN"\nretries = 0\n'


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that has taken in three weeks."""
    folder = tmp_path_factory.mktemp("weeks")
    join_weeks(write_weeks(folder, MONDAY))
    return folder


@pytest.fixture
def folder(weeks: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(weeks, tmp_path / "weeks"))


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Iterator[IssueTracker]:
    """A tracker, whose address and token stand in the environment."""
    with IssueTracker().serving() as tracker:
        monkeypatch.setenv("TRIAGE_URL", tracker.url)
        monkeypatch.setenv("TRIAGE_TOKEN", "secret")
        yield tracker


class Triage(Protocol):
    """Runs the command to its end."""

    def __call__(
        self, folder: Path, *options: str, expect: int = 0
    ) -> subprocess.CompletedProcess[str]: ...


def by_hand(folder: Path, *options: str) -> str:
    """Run the command as an operator does; return what it printed."""
    ended = started(folder, *options)
    out, err = ended.communicate(timeout=300)
    assert ended.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    """What the command imports, imported once."""
    needs = ("rlwd.daemon.cli", "rlwd.daemon.store", "rlwd.daemon.triage.triage_command")
    with ForkServer(*needs) as server:
        yield server


@pytest.fixture
def triage(forks: ForkServer) -> Triage:
    """The command in processes that are forked, as it imports for longer than it works."""

    def run(folder: Path, *options: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        told = ("triage", "-c", str(folder / "rlwd.toml"), *options)
        status, out, err = forks.run("rlwd.daemon", *told, seconds=300.0)
        assert status == expect, err
        return subprocess.CompletedProcess(told, status, out, err)

    return run


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rlwd.daemon", "triage", "-c", str(folder / "rlwd.toml")]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *options], stdout=pipe, stderr=pipe, text=True)


def look_at(folder: Path, version: str, at: float) -> None:
    """Write down what the drift watch saw of a version."""
    asks = BehaviourLook(
        name="asks", rate=0.6, reference=0.1, low=0.3, high=0.7, users=80, bar=0.1, passed=True
    )
    seen = DriftLook(
        version=version,
        against=OLD,
        at=at,
        answers=80,
        reward=0.7,
        reference_reward=0.6,
        behaviours=(asks,),
    )
    store = state_store(load_config(folder / "rlwd.toml"))
    with store.transaction() as tx:
        alarms_table.save_look(tx, "policy", seen)
    store.close()


def test_what_is_new_what_spikes_and_which_version_explains_it(folder: Path) -> None:
    """Tools, logs and answers are grouped, held against the weeks before, and shown by answers' ids alone; beside
    them what the drift watch last saw of the versions that answered, though it looked again since."""
    look_at(folder, NEW, MONDAY * DAY + 3500.0)
    look_at(folder, "policy@v000003-cccccccc", MONDAY * DAY + 3500.0)
    report = json.loads(by_hand(folder, *LAST_WEEK, "--json"))
    groups = {one["group"]["name"]: one for one in report["groups"]}
    mail = groups["mail fails as provider error"]
    assert (mail["state"], mail["hits"], mail["trials"]) == ("new", 30, 70)
    search = groups["search fails as invalid arguments"]
    assert search["state"] == "spiking"
    assert [one["version"] for one in search["versions"] if one["explains"]] == [NEW]
    blamed = search["versions"][0]
    assert blamed["of_people"] == blamed["against_of_people"] == 22
    assert blamed["against"] == f"{OLD}, on the same days"
    assert {int(name.partition(".")[2]) % 2 for name in search["evidence"]} == {1}
    full = groups["daemon error spool_full: slot # of <words> is full"]
    assert (full["state"], full["hits"], full["trials"]) == ("new", 7, 7 * 144)
    assert full["evidence"] == [f"g{day}.3" for day in range(MONDAY - 1, MONDAY - 6, -1)]
    assert groups["daemon warning engine_away: <url>"]["state"] == "steady"
    assert groups["undone in default"]["state"] == "steady"
    assert {one["version"] for one in report["behaviour"]} == {OLD, NEW}
    seen = [(one["version"], one["behaviour"], one["passed"]) for one in report["drift"]]
    assert seen == [(NEW, "asks", True)]
    page = by_hand(folder, *LAST_WEEK)
    assert f"| {named_day(MONDAY)} |" in page.partition("## Drift")[2]
    assert "### `search fails as invalid arguments`" in page
    assert f"It comes with `{NEW}`." in page
    assert MINE not in page + json.dumps(report)


def test_the_same_weeks_give_the_same_bytes(folder: Path, tmp_path: Path, triage: Triage) -> None:
    """Read again, and from a state that took the same records in anew."""
    first = [triage(folder, *LAST_WEEK, *how).stdout for how in ((), ("--json",))]
    again = tmp_path / "again"
    again.mkdir()
    join_weeks(write_weeks(again, MONDAY))
    # Started anew, they hash otherwise than what was forked.
    second = [by_hand(again, *LAST_WEEK, *how) for how in ((), ("--json",))]
    assert [one.replace(str(again), str(folder)) for one in second] == first
    assert triage(folder, *LAST_WEEK).stdout == first[0]


def test_the_last_seven_days_hold_what_was_refused_today(
    folder: Path, tmp_path: Path, triage: Triage
) -> None:
    """Without days the report ends now; into a folder it is written as Markdown and as JSON."""
    into = tmp_path / "reports"
    told = triage(folder, "--folder", str(into)).stdout.splitlines()
    assert [Path(one).suffix for one in told] == [".md", ".json"]
    page = Path(told[0]).read_text()
    assert "rlwd.feedback: " in page
    assert MINE not in page
    assert "'2026' is no day" in triage(folder, "--since", "2026", expect=2).stderr


def test_a_killed_post_is_no_second_issue(
    folder: Path, tracker: IssueTracker, triage: Triage
) -> None:
    """Killed between the tracker's opening of an issue and its note, the next run posts the same bytes
    under the same key; what is told is not told again, nor is the week looked at again."""
    write_config(folder, WEEKLY)
    first = started(folder, "--if-due")
    tracker.before_answer = lambda: os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=300)
    assert (first.returncode, len(tracker.posts)) == (-signal.SIGKILL, 1)
    tracker.before_answer = lambda: None
    said = triage(folder, "--if-due").stderr
    assert "issues told" in said
    headers, raw = tracker.posts[0]
    assert headers["Authorization"] == "Bearer secret"
    assert (headers["Idempotency-Key"], raw) in {
        (again["Idempotency-Key"], body) for again, body in tracker.posts[1:]
    }
    assert len(tracker.posts) == len(tracker.issues) + 1
    titles = {one["title"] for one in tracker.issues.values()}
    assert "policy: spiking: search fails as invalid arguments" in titles
    assert "policy: new: mail fails as provider error" in titles
    for one in tracker.issues.values():
        assert one["fingerprint"] in one["body"]
        assert {"rlwd", "triage", one["state"]} <= set(one["labels"])
        assert MINE not in json.dumps(one)
    assert triage(folder, "--if-due").stderr == "triage is not due\n"
    assert len(tracker.posts) == len(tracker.issues) + 1


def test_one_that_is_at_it_is_not_waited_for(
    folder: Path, tracker: IssueTracker, triage: Triage
) -> None:
    """Whoever types it meanwhile is told so, with the process, and nothing is filed or posted twice."""
    write_config(folder, WEEKLY)
    (folder / "state" / "triage").mkdir()
    held = lock_file(folder / "state" / "triage" / "lock")
    said = triage(folder, "--if-due").stderr
    assert said.startswith(f"process {os.getpid()} does it already")
    assert (len(tracker.posts), [*(folder / "state" / "triage").glob("*.md")]) == (0, [])
    os.close(held)


def test_a_daemon_looks_at_the_week_once(
    folder: Path, tracker: IssueTracker, weeks: Path, tmp_path: Path
) -> None:
    """From records on the log alone: its timer files the week and tells the tracker, says so where the tracker
    refuses, and a restart neither repeats the week nor tells it again."""
    new = tmp_path / "new"
    (new / "state").mkdir(parents=True)
    shutil.copytree(weeks / "logs", new / "logs")
    for file in (weeks / "state").glob("log.db*"):
        shutil.copy(file, new / "state")
    write_config(new, WEEKLY)
    tracker.statuses = [404]
    with LoneDaemon(new / "rlwd.toml") as daemon:
        until(lambda: tracker.issues, 240.0, told=daemon.tail)
        until(lambda: "404" in str(daemon.ask("readyz")), 120.0, told=daemon.tail)
        shown = httpx.get(f"http://{LOOPBACK}:{daemon.port}/triage", trust_env=False, timeout=30.0)
    assert "search fails as invalid arguments" in shown.text
    (page,) = (new / "state" / "triage").glob("*.md")
    assert page.name == f"triage-{named_day(MONDAY - 7)}.md"
    assert "search fails as invalid arguments" in page.read_text()
    posts, made = len(tracker.posts), page.stat().st_mtime_ns
    assert posts == len(tracker.issues) + 1
    with LoneDaemon(new / "rlwd.toml") as daemon:
        until(lambda: "404" in str(daemon.ask("readyz")), 120.0, told=daemon.tail)
    assert (len(tracker.posts), page.stat().st_mtime_ns) == (posts, made)
