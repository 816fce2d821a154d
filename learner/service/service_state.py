"""ServiceState: what a checkpoint says of weights and optimizer that a training service keeps."""

from pathlib import Path

import msgspec

from ..checkpoint.elsewhere import AT_SERVICE


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint's `service.json`."""

    url: str
    """The service that has the state."""
    model: str
    """Its name of the base model."""
    state: str
    """What `TrainingService.begin` takes."""
    steps: int
    """Optimizer steps of the policy's life."""


def state_in(checkpoint: Path) -> ServiceState | None:
    """Return what a checkpoint's `service.json` says; None where it has none.

    Raises ValueError, naming it, where it is damaged.
    """
    path = checkpoint / AT_SERVICE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServiceState)
    except ValueError as problem:  # msgspec's, or of bytes that are no text
        raise ValueError(f"{path}: {problem}") from problem
