"""Likeness: whether a version that was made again is the one that its manifest tells of, and where it differs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from ..candidate import Manifest
from ..checkpoint.folder import checkpoint_path
from ..digests import file_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """One version of the chain, beside what was made."""

    version: str
    """The version that was to be made."""
    sequence: int
    """Of its checkpoint."""
    made: str
    """The name of what was made."""
    differences: tuple[str, ...]
    """Which files differ, and by how much; empty where all are equal, byte for byte."""

    @property
    def equal(self) -> bool:
        """True where every file has the manifest's digest."""
        return not self.differences


def liken(folder: Path, wanted: Manifest, made_in: Path, made: Manifest) -> Likeness:
    """Compare, by the digests; and where files of both are there, by their tensors.

    Of what is not kept the manifest still holds the probe's log-probabilities and what was measured:
    they say how far the other one is off.
    """
    ours, theirs = _digests(wanted), _digests(made)
    odd = [
        name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)
    ]
    told = list[str]()
    for name in odd:
        if name not in ours or name not in theirs:
            told.append(f"{name}: {'was not there' if name in theirs else 'was not made'}")
            continue
        left = _path(folder, wanted, name)
        kept = left.is_file() and file_digest(left) == ours[name]
        if kept and name.endswith(".safetensors"):
            told += [
                f"{name}: {each}" for each in _tensors_apart(left, _path(made_in, made, name))
            ] or [f"{name}: other bytes, equal tensors"]
        else:
            told.append(f"{name}: {theirs[name][:12]}…, the manifest has {ours[name][:12]}…")
    if odd:
        told += [*_probes_apart(wanted, made), *_metrics_apart(wanted.metrics, made.metrics)]
    return Likeness(
        version=wanted.version, sequence=wanted.sequence, made=made.version, differences=tuple(told)
    )


def _digests(manifest: Manifest) -> dict[str, str]:
    """Return the files' digests, the adapter's under the one name `adapter`."""
    return {
        name.replace(f"{manifest.version}/", "adapter/", 1): digest
        for name, digest in manifest.files.items()
    }


def _path(folder: Path, manifest: Manifest, name: str) -> Path:
    inside = name.replace("adapter/", f"{manifest.version}/", 1)
    return checkpoint_path(folder, manifest.sequence) / inside


def _tensors_apart(left: Path, right: Path) -> Iterator[str]:
    """Yield how many tensors differ, and which one most."""
    ours, theirs = load_file(left), load_file(right)
    if lone := sorted(ours.keys() ^ theirs.keys()):
        yield f"{lone[0]} is in one of them alone"
    apart = dict[str, float]()
    for name in ours.keys() & theirs.keys():
        if ours[name].shape != theirs[name].shape:
            yield f"{name} is {tuple(theirs[name].shape)}, was {tuple(ours[name].shape)}"
        elif not ours[name].equal(theirs[name]):
            apart[name] = float((ours[name].double() - theirs[name].double()).abs().max())
    if apart:
        most = max(sorted(apart), key=lambda name: apart[name])
        yield f"{len(apart)} of {len(ours)} tensors differ, most {most}: by up to {apart[most]:.3g}"


def _probes_apart(wanted: Manifest, made: Manifest) -> Iterator[str]:
    if wanted.probe.token_ids == made.probe.token_ids:
        pairs = zip(wanted.probe.logprobs, made.probe.logprobs, strict=True)
        yield f"the probe's log-probabilities: by up to {max(abs(a - b) for a, b in pairs):.3g}"
    else:
        yield "the probe: other tokens"


def _metrics_apart(wanted: Mapping[str, float], made: Mapping[str, float]) -> Iterator[str]:
    """Yield how many measurements differ, and the one that does most beside its size."""
    far = {
        name: abs(wanted[name] - made[name]) / max(abs(wanted[name]), abs(made[name]))
        for name in sorted(wanted.keys() & made.keys())
        if wanted[name] != made[name]
    }
    if far:
        most = max(far, key=lambda name: far[name])
        yield (
            f"{len(far)} of {len(wanted)} measurements, most {most}: {made[most]:.6g},"
            f" was {wanted[most]:.6g}"
        )
    if lone := sorted(wanted.keys() ^ made.keys()):
        yield f"measurements that one of them lacks: {', '.join(lone[:3])}"
