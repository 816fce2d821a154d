"""`rlwd backup` and `rlwd restore`: all of it or nothing, named, and never over a state that is there."""

import json
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from places_by_hand import new_schema

from rlwd.daemon.backup.backup_manifest import FOLDERS, read_backup
from rlwd.daemon.backup.tables import counted, shapes
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.store import existing_store, state_store
from rlwd.learner.checkpoint.folder import newest_valid
from rlwd.ops.rollout.champions_table import champion
from rlwd.streams.sessions.contents import Content, put_contents
from rlwd.streams.state.store import Store

Run = Callable[..., tuple[int, str]]


def restored_to(folder: Path, config: Path, *lines: str) -> Path:
    """A folder with the same config, and no state."""
    folder.mkdir()
    text = config.read_text()
    (folder / "rlwd.toml").write_text("\n".join([*lines, text]))
    return folder


def rows_of(store: Store) -> dict[str, list[Any]]:
    """Return every row of every table but what a restore has to say anew."""
    with store.reading() as view:
        return {
            shape.name: sorted(
                view.execute(
                    'SELECT "' + '", "'.join(shape.columns) + f'" FROM {shape.name}'
                ).fetchall(),
                key=repr,
            )
            for shape in shapes(view)
            if shape.name not in ("candidates", "leases", "new_keys", "event_keys")
        }


def test_a_backup_comes_back_whole(tmp_path: Path, config: Config, run: Run) -> None:
    """Another folder with the same config and the backup has every row, the weights, and no holder."""
    live, backup = tmp_path / "live", tmp_path / "backup"
    for name in FOLDERS:
        (config.state_path / name).mkdir()
        (config.state_path / name / "one.json").write_text(name)
    status, said = run(live, "backup", str(backup))
    assert (status, "not in it: secrets" in said, "not in it: the log" in said) == (0, True, True)
    modes = {path.stat().st_mode & 0o077 for path in (backup, *backup.rglob("*"))}
    assert modes == {0}, "what people wrote is its owner's alone"
    there = restored_to(tmp_path / "there", live / "rlwd.toml")
    status, said = run(there, "restore", str(backup))
    assert status == 0, said
    assert [(there / "state" / name / "one.json").read_text() for name in FOLDERS] == list(FOLDERS)
    old, new = existing_store(config), existing_store(load_config(there / "rlwd.toml"))
    assert rows_of(new) == rows_of(old)
    with new.reading() as view, old.reading() as before:
        served = champion(view, config.policy)
        assert counted(view, config.policy) == counted(before, config.policy)
        assert served.path.is_relative_to(there)
        assert served.path.is_dir()
        assert view.execute("SELECT MAX(pid), MAX(seen) FROM leases").fetchone() == (0, 0.0)
        folder = there / "state" / "checkpoints"
        found = newest_valid(folder)
        assert found == newest_valid(config.state_path / "checkpoints")
        pruned = view.execute("SELECT sequence FROM candidates WHERE pruned = 1").fetchall()
        for (sequence,) in pruned:
            assert [
                each.name for each in (folder / f"{sequence:06d}").iterdir() if each.is_dir()
            ] == []
    assert stat.S_IMODE((there / "state" / "rlwd.db").stat().st_mode) == 0o600
    assert run(there, "audit", "--json")[0] == run(live, "audit", "--json")[0]
    old.close()
    new.close()


def test_what_is_written_meanwhile_is_in_it_or_not(
    tmp_path: Path, config: Config, run: Run
) -> None:
    """A transaction that is open while the backup is made is not in it, and is not held up by it."""
    live, store = tmp_path / "live", existing_store(config)
    with store.transaction() as tx:
        tx.execute("DELETE FROM episodes")
        assert run(live, "backup", str(tmp_path / "backup"))[0] == 0
    store.close()
    with closing(sqlite3.connect(tmp_path / "backup" / "database.db")) as view:
        assert view.execute("SELECT COUNT(*) FROM episodes").fetchone()[0] > 0
    assert existing_store(config).reading().__enter__().execute(
        "SELECT COUNT(*) FROM episodes"
    ).fetchone() == (0,)


@pytest.mark.parametrize(
    "what", ["database.db", "EPOCH", "adapter_model.safetensors", "backup.json"]
)
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_a_damaged_backup_is_refused_by_name(
    tmp_path: Path, learned_state: Path, run: Run, what: str, how: str
) -> None:
    """Whichever file is missing, shorter or other by one byte: it is named, and nothing is restored."""
    backup = tmp_path / "backup"
    assert run(learned_state, "backup", str(backup))[0] == 0
    file = next(path for path in sorted(backup.rglob("*")) if path.name == what)
    if how == "gone":
        file.unlink()
    else:
        whole = bytearray(file.read_bytes())
        file.write_bytes(whole[:-1] if how == "cut" else bytes([whole[0] ^ 1]) + whole[1:])
    there = restored_to(tmp_path / "there", learned_state / "rlwd.toml")
    status, said = run(there, "restore", str(backup))
    assert (status, what in said) == (2, True), said
    assert not (there / "state").exists()


