"""`rlwd restore` against backups that are hostile or newer, and against what is left half done or is root's."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rlwd.daemon.backup.restore import _put_database
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.store import state_store

Run = Callable[..., tuple[int, str]]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, or be another user")


@pytest.fixture
def backup(tmp_path: Path, learned_state: Path, run: Run) -> Path:
    """A backup of what a demo learned."""
    status, said = run(learned_state, "backup", str(tmp_path / "backup"))
    assert status == 0, said
    return tmp_path / "backup"


@pytest.fixture
def there(tmp_path: Path, learned_state: Path) -> Path:
    """A folder with the same config, and no state."""
    (tmp_path / "there").mkdir()
    shutil.copy(learned_state / "rlwd.toml", tmp_path / "there")
    return tmp_path / "there"


def sign_again(backup: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a backup's manifest as somebody does who knows how its digest is made."""
    manifest = json.loads((backup / "backup.json").read_bytes())
    change(manifest)
    raw = json.dumps(manifest).encode()
    (backup / "backup.json").write_bytes(raw)
    (backup / "backup.sha256").write_text(hashlib.sha256(raw).hexdigest())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_what_the_manifest_names_is_restored(
    tmp_path: Path, backup: Path, there: Path, run: Run
) -> None:
    """Files and links that somebody put beside them stay where they are."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("not yours")
    (backup / "checkpoints" / "999999").mkdir()
    (backup / "checkpoints" / "999999" / "manifest.json").write_text("{}")
    (backup / "checkpoints" / "linked").symlink_to(secret)
    (backup / "readers").symlink_to(secret)
    status, said = run(there, "restore", str(backup))
    assert status == 0, said
    kept = {path.name for path in (there / "state").rglob("*")}
    assert not kept & {"999999", "linked", "readers", "key"}


@pytest.mark.parametrize("name", ["checkpoints/../../secret", "/etc/hostname", "checkpoints/link"])
def test_a_manifest_that_names_what_is_not_the_backups_is_refused(
    tmp_path: Path, backup: Path, there: Path, run: Run, name: str
) -> None:
    """Neither a path that leads out of the folder nor a link is read, whatever its digest says."""
    (tmp_path / "secret").write_text("not yours")
    (backup / "checkpoints" / "link").symlink_to(tmp_path / "secret")
    sign_again(backup, lambda each: each["files"].update({name: digest(tmp_path / "secret")}))
    status, said = run(there, "restore", str(backup))
    assert (status, f"{name}: does not lie in the backup" in said) == (2, True), said
    assert not (there / "state").exists()


def test_a_backup_of_a_newer_rlwd_leaves_nothing_half(
    tmp_path: Path, backup: Path, there: Path, run: Run
) -> None:
    """It is named and refused before anything is put in place; the old one is restored afterwards."""
    newer = tmp_path / "newer"
    shutil.copytree(backup, newer)
    with closing(sqlite3.connect(newer / "database.db")) as view, view:
        view.execute("INSERT INTO migrations VALUES ('ops', 999)")
    sign_again(
        newer, lambda each: each["files"].update({"database.db": digest(newer / "database.db")})
    )
    status, said = run(there, "restore", str(newer))
    wanted = f"rlwd: {newer}/database.db: ops is at migration 999"
    assert (status, said.startswith(wanted)) == (2, True), said
    assert list((there / "state").iterdir()) == []
    assert run(there, "restore", str(backup))[0] == 0


@pytest.mark.parametrize("command", [("status",), ("audit",)])
def test_nothing_begins_on_half_a_restore(
    backup: Path, there: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """After one that was cut off a start ends with 2 and the command to give, and makes no empty database."""
    with monkeypatch.context() as patch:
        patch.setattr("rlwd.daemon.backup.restore._put_database", _cut_off)
        assert run(there, "restore", str(backup))[0] == 2
    status, said = run(there, *command)
    wanted = f"a restore is under way, or was cut off: `rlwd restore {backup}` again"
    assert (status, wanted in said) == (2, True), said
    with pytest.raises(ValueError, match="a restore is under way, or was cut off"):
        # What `rlwd run` opens.
        state_store(load_config(there / "rlwd.toml"))
    assert not (there / "state" / "rlwd.db").exists()
    assert run(there, "restore", str(backup))[0] == 0
    assert run(there, "status")[0] == 0


def test_two_restores_at_once_are_one(
    backup: Path, there: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is refused by name while the first goes on, and takes nothing from it."""
    whole, said = _put_database, list[tuple[int, str]]()

    def meanwhile(*arguments: Any) -> None:
        if not said:
            said.append(run(there, "restore", str(backup)))
        whole(*arguments)

    monkeypatch.setattr("rlwd.daemon.backup.restore._put_database", meanwhile)
    assert run(there, "restore", str(backup))[0] == 0
    ((status, refusal),) = said
    assert (status, f"{there}/state: another restore is under way there" in refusal) == (2, True)
    assert run(there, "audit")[0] == 0
    assert (there / "state" / "checkpoints" / "EPOCH").is_file()


