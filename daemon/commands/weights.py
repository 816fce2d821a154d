"""Weights: `rlwd weights VERSION`, a version of full weights as a folder that a server can be started with."""

from pathlib import Path

from ...learner.candidate import sequence_of
from ...learner.checkpoint.folder import read_manifest, sequences
from ...streams.quick_imports import quick_imports
from ..config import Config


def run_weights(config: Config, version: str, out: Path | None) -> int:
    """Write the folder and say how far it is off the version's probe; returns 0.

    It reads the checkpoints and writes the new folder alone, so a learner may run beside it. Raises
    ValueError where it cannot be made.
    """
    folder, sequence = config.state_path / "checkpoints", sequence_of(version)
    if sequence not in sequences(folder):
        raise ValueError(f"{version}: {folder} has no checkpoint of it")
    manifest = read_manifest(folder, sequence)
    if manifest.version != version:
        raise ValueError(f"{version}: checkpoint {sequence} holds {manifest.version}")
    place = out or config.state_path / "weights" / version
    if place.exists():
        raise ValueError(f"{place}: is there already; name a new folder by --out")
    with quick_imports():
        # Here: the other commands do without torch, and so does whoever mistyped this one.
        from ...learner.checkpoint.export_model import export_model
    made = export_model(
        folder,
        manifest,
        Path(config.learner.model),
        place,
        tolerance=config.gate.probe_tolerance,
    )
    assert made.off is not None, "a tolerance was given"
    print(f"{version}: {made.path}, proven to {made.off:.2g} nats of its probe")
    return 0
