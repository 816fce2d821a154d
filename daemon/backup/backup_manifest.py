"""Backup manifest: what a backup holds, with a digest of every file, so that half of one is known as such."""

import hashlib
from pathlib import Path

import msgspec

from ...learner.checkpoint.folder import START
from ...learner.digests import file_digest
from ...ops.benchmark.benchmark_file import FOLDER as BENCHMARKS
from ...streams.state.durable import replace_file

FORMAT = 1
NAME, DIGEST = "backup.json", "backup.sha256"
DATABASE, CHECKPOINTS = "database.db", "checkpoints"
FOLDERS = ("readers", BENCHMARKS, START)
"""Folders of the state that are taken as they are: what was learned to read, what candidates are asked, and
the weights that a specialist began with."""
FLAGS = "flags.json"
LEFT_OUT = (
    "secrets of the config: keep them where you keep secrets; without gateway.user_key nobody is"
    + " known again",
    "the log: Kafka's topics, or log.db; what it holds since is read again",
    "spools of gateways, the data folder of large events, and the base model",
    "the list of who was erased (`erasures`): it stays where it is, newer than any backup",
)
"""Said in every backup."""


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """`backup.json`."""

    format: int
    """Of the backup."""
    policy: str
    """Whose state it is."""
    made_at: float
    """Epoch seconds at which the database was read; all else in it is no newer."""
    database: str
    """What the state database was: sqlite or postgresql."""
    champion: str
    """Version that was served; empty before there was one."""
    checkpoints: tuple[int, ...]
    """Checkpoints that are in it with their weights; of all others that the database knows the manifest."""
    offsets: dict[str, int]
    """By `topic/partition`, where reading goes on after a restore."""
    rows: dict[str, int]
    """Rows by table."""
    files: dict[str, str]
    """Path in the folder to SHA-256, hex."""
    left_out: tuple[str, ...] = LEFT_OUT
    """What is not in it."""


def write_manifest(folder: Path, manifest: BackupManifest) -> None:
    """Write it as the backup's last file: a folder without it is half a backup."""
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    replace_file(folder / DIGEST, (hashlib.sha256(raw).hexdigest() + "\n").encode())
    replace_file(folder / NAME, raw)


def digests(folder: Path) -> dict[str, str]:
    """Return every file of a folder but the manifest's own, with its digest."""
    return {
        str(path.relative_to(folder)): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (NAME, DIGEST)
    }


def read_backup(folder: Path) -> BackupManifest:
    """Return a backup's manifest, once every file of it was found to be whole.

    Raises ValueError that names the first file which is missing, other than it was, or not of the folder.
    """
    try:
        raw, wanted = (folder / NAME).read_bytes(), (folder / DIGEST).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise ValueError(
            f"{folder}: is no backup, or half of one: {NAME} and {DIGEST} are not both there"
        ) from None
    if hashlib.sha256(raw).hexdigest() != wanted:
        raise ValueError(f"{folder / NAME}: its digest is not the one in {DIGEST}")
    try:
        manifest = msgspec.json.decode(raw, type=BackupManifest)
    except msgspec.MsgspecError as problem:
        raise ValueError(f"{folder / NAME}: {problem}") from None
    if manifest.format > FORMAT:
        raise ValueError(f"{folder}: was made by a newer rlwd (format {manifest.format})")
    whole = folder.resolve()
    for name, digest in {DATABASE: "", **manifest.files}.items():
        path = folder / name
        # What it names is restored: nothing outside of it, and nothing that a link leads to.
        if path.resolve() != whole / name or not path.resolve().is_relative_to(whole):
            raise ValueError(f"{path}: does not lie in the backup")
        if not path.is_file():
            raise ValueError(f"{path}: is missing; the backup is not whole")
        if file_digest(path) != digest:
            raise ValueError(f"{path}: is damaged: its digest is not the one in {NAME}")
    # Not looked into: what else lies there is not restored.
    return manifest
