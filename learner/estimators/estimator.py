"""Estimator: what an answer was expected to earn, from one answer per prompt.

Legend: N episodes of a batch, D width of their prompts' pooled states.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from ..sealed import SealedEpisode


class Estimator(Protocol):
    """A baseline that is kept up from batch to batch.

    A batch goes through `baselines`, then `observe`, and after the update `moved`. The states are the
    anchor's of each prompt, so that they stay where they are while the policy learns; None where they
    were not computed.
    """

    def baselines(
        self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None
    ) -> list[float | None]:
        """Return each episode's expected reward by everything but its own reward.

        None where nothing else is known. Changes nothing.
        """
        ...

    def observe(self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None) -> None:
        """Take up the episodes' rewards."""
        ...

    def moved(self, by_stratum: Mapping[str, float], otherwise: float) -> None:
        """Take note of how far an update moved the policy: mean absolute change of log-probability,
        nats, for each stratum where it was measured."""
        ...
