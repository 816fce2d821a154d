"""Service base: what is known here of the base model that a training service has."""

import json
from dataclasses import dataclass
from pathlib import Path

from ..base_weights import base_weights
from ..digests import files_digest
from ..made_with import MadeWith
from ..settings import LearnerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBase:
    """The base model's folder, of which the engines serve the same."""

    digest: str
    """Of its weights."""
    told: str
    """What it is, for people."""
    vocabulary: int
    """Tokens that it knows."""
    made_with: MadeWith
    """What updates at the service depend on, as far as it is known here."""

    @classmethod
    def read(cls, settings: LearnerSettings) -> "ServiceBase":
        """Read the folder; its weights are digested and never loaded.

        Raises ValueError, naming `learner.model`, where it holds no model.
        """
        folder, service = Path(settings.model), settings.service
        try:
            config = json.loads((folder / "config.json").read_bytes())
            vocabulary = int(config.get("text_config", config)["vocab_size"])
        except (OSError, ValueError, LookupError, TypeError) as problem:
            raise ValueError(
                f"learner.model: {settings.model!r}: config.json: {problem}"
            ) from problem
        return cls(
            digest=files_digest(base_weights(settings.model)),
            told=f"{folder.name} ({service.model} at {service.url}, {vocabulary} tokens)",
            vocabulary=vocabulary,
            made_with=MadeWith.measured(settings, f"{service.model} at {service.url}"),
        )
