"""What a specialist began with, by the tables of its parent: a version that was taken back, or made from one."""

import hashlib
from pathlib import Path

import msgspec
import pytest
from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import Ledger
from lone_daemon import LoneDaemon
from manifests_by_hand import manifest
from releases_by_hand import promote, register, version
from typer.testing import CliRunner
from waiting import until

from rlwd.daemon.began_with import BeganWith, began_with_any
from rlwd.daemon.cli import app
from rlwd.daemon.commands.status import status_document
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.control.parent_watch import ParentWatch
from rlwd.daemon.doctor.doctor_services import check_services
from rlwd.daemon.store import state_store
from rlwd.learner.candidate import Candidate, Manifest, version_name
from rlwd.learner.checkpoint.folder import MANIFEST_FILES, checkpoint_path
from rlwd.learner.ledger.checkpoints_table import record_checkpoints
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.servers.process import free_port

PARENT = """\
state = "."
[learner]
model = "base"
[engine]
adapters = 12
[gateway]
user_key = "key"
[specialists.acme]
tenants = ["acme"]
"""
OWN = 'policy = "acme"\nparent = "rlwd.toml"\n[http]\nport = {port}\n'


def write(checkpoints: Path, made: Manifest) -> None:
    """Write a checkpoint's manifest as a learner would."""
    place = checkpoint_path(checkpoints, made.sequence)
    place.mkdir(parents=True, exist_ok=True)
    raw = msgspec.json.encode(made)
    (place / MANIFEST_FILES[0]).write_bytes(raw)
    (place / MANIFEST_FILES[1]).write_text(hashlib.sha256(raw).hexdigest())


class Parent:
    """A parent that promoted two versions one after the other, and a specialist that began with the second."""

    def __init__(self, folder: Path) -> None:
        (folder / "rlwd.toml").write_text(PARENT)
        (folder / "acme.toml").write_text(OWN.format(port=free_port()))
        self.config = load_config(folder / "rlwd.toml")
        self.own: Config = load_config(folder / "acme.toml")
        self.ledger: Ledger = open_daemon_ledger(folder / "rlwd.db")
        self.controller = RolloutController("policy", self.config.rollout)
        self.versions: list[Candidate] = [version(number, folder) for number in range(3)]
        register(self.ledger.store, self.controller, self.versions[0])
        for one in self.versions[1:]:
            promote(self.ledger.store, self.controller, one)
        with self.ledger.store.transaction() as tx:
            made = [
                manifest(number, number - 1 if number else None, version=one.version)
                for number, one in enumerate(self.versions)
            ]
            record_checkpoints(tx, "policy", made)
        for first in made:
            write(self.config.state_path / "checkpoints", first)
        self._begin(self.own.state_path / "checkpoints", self.versions[2].version)
        state_store(self.own).close()

    def _begin(self, checkpoints: Path, started_from: str) -> None:
        place = checkpoint_path(checkpoints, 0)
        v0 = version(0, place)
        named = version_name("acme", 0, v0.digest)
        v0.path.rename(place / named)
        of = {"policy": "acme", "version": named, "digest": v0.digest}
        write(checkpoints, manifest(0, None, started_from=started_from, **of))

    def take_back(self, why: str) -> None:
        with self.ledger.store.transaction() as tx:
            self.controller.rollback(tx, why, 3.0)

    def doctor(self) -> str:
        return "\n".join(one.line for one in check_services(self.own) if one.what == "parent")


@pytest.fixture
def parent(tmp_path: Path) -> Parent:
    return Parent(tmp_path)


def test_nothing_is_wrong_while_it_stands(parent: Parent) -> None:
    """A champion that ended without blame, or an older one that was taken back from others, is no problem."""
    assert BeganWith(parent.own).problem() == ""
    assert "parent" not in status_document(parent.own, 4.0)["problems"]
    assert f"ok    parent: {parent.versions[2].version}" in parent.doctor()
    assert BeganWith(parent.config).problem() == ""


def test_where_the_parent_is_now_is_said_beside_it(parent: Parent, tmp_path: Path) -> None:
    """Nothing follows a parent that goes on: status and doctor say what one has and what one could begin with."""
    began, newer = parent.versions[2].version, version(3, tmp_path)
    status = status_document(parent.own, 4.0)["began_with"]
    assert (status["version"], status["parent_champion"]) == (began, began)
    assert "it still is policy's champion" in status["say"]
    promote(parent.ledger.store, parent.controller, newer)
    said = f"began with {began}: policy's champion is {newer.version} now"
    assert status_document(parent.own, 4.0)["began_with"]["say"].startswith(said)
    assert said in parent.doctor()
    typed = CliRunner().invoke(app, ["status", "-c", str(tmp_path / "acme.toml")])
    assert said in " ".join(typed.output.split())
    assert status_document(parent.config, 4.0)["began_with"] is None


def test_what_it_was_made_from_counts_too(parent: Parent) -> None:
    """A pinned older champion that is taken back took part in what came after it; both versions are named."""
    one, two = parent.versions[1].version, parent.versions[2].version
    with parent.ledger.store.transaction() as tx:
        parent.controller.pin(tx, one, "kim", "a look", 3.0)
    assert BeganWith(parent.own).problem() == ""
    parent.take_back("kim: rude")
    said = f"acme began with {two}, made from {one}, which policy took back (kim: rude)"
    assert said in status_document(parent.own, 4.0)["problems"]["parent"]
    assert said in parent.doctor()


def test_the_specialists_daemon_says_so_once_it_is_taken_back(
    parent: Parent, tmp_path: Path
) -> None:
    """`rlwd rollback` on the parent is typed while it runs: /readyz names the version, the reason and what to do."""
    two = parent.versions[2].version
    with LoneDaemon(tmp_path / "acme.toml") as daemon:
        assert daemon.told("parent") == ""
        typed = ["rollback", "champion", "--reason", "rude", "--no-wait"]
        done = CliRunner().invoke(app, [*typed, "-c", str(tmp_path / "rlwd.toml")])
        assert done.exit_code == 0, done.output
        until(lambda: daemon.told("parent"), 60.0, told=daemon.tail)
        said = daemon.told("parent")
    assert f"acme began with {two}, which policy took back (" in said
    assert ": rude); all of its" in said
    assert "Give it another name in [specialists]" in said


def test_what_was_known_stays_while_the_parent_cannot_be_seen(parent: Parent) -> None:
    """Its tables may be on another host; doctor says that nobody looks, and the daemon goes on."""
    watch = ParentWatch(BeganWith(parent.own).problem)
    parent.take_back("rude")
    watch.look()
    assert watch.problem is not None
    parent.ledger.store.close()
    (parent.config.state_path / "rlwd.db").rename(parent.config.state_path / "away.db")
    before = watch.problem
    watch.look()
    assert watch.problem == before
    assert "its tables cannot be read" in parent.doctor()
    fresh = ParentWatch(BeganWith(parent.own).problem)
    fresh.look()
    assert fresh.problem is None


def test_who_is_erased_at_the_parent_is_told_of_with_who_began_there(parent: Parent) -> None:
    """Versions that had learned from somebody are in specialists that began with what was made of them."""
    one, two = parent.versions[1].version, parent.versions[2].version
    assert began_with_any(parent.config, [one]) == {"acme": two}
    assert began_with_any(parent.config, [two]) == {"acme": two}
    assert began_with_any(parent.config, ["policy@v000009-00000000"]) == {}
    assert began_with_any(parent.own, [two]) == {}
