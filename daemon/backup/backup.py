"""Backup: a copy of the durable state in one folder, consistent while the daemon runs."""

import errno
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from ...learner.checkpoint.folder import (
    MANIFEST_FILES,
    checkpoint_path,
    copy_links,
    problem_of,
    read_manifest,
    state_of,
    whole_checkpoints,
)
from ...ops.rollout.champions_table import find_champion
from ...ops.rollout.desired_state import kept_checkpoints
from ...streams.join.offsets import load_offsets
from ...streams.open import open_store
from ...streams.state.durable import fsync
from ...streams.state.sqlite_problem import is_full
from ...streams.state.transaction import Transaction
from ..config import Config
from ..store import TABLES, existing_store, opening, refuse_half
from .backup_manifest import (
    CHECKPOINTS,
    DATABASE,
    FLAGS,
    FOLDERS,
    FORMAT,
    LEFT_OUT,
    BackupManifest,
    digests,
    write_manifest,
)
from .config_copy import FOLDER as CONFIG
from .config_copy import copied_as, named_files, without_secrets
from .tables import copy_tables, counted

TRIES = 3
"""Times that a backup is begun where retention deletes what it was about to copy."""
NEWEST = 2
"""Newest checkpoints that are taken with their weights, named or not: the learner goes on from one."""


def make_backup(config: Config, config_path: Path, folder: Path) -> BackupManifest:
    """Write a backup into a new folder. Raises ValueError where there is something already.

    The database is read first, in one view; of the checkpoints only those are taken that it knows,
    so that all of it is of that moment.
    """
    refuse_half(config.state_path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: is there already, and not empty: name a new folder")
    for name in ("checkpoints", "batches", *FOLDERS):
        if folder.resolve().is_relative_to((config.state_path / name).resolve()):
            raise ValueError(f"{folder}: lies in a part of the state: name one outside of it")
    for left in reversed(range(TRIES)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        try:
            made, damaged = _made(config, config_path, folder)
            # What retention was deleting at that moment looks damaged too.
            if not damaged or not left:
                return made
        except (FileNotFoundError, shutil.Error):
            # Of a folder that is copied the missing file comes as an Error.
            if not left:
                _empty(folder)
                raise
        except BaseException:
            _empty(folder)
            raise
        _empty(folder)
    raise AssertionError("the last try returns or raises")


def _made(config: Config, config_path: Path, folder: Path) -> tuple[BackupManifest, list[str]]:
    made_at = time.time()
    _copy_database(config, folder / DATABASE)
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as view:
        damaged = _copy_checkpoints(config, view, made_at, folder / CHECKPOINTS)
        champion = find_champion(view, config.policy)
        offsets = load_offsets(view, config.policy)
        rows = counted(view, config.policy)
    gone = _copy_files(config, config_path, folder)
    manifest = BackupManifest(
        format=FORMAT,
        policy=config.policy,
        made_at=made_at,
        database="postgresql" if isinstance(config.state_database, str) else "sqlite",
        champion="" if champion is None else champion.version,
        checkpoints=tuple(whole_checkpoints(folder / CHECKPOINTS)),
        offsets={f"{each.topic}/{each.index}": offset for each, offset in offsets.items()},
        rows=rows,
        files=digests(folder),
        left_out=(*LEFT_OUT, *gone, *damaged),
    )
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        fsync(path)
    write_manifest(folder, manifest)
    return manifest, damaged


def _copy_database(config: Config, to: Path) -> None:
    """Copy what the database has of the policy at one moment into one file of SQLite, whatever holds it."""
    place = config.state_database
    if isinstance(place, str):
        source, target = existing_store(config), open_store(to, TABLES)
        try:
            with opening(to), source.reading() as view, target.transaction() as tx:
                copy_tables(view, tx, config.policy)
        finally:
            source.close()
            target.close()
    else:
        if not place.is_file():
            raise ValueError(f"{place}: there is no state database; nothing has to be backed up")
        address = f"{place.absolute().as_uri()}?mode=ro"
        with (
            opening(place),
            closing(sqlite3.connect(address, uri=True)) as file,
            closing(sqlite3.connect(to)) as copy,
        ):
            try:
                file.backup(copy)
            except sqlite3.Error as problem:
                # Nothing is written to the state: the backup's disk is the full one.
                if is_full(problem):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(to)) from problem
                raise
    # What is wrong with the copy is wrong with what it was copied from.
    blamed = to if isinstance(place, str) else place
    with opening(blamed), closing(sqlite3.connect(to, isolation_level=None)) as copy:
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
        if (said := copy.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise ValueError(f"{place}: is damaged, and so would be its backup: {said}")


def _copy_checkpoints(config: Config, view: Transaction, now: float, to: Path) -> list[str]:
    """Copy the manifests that the database knows, and what it names whole; return what was damaged."""
    source = config.state_path / "checkpoints"
    known = [
        row[0]
        for row in view.execute(
            "SELECT sequence FROM checkpoints WHERE policy = ? ORDER BY sequence", (config.policy,)
        ).fetchall()
    ]
    named = set(known[-NEWEST:])
    if find_champion(view, config.policy) is not None:
        named |= kept_checkpoints(view, config.policy, config.rollout, now)
    to.mkdir()
    epoch = view.execute(
        "SELECT MAX(epoch) FROM leases WHERE policy = ?", (config.policy,)
    ).fetchone()[0]
    (to / "EPOCH").write_text(f"{epoch or 0}\n")
    damaged = []
    for sequence in known:
        inside = checkpoint_path(to, sequence)
        if sequence not in named:
            inside.mkdir()
            for name in MANIFEST_FILES:
                shutil.copy2(checkpoint_path(source, sequence) / name, inside)
            continue
        shutil.copytree(checkpoint_path(source, sequence), inside)
    copy_links(source, to, named & {*known})
    for sequence in known:
        # Of a pruned one the manifest is all there is.
        if state_of(to, sequence) and (problem := problem_of(to, read_manifest(to, sequence))):
            damaged.append(f"weights of checkpoint {sequence}, which are damaged: {problem}")
            for path in state_of(to, sequence):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return damaged


def _copy_files(config: Config, config_path: Path, folder: Path) -> list[str]:
    """Copy readers, flags, config and what that names; return what is not there to be copied."""
    for name in FOLDERS:
        if (kept := config.state_path / name).is_dir():
            shutil.copytree(kept, folder / name)
    if config.flags_path.is_file():
        shutil.copy2(config.flags_path, folder / FLAGS)
    (folder / CONFIG).mkdir()
    (folder / CONFIG / "rlwd.toml").write_text(without_secrets(config_path))
    gone = []
    for key, path in named_files(config).items():
        if not path.is_file():
            gone.append(f"{key}: {path}, which is not there")
            continue
        copy = folder / copied_as(key, path)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy2(path, copy)
    return gone


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
