"""Restore: puts a backup where a state was, whole or not at all."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from ...learner.checkpoint.folder import checkpoint_path, sequences, whole_checkpoints
from ...ops.rollout.candidates_table import mark_pruned, move_to
from ...streams.open import open_store
from ...streams.state.durable import fsync
from ...streams.state.transaction import Transaction
from ..config import Config
from ..store import RESTORING, TABLES, open_database, opening
from .backup_manifest import (
    CHECKPOINTS,
    DATABASE,
    FOLDERS,
    BackupManifest,
    read_backup,
)
from .tables import copy_tables, counted

_THERE = "holds something already: a backup is restored into an empty state"


def restore(config: Config, folder: Path) -> BackupManifest:
    """Restore a backup into an empty state.

    Raises ValueError where the backup is damaged, half or another policy's, or where the state is not
    empty; nothing is changed then. What a restore that was cut off left is put away first.
    """
    manifest = read_backup(folder)
    if manifest.policy != config.policy:
        raise ValueError(
            f"{folder}: is of policy {manifest.policy!r}, and the config's is {config.policy!r}"
        )
    state = config.state_path
    state.mkdir(parents=True, exist_ok=True)
    if (state / RESTORING).exists():
        _put_away(config)
    _refuse_full(config)
    (state / RESTORING).write_text(f"{folder.absolute()}\n")
    fsync(state)
    aside = state / f"{RESTORING}.db"
    shutil.copyfile(folder / DATABASE, aside)
    aside.chmod(0o600)
    try:
        # Before all else: a newer rlwd's is refused, and nothing is there yet.
        with opening(aside):
            store = open_store(aside, TABLES)
    except (ValueError, RuntimeError) as problem:
        _put_away(config)
        raise ValueError(str(problem).replace(str(aside), str(folder / DATABASE))) from problem
    _put_files(folder, manifest, state)
    with opening(aside):
        with store.transaction() as tx:
            _adapt(tx, config)
        store.close()
        with closing(sqlite3.connect(aside, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")
    _put_database(config, aside)
    _give_to_owner(state)
    (state / RESTORING).unlink()
    fsync(state)
    return manifest


def _put_files(folder: Path, manifest: BackupManifest, state: Path) -> None:
    """Copy what the manifest names; what else lies in the backup's folder stays there."""
    tops = {CHECKPOINTS: state / "checkpoints", **{name: state / name for name in FOLDERS}}
    for name in manifest.files:
        top, _, below = name.partition("/")
        if top in tops and below:
            target = tops[top] / below
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, target)
    for place in tops.values():
        for path in (place, *place.rglob("*")) if place.is_dir() else ():
            fsync(path)


def _give_to_owner(state: Path) -> None:
    """Where root restores into the folder of another user, give that one what it is to write to."""
    owner = state.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for place in (state / name for name in ("checkpoints", *FOLDERS, "rlwd.db")):
            for path in (place, *place.rglob("*")) if place.exists() else ():
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _adapt(tx: Transaction, config: Config) -> None:
    """Say in the tables where the files are now, which weights there are, and that nobody is in charge."""
    checkpoints = config.state_path / "checkpoints"
    for sequence in sequences(checkpoints):
        move_to(tx, config.policy, sequence, checkpoint_path(checkpoints, sequence))
    gone = set(sequences(checkpoints)) - set(whole_checkpoints(checkpoints))
    mark_pruned(tx, config.policy, sorted(gone))
    tx.execute("UPDATE leases SET seen = 0, pid = 0")


def _put_database(config: Config, aside: Path) -> None:
    """Put the database in its place: by one rename, or into a server by one transaction."""
    place = config.state_database
    if isinstance(place, Path):
        fsync(aside)
        aside.replace(place)
        fsync(place.parent)
        return
    source, target = open_store(aside, TABLES), open_database(config)
    try:
        with source.reading() as view, target.transaction() as tx:
            copy_tables(view, tx)
    finally:
        source.close()
        target.close()
    aside.unlink()


def _refuse_full(config: Config) -> None:
    state = config.state_path
    folders = [state / name for name in ("checkpoints", "batches", *FOLDERS)]
    for path in folders:
        if path.exists() and (path.is_file() or any(path.iterdir())):
            raise ValueError(f"{path}: {_THERE}; move it away, or name another state in the config")
    if held := _database_there(config):
        raise ValueError(f"{held}: {_THERE}; name an empty one, or move it away")
    for path in folders:
        if path.is_dir():
            path.rmdir()


def _database_there(config: Config) -> str:
    """Return the name of the database that the config names where it holds something; else nothing."""
    place = config.state_database
    if isinstance(place, Path):
        return str(place) if place.exists() else ""
    store = open_database(config)
    with store.reading() as view:
        held = any(counted(view).values())
    store.close()
    return store.name if held else ""


def _put_away(config: Config) -> None:
    """Delete what a restore left that did not come to its end; the backup has it all."""
    state = config.state_path
    # The database came last: with it all of it is there.
    if not _database_there(config):
        for name in ("checkpoints", *FOLDERS):
            shutil.rmtree(state / name, ignore_errors=True)
    for path in state.glob(f"{RESTORING}.db*"):
        path.unlink()
    (state / RESTORING).unlink()
