"""Checkpoint folder: reading and verifying what the learner left; free of torch.

The daemon learns from these files alone what was applied. `write.py` writes them.

    state/checkpoints/EPOCH                     largest lease epoch that was ever handed out
    state/checkpoints/000017/manifest.json      with manifest.sha256 beside it
    state/checkpoints/000017/policy@v000017-3fa9c2e1/adapter_model.safetensors, adapter_config.json
    state/checkpoints/000017/optimizer.safetensors, rng.safetensors,
                                                trained.safetensors (beside an average),
                                                estimators.json, estimators.safetensors
"""

import contextlib
import hashlib
from collections.abc import Collection
from pathlib import Path

import msgspec

from ..candidate import Candidate, Manifest
from ..digests import adapter_digest, file_digest
from ..ledger.lineage import Lineage

MANIFEST_FILES = ("manifest.json", "manifest.sha256")
"""What is kept of a checkpoint for ever."""


def checkpoint_path(folder: Path, sequence: int) -> Path:
    """Folder of one checkpoint."""
    return folder / f"{sequence:06d}"


def sequences(folder: Path) -> list[int]:
    """Numbers of all checkpoints that were ever renamed into place, valid or not."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def state_of(folder: Path, sequence: int) -> list[Path]:
    """All that a checkpoint holds beside its manifest: weights, optimizer, baselines."""
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


def newest_valid(
    folder: Path, quarantined: Collection[str] = (), *, up_to: int | None = None
) -> Manifest | None:
    """Return the newest checkpoint whose files agree and whose chain holds no refused digest.

    A damaged one is passed over for the one before it (CONTRACTS 20); None where none is left.
    `up_to` looks at no later one.
    """
    lineage = Lineage(read_manifests(folder) if quarantined else ())
    for sequence in reversed(sequences(folder)):
        if up_to is not None and sequence > up_to:
            continue
        with contextlib.suppress(ValueError):
            manifest = read_manifest(folder, sequence)
            if any(each.digest in quarantined for each in lineage.chain(sequence)):
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
        base=f"{manifest.base or 'base model'}, digest {manifest.base_digest[:12]}",
        path=checkpoint_path(folder, manifest.sequence) / manifest.version,
        probe=manifest.probe,
        held_out=manifest.held_out,
        preference=manifest.preference,
        metrics=manifest.metrics,
    )
