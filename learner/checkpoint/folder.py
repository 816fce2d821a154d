"""Manifest on disk: reading and verifying checkpoints, and saying whose lease may write them.

Everything here is free of torch: the daemon learns from these files alone what was applied. What is
written, with weights in it, is `checkpoint.py`'s.

    state/checkpoints/EPOCH                     largest lease epoch that was ever handed out
    state/checkpoints/000017/manifest.json      with manifest.sha256 beside it
    state/checkpoints/000017/policy@v000017-3fa9c2e1/adapter_model.safetensors, adapter_config.json
    state/checkpoints/000017/optimizer.safetensors, rng.safetensors, tracker.json
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from ..candidate import Candidate, Manifest, adapter_digest

MANIFEST_FILES = ("manifest.json", "manifest.sha256")
"""What is kept of a checkpoint for ever."""
EPOCH_SECONDS = 20.0
"""Longest wait for who publishes a checkpoint: a rename takes milliseconds."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256, hex, over the lines `name digest` of the files, by name."""
    lines = (f"{path.name} {file_digest(path)}\n" for path in sorted(paths, key=lambda p: p.name))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def checkpoint_path(folder: Path, sequence: int) -> Path:
    """Folder of one checkpoint."""
    return folder / f"{sequence:06d}"


def sequences(folder: Path) -> list[int]:
    """Numbers of all checkpoints that were ever renamed into place, valid or not."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def state_of(folder: Path, sequence: int) -> list[Path]:
    """All that a checkpoint holds beside its manifest: weights, optimizer, trackers."""
    inside = checkpoint_path(folder, sequence).iterdir()
    return [path for path in inside if path.name not in MANIFEST_FILES]


def whole_checkpoints(folder: Path) -> list[int]:
    """Numbers of the checkpoints that were not pruned, whether their files agree or not."""
    return [sequence for sequence in sequences(folder) if state_of(folder, sequence)]


def read_manifest(folder: Path, sequence: int) -> Manifest:
    """Read one manifest.

    Raises ValueError where it is missing, damaged or another checkpoint's.
    """
    path = checkpoint_path(folder, sequence) / "manifest.json"
    try:
        raw, wanted = path.read_bytes(), path.with_suffix(".sha256").read_text().strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path}: {problem}") from problem
    if hashlib.sha256(raw).hexdigest() != wanted:
        raise ValueError(f"{path}: its digest is not the one in {path.stem}.sha256")
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.ValidationError, msgspec.DecodeError) as problem:
        raise ValueError(f"{path}: {problem}") from problem
    if manifest.sequence != sequence:
        raise ValueError(f"{path}: $.sequence is {manifest.sequence}")
    return manifest


def read_manifests(folder: Path, *, after: int = -1) -> list[Manifest]:
    """Return every manifest that can be read, by sequence; the weights are not looked at.

    `after` leaves out those up to a sequence: they never change.
    """
    found = []
    for sequence in sequences(folder):
        with contextlib.suppress(ValueError):
            if sequence > after:
                found.append(read_manifest(folder, sequence))
    return found


def problem_of(folder: Path, manifest: Manifest) -> str | None:
    """Say what is wrong with a checkpoint's files, or None where every digest agrees."""
    root = checkpoint_path(folder, manifest.sequence)
    for name, wanted in manifest.files.items():
        path = root / name
        if not path.is_file():
            return f"{path}: missing"
        if file_digest(path) != wanted:
            return f"{path}: its digest is not the manifest's"
    if adapter_digest(root / manifest.version) != manifest.digest:
        return f"{root / manifest.version}: not the adapter that $.digest names"
    return None


def lineage(manifest: Manifest, known: dict[int, Manifest]) -> Iterator[Manifest]:
    """Yield the checkpoint and its ancestors, as far back as they are kept."""
    at: Manifest | None = manifest
    while at is not None:
        yield at
        at = None if at.parent_sequence is None else known.get(at.parent_sequence)


def newest_valid(
    folder: Path, quarantined: Collection[str] = (), *, up_to: int | None = None
) -> Manifest | None:
    """Return the newest checkpoint whose files agree and whose chain holds no refused digest.

    A damaged one is passed over for the one before it (CONTRACTS 20); None where none is left.
    `up_to` looks at no later one.
    """
    known: dict[int, Manifest] = {}
    if quarantined:
        known = {manifest.sequence: manifest for manifest in read_manifests(folder)}
    for sequence in reversed(sequences(folder)):
        if up_to is not None and sequence > up_to:
            continue
        with contextlib.suppress(ValueError):
            manifest = read_manifest(folder, sequence)
            if any(ancestor.digest in quarantined for ancestor in lineage(manifest, known)):
                continue
            if problem_of(folder, manifest) is None:
                return manifest
    return None


def candidate_of(folder: Path, manifest: Manifest) -> Candidate:
    """Return the version that a checkpoint holds, as something to serve."""
    return Candidate(
        version=manifest.version,
        sequence=manifest.sequence,
        digest=manifest.digest,
        path=checkpoint_path(folder, manifest.sequence) / manifest.version,
        probe=manifest.probe,
        held_out=manifest.held_out,
        metrics=manifest.metrics,
    )


@contextlib.contextmanager
def epoch_lock(folder: Path) -> Iterator[None]:
    """Hold off every other reader and writer of the lease epoch.

    Raises TimeoutError where another process holds it for long: a learner that was stopped there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + EPOCH_SECONDS
    with (folder / "EPOCH.lock").open("ab") as lock:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{lock.name}: held for over {EPOCH_SECONDS:.0f} s; is a learner stopped?"
                )
            time.sleep(0.02)
        yield


def read_epoch(folder: Path) -> int:
    """Return the largest lease epoch handed out, 0 where there was none."""
    path = folder / "EPOCH"
    return int(path.read_text()) if path.exists() else 0


def write_epoch(folder: Path, epoch: int) -> None:
    """Make `epoch` the one that may write checkpoints; durable when it returns.

    Raises ValueError where a larger one was handed out already.
    """
    with epoch_lock(folder):
        if epoch < read_epoch(folder):
            raise ValueError(f"{folder / 'EPOCH'}: {read_epoch(folder)} is above {epoch}")
        aside = folder / "EPOCH.new"
        aside.write_text(f"{epoch}\n")
        fsync(aside)
        aside.rename(folder / "EPOCH")
        fsync(folder)


def fsync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