def test_a_state_that_is_there_stays(tmp_path: Path, config: Config, run: Run) -> None:
    """Neither a backup nor a restore writes over anything."""
    live, backup = tmp_path / "live", tmp_path / "backup"
    assert run(live, "backup", str(backup))[0] == 0
    status, said = run(live, "backup", str(backup))
    assert (status, "is there already, and not empty" in said) == (2, True), said
    status, said = run(live, "restore", str(backup))
    assert (status, "a backup is restored into an empty state" in said) == (2, True), said
    (config.state_path / "rlwd.db").unlink()
    status, said = run(live, "restore", str(backup))
    assert (status, f"{config.state_path}/checkpoints: holds something already" in said) == (
        2,
        True,
    ), said
    text = (live / "rlwd.toml").read_text()
    other = restored_to(tmp_path / "other", live / "rlwd.toml")
    (other / "rlwd.toml").write_text(
        text.replace(f'policy = "{config.policy}"', 'policy = "other"')
    )
    status, said = run(other, "restore", str(backup))
    assert (status, f"is of policy '{config.policy}'" in said) == (2, True), said


def test_a_restore_that_was_cut_off_is_done_again(
    tmp_path: Path, learned_state: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it left is put away, and the second comes to its end."""
    backup = tmp_path / "backup"
    assert run(learned_state, "backup", str(backup))[0] == 0
    there = restored_to(tmp_path / "there", learned_state / "rlwd.toml")
    with monkeypatch.context() as patch:
        patch.setattr("rlwd.daemon.backup.restore._put_database", _cut_off)
        assert run(there, "restore", str(backup))[0] == 2
    assert (there / "state" / "checkpoints").is_dir()
    assert not (there / "state" / "rlwd.db").exists()
    status, said = run(there, "restore", str(backup))
    assert status == 0, said
    assert sorted(path.name for path in (there / "state").iterdir()) == ["checkpoints", "rlwd.db"]


def _cut_off(*_: object) -> None:
    raise OSError("the power went")


def test_secrets_stay_out_of_it(tmp_path: Path, config: Config, run: Run) -> None:
    """A key that stands in the config is in no file of the backup; what names a secret stays."""
    live, backup = tmp_path / "live", tmp_path / "backup"
    secrets = ["s3cret-of-http", 'a "quoted" one', "t"]
    file = live / "rlwd.toml"
    text = file.read_text()
    assert "[http]" in text
    text = text.replace("[http]", f"[http]\ntoken = {json.dumps(secrets[0])}")
    text = text.replace(
        "[gateway]", f'[gateway]\nuser_key = {json.dumps(secrets[1])}\ntoken = "$TOKEN"'
    )
    file.write_text(text + f'\n[stream.kafka.security]\nsasl_plain_password = "{secrets[2]}"\n')
    status, said = run(live, "backup", str(backup))
    assert status == 0, said
    kept = (backup / "config" / "rlwd.toml").read_text()
    assert kept.count("left-out-of-the-backup") == 3
    assert '"$TOKEN"' in kept
    for path in backup.rglob("*"):
        if path.is_file():
            whole = path.read_bytes()
            assert not [one for one in secrets[:2] if one.encode() in whole], path
    assert f'sasl_plain_password = "{secrets[2]}"' not in kept
    assert 'policy = "demo"' in kept, "a short secret takes nothing else with it"


def test_weights_that_are_damaged_are_said_to_be(tmp_path: Path, config: Config, run: Run) -> None:
    """A checkpoint whose files do not agree is left out by name; the rest is a backup."""
    found = newest_valid(config.state_path / "checkpoints")
    assert found is not None
    folder = config.state_path / "checkpoints" / f"{found.sequence:06d}" / found.version
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    status, said = run(tmp_path / "live", "backup", str(tmp_path / "backup"))
    assert (
        status,
        f"not in it: weights of checkpoint {found.sequence}, which are damaged" in said,
    ) == (0, True), said
    assert found.sequence not in read_backup(tmp_path / "backup").checkpoints


def test_a_database_that_is_damaged_is_not_backed_up(
    tmp_path: Path, config: Config, run: Run
) -> None:
    """What could not be restored is refused now, and no folder stays that looks like a backup."""
    file = config.state_path / "rlwd.db"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    for beside in config.state_path.glob("rlwd.db-*"):
        beside.unlink()
    status, said = run(tmp_path / "live", "backup", str(tmp_path / "backup"))
    assert (status, str(file) in said) == (2, True), said
    assert not (tmp_path / "backup" / "backup.json").exists()


def test_a_database_moves_to_a_server_and_back(
    tmp_path: Path, config: Config, run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved to PostgreSQL, backed up there, restored into SQLite: every row of every table is the same."""
    live, backup = tmp_path / "live", tmp_path / "backup"
    url = new_schema(postgres_url)
    monkeypatch.setenv("RLWD_TO", url)
    status, said = run(live, "move-database", "--to", "$RLWD_TO")
    assert status == 0, said
    status, said = run(live, "move-database", "--to", "$RLWD_TO")
    assert (status, "holds rows already" in said) == (2, True), said
    on_server = tmp_path / "on-server"
    shutil.copytree(live, on_server)
    (on_server / "rlwd.toml").write_text(
        f'database = "$RLWD_TO"\n{(live / "rlwd.toml").read_text()}'
    )
    before, moved = existing_store(config), existing_store(load_config(on_server / "rlwd.toml"))
    assert rows_of(moved) == rows_of(before)
    with moved.transaction() as tx, before.reading() as view:
        known = "SELECT COUNT(*) FROM (SELECT digest FROM event_keys UNION SELECT digest FROM new_keys) k"
        assert tx.execute(known).fetchone() == view.execute(known).fetchone()
        # The server goes on counting where the rows end.
        tx.execute("INSERT INTO new_keys (policy, digest) VALUES ('p', ?)", (b"x",))
        tx.execute("DELETE FROM new_keys")
    assert run(on_server, "audit")[0] == run(live, "audit")[0]
    status, said = run(on_server, "backup", str(backup))
    assert status == 0, said
    there = restored_to(tmp_path / "there", live / "rlwd.toml")
    status, said = run(there, "restore", str(backup))
    assert status == 0, said
    again = existing_store(load_config(there / "rlwd.toml"))
    assert rows_of(again) == rows_of(before)
    full = restored_to(tmp_path / "full", live / "rlwd.toml", 'database = "$RLWD_TO"')
    status, said = run(full, "restore", str(backup))
    assert (status, "holds something already" in said) == (2, True), said
    monkeypatch.setenv("RLWD_TO", new_schema(postgres_url))
    shutil.rmtree(full / "state")
    status, said = run(full, "restore", str(backup))
    assert status == 0, said
    other = existing_store(load_config(full / "rlwd.toml"))
    assert rows_of(other) == rows_of(before)
    for store in (before, moved, again, other):
        store.close()


def test_policies_of_one_server_are_put_back_and_backed_up_apart(
    tmp_path: Path, config: Config, run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside another policy's rows a restore has its own, and the next backup holds none of the other's."""
    live, beside = tmp_path / "live", "SELECT generation_id, payload FROM contents WHERE policy = ?"
    assert run(live, "backup", str(tmp_path / "backup"))[0] == 0
    monkeypatch.setenv("RLWD_TO", new_schema(postgres_url))
    there = restored_to(tmp_path / "there", live / "rlwd.toml", 'database = "$RLWD_TO"')
    shared = state_store(load_config(there / "rlwd.toml"))
    with shared.transaction() as tx:
        put_contents(tx, "acme", [Content("a.1", b"what acme wrote"), Content("a.2", b"more")])
    status, said = run(there, "restore", str(tmp_path / "backup"))
    assert status == 0, said
    wanted = (
        "SELECT e.generation_id, c.generation_id, c.payload FROM episodes e JOIN contents c"
        " ON c.id = e.content WHERE e.policy = ? ORDER BY 1"
    )
    old = existing_store(config)
    with shared.transaction() as tx, old.reading() as before:
        held = tx.execute(wanted, (config.policy,)).fetchall()
        assert held
        assert held == before.execute(wanted, (config.policy,)).fetchall()
        assert len(tx.execute(beside, ("acme",)).fetchall()) == 2
        # The server goes on counting where the rows end.
        put_contents(tx, "acme", [Content("a.3", b"later")])
    status, said = run(there, "restore", str(tmp_path / "backup"))
    assert (status, "holds something already" in said) == (2, True), said
    assert run(there, "backup", str(tmp_path / "again"))[0] == 0
    assert b"what acme wrote" not in (tmp_path / "again" / "database.db").read_bytes()
    with closing(sqlite3.connect(tmp_path / "again" / "database.db")) as copy:
        assert copy.execute(beside, ("acme",)).fetchall() == []
        assert copy.execute(wanted, (config.policy,)).fetchall() == held
    shared.close()
    old.close()
