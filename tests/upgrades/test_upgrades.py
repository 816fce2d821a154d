"""Every version opens, migrates and audits what earlier ones wrote: state folder and topic.

Each folder here is named after the version that made it; CONTRIBUTING.md says how one is added.
"""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pack_state import read_again
from waiting import until

from rlwd.daemon.config import Config, load_config
from rlwd.daemon.exit_status import FAULT, LATER
from rlwd.daemon.site.page_server import build_pages
from rlwd.daemon.store import existing_store
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port

VERSIONS = sorted(path.parent.name for path in Path(__file__).parent.glob("*/state.tar.xz"))


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """A version that left a state folder."""
    return str(request.param)


@pytest.fixture
def folder(version: str, tmp_path: Path) -> Path:
    """A copy of what that version wrote."""
    with tarfile.open(Path(__file__).parent / version / "state.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def config(folder: Path) -> Config:
    """The config file of that time: its keys are still known."""
    return load_config(folder / "rlwd.toml")


def rlwd(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line on a folder."""
    return subprocess.run(
        [sys.executable, "-m", "rlwd.daemon", *arguments, "--config", str(folder / "rlwd.toml")],
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_is_something_to_open() -> None:
    """The fixtures are here."""
    assert "0.1.0" in VERSIONS


def test_the_audit_closes(folder: Path) -> None:
    """The audit migrates the tables, and both identities hold."""
    done = rlwd(folder, "audit", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["closes"]
    fates = [fate for row in found["generations"] for fate in row["fates"]]
    assert "trained" in fates


def test_nothing_is_migrated_under_a_daemon(folder: Path, config: Config) -> None:
    """While a daemon of then lives, no command and no second daemon changes its tables: they say who it
    is, the daemon with the status of what is tried again. Once it has let go they do.
    """
    database = config.state_path / "rlwd.db"
    began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    lease = (socket.gethostname(), os.getpid(), began, time.time())
    with sqlite3.connect(database) as held:
        held.execute("UPDATE leases SET host = ?, pid = ?, started = ?, seen = ?", lease)
    before, path = columns_of(database), folder / "rlwd.toml"
    path.write_text(path.read_text().replace("bake_seconds = 1.0", "bake_seconds = 60.0"))
    for command, status in (("audit", FAULT), ("run", LATER)):
        done = rlwd(folder, command)
        assert done.returncode == status, done.stderr
        assert f"process {os.getpid()}" in done.stderr
        assert columns_of(database) == before
    with sqlite3.connect(database) as held:
        held.execute("UPDATE leases SET pid = 0, seen = 0")
    assert rlwd(folder, "audit").returncode == 0
    assert columns_of(database) != before


def test_the_pages_show_what_happened_then(config: Config) -> None:
    """A finished demo's rollouts are pages, though no look of that time was kept."""
    store, port = existing_store(config), free_port()
    server = build_pages(config, store, {}, port=port).server
    with store.reading() as view:
        known = [one.version for one in rollouts_table.history(view, config.policy)]
    server.start()
    with httpx.Client(
        base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=60, verify=NO_TLS
    ) as client:
        pages = [client.get(path) for path in ("/", *(f"/rollouts/{name}" for name in known))]
    server.stop()
    store.close()
    assert [page.status_code for page in pages] == [200] * (1 + len(known))
    assert known
    for name, page in zip(known, pages[1:], strict=True):
        assert name.rpartition("@")[2] in pages[0].text
        assert "Who decided, and why" in page.text


def test_status_and_explain_read_it(folder: Path, config: Config) -> None:
    """After a start, or a command that migrates, the pages say what happened then."""
    existing_store(config).close()
    done = rlwd(folder, "status", "--json")
    assert done.returncode == 0, done.stderr
    status: dict[str, Any] = json.loads(done.stdout)
    assert status["generations"] > 100
    assert status["versions"]
    with existing_store(config).reading() as view:
        (name,) = view.execute(
            "SELECT generation_id FROM episodes WHERE fate = 'trained' LIMIT 1"
        ).fetchone()
    told = rlwd(folder, "explain", name)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["fate"] == "trained"


def test_status_reads_it_before_it_is_migrated(folder: Path) -> None:
    """Asked first, it answers, or says in one line what makes it answer."""
    done = rlwd(folder, "status")
    assert done.returncode == 0 or "`rlwd run` migrates it" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_topic_gives_the_same_fates(version: str, config: Config, tmp_path: Path) -> None:
    """Read into a fresh state, every record of then has the stage, fate and reward of then."""
    expected = json.loads((Path(__file__).parent / version / "expected.json").read_text())
    found = json.loads(json.dumps(read_again(config, tmp_path)))
    assert found["refused"] == expected["refused"]
    assert found["episodes"] == expected["episodes"]


def test_learning_can_go_on(config: Config) -> None:
    """The newest checkpoint of then is whole, so that a learner starts from it."""
    from rlwd.learner.checkpoint.folder import newest_valid

    newest = newest_valid(config.state_path / "checkpoints")
    assert newest is not None
    assert newest.sequence > 0


RENAMED = {"reigns": "champions"}
"""Tables that are called something else since."""
DROPPED = {"migrations", "sqlite_sequence"}
"""Tables that are not the product's."""


def rows_of(database: Path, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
    """Return a table's rows, sorted."""
    view = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        found = view.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
    finally:
        view.close()
    return sorted(found, key=repr)


def columns_of(database: Path) -> dict[str, list[str]]:
    """Return the columns of each table of the product."""
    view = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        names = [
            row[0] for row in view.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {
            name: [row[1] for row in view.execute(f"PRAGMA table_info({name})")]
            for name in sorted(set(names) - DROPPED)
        }
    finally:
        view.close()


def test_migrating_loses_no_row(config: Config) -> None:
    """Every row of every table of then is there afterwards, with all that its columns said."""
    database = config.state_path / "rlwd.db"
    then = {
        table: (columns, rows_of(database, table, columns))
        for table, columns in columns_of(database).items()
    }
    existing_store(config).close()
    assert sum(len(rows) for _, rows in then.values()) > 1000
    for table, (columns, rows) in then.items():
        assert rows_of(database, RENAMED.get(table, table), columns) == rows, table


def test_the_flag_file_of_then_is_read(config: Config) -> None:
    """A gateway that is upgraded before its daemon serves what the older one's file names."""
    state = read_flags(config.state_path / "flags.json")
    assert state is not None
    assert state.champion.version.startswith("demo@v00000")


@pytest.mark.parametrize("flags", ["whole", "cut", "gone"])
def test_a_daemon_goes_on_from_it(folder: Path, flags: str) -> None:
    """`rlwd run` starts on the old state, and what it derives from it, the flag file, is made anew.

    No engine and no model is here: the tables alone say who is served.
    """
    path = folder / "state" / "flags.json"
    before = read_flags(path)
    assert before is not None
    if flags == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif flags == "gone":
        path.unlink()
    config = folder / "rlwd.toml"
    port = free_port()
    text = re.sub(r"(?<=\[http\]\nport = )\d+", str(port), config.read_text())
    text = re.sub(r'tracking_uri = ".*"', 'tracking_uri = ""', text)
    # 0.1.0 took a bake in which no answer could count; the message says what to change.
    config.write_text(text.replace("bake_seconds = 1.0", "bake_seconds = 60.0"))
    daemon = Server(
        [sys.executable, "-m", "rlwd.daemon", "run", "--config", str(config)],
        name="daemon",
        log=folder / "daemon.log",
        healthy=answers(f"http://{LOOPBACK}:{port}/livez"),
    )

    def served() -> str:
        try:
            state = read_flags(path)
        except ValueError:
            return ""
        return "" if state is None else state.champion.version

    with daemon:
        until(lambda: "control_takes_in" in daemon.log.read_text(), told=daemon.tail)
        until(lambda: served() == before.champion.version, told=daemon.tail)
    assert rlwd(folder, "audit").returncode == 0
