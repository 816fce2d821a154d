"""Restore: puts a backup where a state was, whole or not at all."""

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...learner.checkpoint.folder import checkpoint_path, sequences, whole_checkpoints
from ...ops.rollout.candidates_table import mark_pruned, move_to
from ...streams.open import open_store
from ...streams.state.durable import fsync
from ...streams.state.transaction import Transaction
from ..config import Config
from ..erasures.erasure_list import erase_again
from ..erasures.person import ErasureReport
from ..store import RESTORING, TABLES, open_database, opening
from .backup_manifest import (
    CHECKPOINTS,
    DATABASE,
    FOLDERS,
    BackupManifest,
    read_backup,
)
from .config_copy import copied_as, named_files
from .tables import copy_tables, counted

_THERE = "holds something already: a backup is restored into an empty state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    manifest: BackupManifest
    """Of the backup."""
    erased: dict[str, ErasureReport]
    """By hash, who was erased since the backup and is so again."""
    listed: bool
    """Whether the list of erasures was there; without it nobody knows who was erased since."""
    missing: dict[str, Path]
    """Files that the config names and that are not there, by key, as the backup has them."""

    def lines(self, config: Config) -> Iterator[str]:
        """Yield what an operator has to know of it, and to do."""
        yield "what the log holds since is read again"
        for user_hash, found in self.erased.items():
            of = f"{found.generations} answers" + ", ".join(["", *found.learned])
            yield f"erased again: {user_hash} ({of})"
            if found.batches_waiting:
                yield f"once the learner is through: rlwd erase --hashed {user_hash}"
        if not self.listed:
            made = time.strftime("%F %T", time.gmtime(self.manifest.made_at))
            yield (
                f"{config.erasures_path}: is not there, so nobody is known who was erased after"
                f" {made} UTC: erase them again"
            )
        for key, copy in self.missing.items():
            yield f"{key}: is not there: cp {copy} {named_files(config)[key]}"


def restore(config: Config, folder: Path) -> Restored:
    """Restore a backup into an empty state, and erase from it whom the list of erasures names.

    Raises ValueError where the backup is damaged, half or another policy's, where the state is not
    empty, or where another restore is under way; nothing is changed then. What a restore that was cut
    off left is put away first, or, where all of it was in place, brought to its end.
    """
    manifest = read_backup(folder)
    if manifest.policy != config.policy:
        raise ValueError(
            f"{folder}: is of policy {manifest.policy!r}, and the config's is {config.policy!r}"
        )
    state, listed = config.state_path, config.erasures_path.exists()
    state.mkdir(parents=True, exist_ok=True)
    with _alone(state):
        if not _goes_on(config, folder):
            _put_in_place(config, folder, manifest)
        store = open_database(config)
        try:
            erased = erase_again(config, store, time.time())
        finally:
            store.close()
        _give_to_owner(state)
        (state / RESTORING).unlink()
        fsync(state)
    missing = {
        key: folder / copied_as(key, path)
        for key, path in named_files(config).items()
        if not path.exists() and copied_as(key, path) in manifest.files
    }
    return Restored(manifest=manifest, erased=erased, listed=listed, missing=missing)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Keep other restores away from a state; raises ValueError where one is under way."""
    held = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"{state}: another restore is under way there: wait for its end") from None
    else:
        yield
    finally:
        os.close(held)


def _goes_on(config: Config, folder: Path) -> bool:
    """Whether a restore of this backup was cut off with all of it in place; half of one is put away."""
    mark = config.state_path / RESTORING
    if not mark.exists():
        return False
    begun = mark.read_text(errors="replace").strip()
    if not _database_there(config):
        _put_away(config)
        return False
    if begun != str(folder.absolute()):
        raise ValueError(f"{mark}: all of another backup is there: `rlwd restore {begun}` ends it")
    for path in config.state_path.glob(f"{RESTORING}.db*"):
        path.unlink()
    return True


def _put_in_place(config: Config, folder: Path, manifest: BackupManifest) -> None:
    """Put files and database where they are to be, the database last: with it all of it is there."""
    state = config.state_path
    _refuse_full(config)
    (state / RESTORING).write_text(f"{folder.absolute()}\n")
    fsync(state / RESTORING)
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
        for place in (
            state / name for name in ("checkpoints", *FOLDERS, "rlwd.db", "erased.jsonl")
        ):
            for path in (place, *place.rglob("*")) if place.exists() else ():
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _adapt(tx: Transaction, config: Config) -> None:
    """Say in the tables where the files are now, which weights there are, and that nobody is in charge."""
    checkpoints = config.state_path / "checkpoints"
    for sequence in sequences(checkpoints):
        move_to(tx, config.policy, sequence, checkpoint_path(checkpoints, sequence))
    gone = set(sequences(checkpoints)) - set(whole_checkpoints(checkpoints))
    mark_pruned(tx, config.policy, sorted(gone))
    tx.execute("UPDATE leases SET seen = 0, pid = 0 WHERE policy = ?", (config.policy,))


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
            copy_tables(view, tx, config.policy)
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
    """Return the name of the config's database where it holds something of the policy; else nothing."""
    place = config.state_database
    if isinstance(place, Path):
        return str(place) if place.exists() else ""
    store = open_database(config)
    with store.reading() as view:
        held = any(counted(view, config.policy).values())
    store.close()
    return store.name if held else ""


def _put_away(config: Config) -> None:
    """Delete what a restore left that did not come to its end; the backup has it all."""
    state = config.state_path
    for name in ("checkpoints", *FOLDERS):
        shutil.rmtree(state / name, ignore_errors=True)
    for path in state.glob(f"{RESTORING}.db*"):
        path.unlink()
    (state / RESTORING).unlink()
