"""Learning of: what a process learns with, by its settings."""

from collections.abc import Callable
from pathlib import Path

from ..ranks.group import Ranks
from ..service.open_service import open_service
from ..service.service_learner import ServiceLearner
from ..settings import LearnerProcessSettings
from ..staying.learning import Learning
from ..train.state import Between


def learning_of(
    settings: LearnerProcessSettings,
    ranks: Ranks,
    waiting: Callable[[str], None],
    between: Between,
) -> Learning | ServiceLearner:
    """Return our own learner, or one whose tensors a training service has.

    `waiting` is told why that is waited for, and an empty text once it is not; `between` is called before
    each forward pass of our own.
    """
    learner = settings.learner
    if not learner.service.url:
        return Learning(learner, ranks, between)
    return ServiceLearner(open_service(learner), learner, Path(settings.folder), waiting)
