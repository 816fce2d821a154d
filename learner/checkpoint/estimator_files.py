"""Estimator files: the baselines of a checkpoint, written and read again to the bit."""

from pathlib import Path

from safetensors.torch import load_file, save_file

from ..estimators.side_by_side import Estimators
from ..estimators.tracker import Tracker
from ..settings import LearnerSettings

ESTIMATORS = ("estimators.json", "estimators.safetensors")


def write_estimators(folder: Path, estimators: Estimators) -> None:
    """Write what `read_estimators` reads."""
    told, tensors = estimators.state()
    (folder / ESTIMATORS[0]).write_bytes(told)
    save_file(tensors, folder / ESTIMATORS[1])


def read_estimators(folder: Path, settings: LearnerSettings) -> Estimators:
    """Read the estimators; a checkpoint of before there were several has the tracker alone."""
    alone = folder / "tracker.json"
    if alone.exists():
        return Estimators.new(settings, Tracker.from_json(alone.read_bytes(), settings))
    told, tensors = (folder / name for name in ESTIMATORS)
    return Estimators.from_state(told.read_bytes(), load_file(tensors), settings)
