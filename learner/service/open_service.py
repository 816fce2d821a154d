"""Open service: the training service that the settings name."""

from ..settings import LearnerSettings
from .port import TrainingService


def open_service(settings: LearnerSettings) -> TrainingService:
    """Return the service of `learner.service.url`; it is asked for nothing yet.

    Raises ValueError where its key or its client library is not there.
    """
    try:
        from .tinker_training import TinkerTraining  # Only who learns at a service has the library.
    except ModuleNotFoundError as missing:
        told = f"its client library is not installed ({missing}): pip install 'rlwd[tinker]'"
        raise ValueError(f"learner.service.url: {told}") from missing
    return TinkerTraining(settings)
