"""Checkpoint folder: reading and verifying what the learner left; free of torch.

The daemon learns from these files alone what was applied. `write.py` writes them.

    state/checkpoints/EPOCH                     largest lease epoch that was ever handed out
    state/checkpoints/000017/manifest.json      with manifest.sha256 beside it
    state/checkpoints/000017/policy@v000017-3fa9c2e1/adapter_model.safetensors, adapter_config.json
    state/checkpoints/000017/weights/           in place of that: full weights (`weight_link.py`)
    state/checkpoints/000017/optimizer.safetensors, rng.safetensors,
                                                trained.safetensors (beside an average, or bfloat16),
                                                estimators.json, estimators.safetensors
"""

import contextlib
import hashlib
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from ..candidate import Candidate, Manifest
from ..digests import adapter_digest, file_digest, files_digest
from ..ledger.lineage import Lineage
from .weight_link import WEIGHTS, chain, link_path, links_needed, read_link

START = "start"
"""Beside the checkpoints of a specialist: the adapter of its parent's that its v0 was made from."""
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
    """All that a checkpoint holds beside its manifest: weights, optimizer, baselines.

    But for a link of full weights, which may be there for the sake of others.
    """
    inside = checkpoint_path(folder, sequence).iterdir()
    return [path for path in inside if path.name not in (*MANIFEST_FILES, WEIGHTS)]


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
    if is_full(manifest):
        return chain_problem(folder, manifest.sequence, manifest.digest)
    if adapter_digest(root / manifest.version) != manifest.digest:
        return f"{root / manifest.version}: not the adapter that $.digest names"
    return None


def _on(at: int, sequence: int) -> str:
    return "" if at == sequence else f", and checkpoint {sequence} is built on it"


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


def weights_path(folder: Path, manifest: Manifest) -> Path:
    """Folder of a checkpoint's adapter, or of its link of full weights."""
    checkpoint = checkpoint_path(folder, manifest.sequence)
    return link_path(checkpoint) if is_full(manifest) else checkpoint / manifest.version


def is_full(manifest: Manifest) -> bool:
    """Whether a checkpoint holds full weights, and no adapter."""
    return any(name.startswith(f"{WEIGHTS}/") for name in manifest.files)


def check_base(model: Path, manifest: Manifest) -> None:
    """Raise ValueError, naming `learner.model`, where the folder is not the base model of a version."""
    found = sorted(model.glob("*.safetensors"))
    if not found or files_digest(found) != manifest.base_digest:
        raise ValueError(
            f"learner.model: {model} is not {manifest.base}, digest {manifest.base_digest[:12]}, on which"
            f" {manifest.version} was made"
        )


def is_base(manifest: Manifest) -> bool:
    """Whether a version's weights are the base model's own."""
    return manifest.parent_sequence is None and not manifest.started_from


def chain_problem(folder: Path, sequence: int, digest: str) -> str | None:
    """Say which link of a version of full weights is missing, damaged or another one, or None where all fit.

    A link's files are held against its own manifest, which outlives it.
    """
    wanted = digest
    try:
        for at in chain(folder, sequence):
            checkpoint, manifest = folder / f"{at:06d}", read_manifest(folder, at)
            for name, known in manifest.files.items():
                path = checkpoint / name
                if not name.startswith(f"{WEIGHTS}/"):
                    continue
                if not path.is_file():
                    return f"{path}: missing{_on(at, sequence)}"
                if file_digest(path) != known:
                    return f"{path}: its digest is not the manifest's{_on(at, sequence)}"
            link = read_link(checkpoint)
            if link.digest != wanted:
                return f"{link_path(checkpoint)}: holds {link.digest[:12]}, not {wanted[:12]}"
            wanted = link.base_digest
    except ValueError as problem:
        return str(problem)
    return None


def copy_links(source: Path, to: Path, sequences: Iterable[int]) -> None:
    """Copy, beside checkpoints that were copied, the links of full weights that they are built on.

    Each with its manifest, unless it is there.
    """
    for sequence in sorted(links_needed(source, sequences)):
        ours, theirs = checkpoint_path(source, sequence), checkpoint_path(to, sequence)
        theirs.mkdir(exist_ok=True)
        for name in MANIFEST_FILES:
            if (ours / name).exists() and not (theirs / name).exists():
                shutil.copy2(ours / name, theirs)
        if link_path(ours).is_dir() and not link_path(theirs).exists():
            shutil.copytree(link_path(ours), link_path(theirs))


def candidate_of(folder: Path, manifest: Manifest) -> Candidate:
    """Return the version that a checkpoint holds, as something to serve."""
    return Candidate(
        version=manifest.version,
        sequence=manifest.sequence,
        digest=manifest.digest,
        base=f"{manifest.base or 'base model'}, digest {manifest.base_digest[:12]}",
        path=weights_path(folder, manifest),
        probe=manifest.probe,
        held_out=manifest.held_out,
        preference=manifest.preference,
        metrics=manifest.metrics,
    )
