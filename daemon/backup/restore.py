"""Restore: puts a backup where a state was, whole or not at all."""

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
from ..store import TABLES, opening, state_store
from .backup_manifest import (
    CHECKPOINTS,
    DATABASE,
    FOLDERS,
    BackupManifest,
    read_backup,
)
from .tables import copy_tables, counted

_THERE = "holds something already: a backup is restored into an empty state"
BEGUN = "RESTORING"
"""Stands in the state folder from before the first file is put there until after the last."""


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
    if (state / BEGUN).exists():
        _put_away(config)
    _refuse_full(config)
    (state / BEGUN).write_text(f"{folder.absolute()}\n")
    fsync(state)
    aside = state / f"{BEGUN}.db"
    shutil.copyfile(folder / DATABASE, aside)
    aside.chmod(0o600)
    shutil.copytree(folder / CHECKPOINTS, state / "checkpoints")
    for name in FOLDERS:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, state / name)
    for name in ("checkpoints", *FOLDERS):
        for path in (state / name).rglob("*"):
            fsync(path)
    with opening(aside):
        store = open_store(aside, TABLES)
        with store.transaction() as tx:
            _adapt(tx, config)
        store.close()
        with closing(sqlite3.connect(aside, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")
    _put_database(config, aside)
    (state / BEGUN).unlink()
    fsync(state)
    return manifest


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
    source, target = open_store(aside, TABLES), state_store(config)
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
    store = state_store(config)
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
    for path in state.glob(f"{BEGUN}.db*"):
        path.unlink()
    (state / BEGUN).unlink()