def test_the_doctor_names_a_restore_that_was_cut_off(
    backup: Path, there: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command to give; neither does a backup take half a state for none."""
    with monkeypatch.context() as patch:
        patch.setattr("rlwd.daemon.backup.restore._put_database", _cut_off)
        assert run(there, "restore", str(backup))[0] == 2
    status, said = run(there, "doctor")
    wanted = f"cut off: `rlwd restore {backup}` again"
    assert (status, wanted in said, "never started" in said) == (1, True, False), said
    status, said = run(there, "backup", str(there / "new"))
    assert (status, wanted in said) == (2, True), said


def test_a_config_with_what_a_backup_left_out_does_not_start(
    tmp_path: Path, config: Config, run: Run
) -> None:
    """What stands there instead of a secret is known to whoever reads our source."""
    live = config.state_path.parent
    file = live / "rlwd.toml"
    file.write_text(file.read_text().replace("[http]", '[http]\ntoken = "hunter2"'))
    assert run(live, "backup", str(tmp_path / "backup"))[0] == 0
    shutil.copy(tmp_path / "backup" / "config" / "rlwd.toml", file)
    for command in ("run", "gateway", "status"):
        status, said = run(live, command)
        wanted = "http.token: was left out of a backup: put the secret there again"
        assert (status, wanted in said) == (2, True), said


def test_files_that_the_config_names_are_in_it(tmp_path: Path, config: Config, run: Run) -> None:
    """Probes, planted strings and texts; a restore says how those come back that are gone."""
    live = config.state_path.parent
    named = {
        "gate.planted": "planted.jsonl",
        "gate.probes": "asked.jsonl",
        "learner.drift.probes": "drift.jsonl",
        "learner.replay.texts": "texts.jsonl",
    }
    text = (
        (live / "rlwd.toml").read_text().replace("[gate]\n", '[gate]\nplanted = "planted.jsonl"\n')
    )
    text = text.replace("[gate]\n", '[gate]\nprobes = "asked.jsonl"\n')
    text += '\n[learner.drift]\nprobes = "drift.jsonl"\n[learner.replay]\ntexts = "texts.jsonl"\n'
    (live / "rlwd.toml").write_text(text)
    for name in list(named.values())[1:]:
        (live / name).write_text(name)
    status, said = run(live, "backup", str(tmp_path / "backup"))
    wanted = f"not in it: gate.planted: {live}/planted.jsonl, which is not there"
    assert (status, wanted in said) == (0, True), said
    shutil.rmtree(config.state_path)
    (live / "asked.jsonl").unlink()
    status, said = run(live, "restore", str(tmp_path / "backup"))
    copy = tmp_path / "backup" / "config" / "gate.probes" / "asked.jsonl"
    wanted = f"gate.probes: is not there: cp {copy} {live}/asked.jsonl"
    assert (status, wanted in said, "drift.jsonl" in said) == (0, True, False), said
    assert copy.read_text() == "asked.jsonl"


def _cut_off(*_: object) -> None:
    raise OSError("the power went")


@needs_root
def test_what_root_restores_is_the_owners(backup: Path, there: Path, run: Run) -> None:
    """A daemon of another user can write to all of it."""
    (there / "state").mkdir()
    os.chown(there / "state", 65534, 65534)
    status, said = run(there, "restore", str(backup))
    assert status == 0, said
    assert {path.stat().st_uid for path in (there / "state").rglob("*")} == {65534}


@needs_root
@pytest.mark.parametrize("size", ["256k", "3m"])
def test_a_backups_full_disk_is_the_one_that_is_named(
    tmp_path: Path, config: Config, size: str
) -> None:
    """Full in the database or in the checkpoints: one short line with the backup's place, and no half of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    (config.state_path / "readers").mkdir()
    with (config.state_path / "readers" / "large").open("wb") as large:
        large.truncate(1 << 23)
    rlwd = f"{sys.executable} -m rlwd.daemon backup {folder}/new --config {tmp_path}/live/rlwd.toml"
    done = subprocess.run(
        [
            *("unshare", "-m", "sh", "-c"),
            f"mount -t tmpfs -o size={size} none {folder}; {rlwd}; code=$?; ls {folder}/new; exit $code",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    wanted = "No space left on device: its disk is full: make room, then start again\n"
    assert (done.returncode, done.stderr.endswith(wanted)) == (2, True), done.stderr
    assert done.stderr.startswith(f"rlwd: {folder}/new/"), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("part", ["checkpoints", "batches", "readers"])
def test_a_backup_does_not_go_into_what_it_copies(config: Config, run: Run, part: str) -> None:
    """A folder inside of a part of the state is refused by name."""
    folder = config.state_path / part / "mine"
    status, said = run(config.state_path.parent, "backup", str(folder))
    assert (status, f"{folder}: lies in a part of the state" in said) == (2, True), said
    assert not folder.exists()


def test_secrets_of_a_url_and_of_comments_stay_out(
    tmp_path: Path, config: Config, run: Run
) -> None:
    """A password after the ? of the database's URL, and what a key was before, are in no backup."""
    file = tmp_path / "live" / "rlwd.toml"
    text = file.read_text()
    kept = '#token = "$TOKEN"\n#user_key = "file:key"\n#token = ""\n'
    old = f"#token = \"hunter2\"  # until May\n  ## was user_key = 'hunter2'\n{kept}"
    url = "postgresql://rlwd:hunter2@db/x?password=hunter2&sslmode=require&sslpassword=hunter2"
    other = f'#database = "{url}"\n#database = "postgresql:///x?PASSWORD=hunter2"\n'
    file.write_text(f"{old}{other}{text}")
    status, said = run(tmp_path / "live", "backup", str(tmp_path / "backup"))
    assert status == 0, said
    copy = (tmp_path / "backup" / "config" / "rlwd.toml").read_text()
    assert "hunter2" not in copy
    assert "&sslmode=require&" in copy
    assert kept in copy
    assert text in copy


def test_an_offset_beyond_any_log_is_refused(config: Config, run: Run) -> None:
    """One digit too many, or twenty: a line, exit 2, and the partition stays."""
    live = config.state_path.parent
    for arguments in (
        ("rlwd.feedback/0", "9" * 30),
        ("rlwd.feedback/0", str(2**63 - 1)),
        ("rlwd.feedback/" + "9" * 30, "1"),
    ):
        status, said = run(live, "accept-gap", *arguments)
        assert (status, "Traceback" in said) == (2, False), said
    with closing(sqlite3.connect(config.state_path / "rlwd.db")) as view:
        found = view.execute("SELECT MAX(next), SUM(gap) FROM offsets").fetchone()
    assert found == (121, 0)
