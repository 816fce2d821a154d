"""Service settings: a training service that makes the tensors' part of an update."""

from typing import Annotated

import msgspec

from ..streams.secret_values import FILE


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[learner.service]` of the config file; docs/learner_service.md has what it takes."""

    url: str = ""
    """A service that speaks the Tinker API. Empty learns in a process of our own."""
    model: str = ""
    """What the service calls the base model that `learner.model` is: `Qwen/Qwen3-8B`."""
    key: str = ""
    """`$NAME` of the variable or `file:PATH` of the file that holds its API key."""
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0.0)] = 600.0
    """Longest wait for one call; then the service counts as away, and the batch is begun again."""

    def __post_init__(self) -> None:
        # These settings stand in each version's manifest, where no secret may.
        if self.key and not self.key.startswith(("$", FILE)):
            raise ValueError("learner.service.key: must be $NAME or file:PATH, not the key itself")
