"""Learning: a learner with all that its batches are applied by, for the worker and for a rebuild alike."""

from collections.abc import Callable

import torch

from ..candidate import Probe
from ..lanes.lane_parts import lane_parts
from ..ranks.group import ALONE, Ranks
from ..sealed import SealedBatch
from ..settings import LearnerSettings
from ..train.state import Between, Learner
from ..train.update import Update
from .drift_probe import DriftProbe
from .replay import replayed_texts, with_replay
from .within_budget import apply_within_budget


class Learning:
    """Learner, drift probe and replayed texts of one process."""

    def __init__(
        self,
        settings: LearnerSettings,
        ranks: Ranks = ALONE,
        between: Between = lambda together: None,
    ) -> None:
        self.learner = Learner(settings, ranks, between)
        self.probe = DriftProbe(self.learner)
        self.replayed = replayed_texts(self.learner)

    def first(self) -> Probe:
        """Return the probe of what a policy starts from."""
        torch.manual_seed(self.learner.settings.seed)
        return self.learner.probe()

    def apply(
        self, batch: SealedBatch, progress: Callable[[int, int], None] | None = None
    ) -> Update:
        """As `apply_within_budget`, with every lane and the replay."""
        lanes = with_replay(lane_parts, self.replayed)
        return apply_within_budget(self.learner, batch, self.probe, progress, lanes)
