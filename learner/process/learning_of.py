"""Learning of: what a process learns with, by its settings."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from ..checkpoint.write import Origin
from ..ranks.group import Ranks
from ..service.open_service import open_service
from ..service.service_learner import ServiceLearner
from ..settings import LearnerProcessSettings
from ..staying.learning import Learning
from .traffic import Traffic


def learning_of(
    settings: LearnerProcessSettings,
    ranks: Ranks,
    waiting: Callable[[str], None],
    traffic: Traffic,
) -> Learning | ServiceLearner:
    """Return our own learner, or one whose tensors a training service has.

    `waiting` is told why that is waited for, and an empty text once it is not; `traffic` lets each forward
    pass of our own begin. Raises ValueError as `check_alike` does.
    """
    learner = settings.learner
    if not learner.service.url:
        learning = Learning(learner, ranks, traffic.make_way)
        traffic.at_work()  # The model is there; the slowest rank's is waited for.
        check_alike(learning, ranks)
        traffic.at_work()
        return learning
    return ServiceLearner(open_service(learner), learner, Path(settings.folder), waiting)


def check_alike(learning: Learning, ranks: Ranks) -> None:
    """Raise ValueError where this rank read other files than rank 0; all ranks must ask.

    Of a model that is replaced while they start each would hold a part of another one.
    """
    made_with = learning.learner.made_with
    read = (learning.learner.policy.base_digest, made_with.files, made_with.settings)
    ours = msgspec.json.encode(read, order="sorted")
    if ranks.told(ours) != ours:
        raise ValueError(
            "learner.model: it, or another file that [learner] names, was replaced while the processes"
            " started: they read different ones"
        )


def first_origin(learning: Learning | ServiceLearner, settings: LearnerProcessSettings) -> Origin:
    """Put the learner where a policy begins, and return what its first checkpoint comes from.

    Raises ValueError where the weights to start from are of another base model or another shape, or the
    tensors are at a training service, which begins with none.
    """
    if not settings.start:
        return Origin(probe=learning.first(), metrics={})
    start = Path(settings.start)
    if isinstance(learning, ServiceLearner):
        raise ValueError(
            'specialists.start: a training service begins with the base model: set it to "base"'
        )
    policy = learning.learner.policy
    if policy.base_digest != settings.start_base:
        raise ValueError(
            f"learner.model: is {policy.base_digest[:12]}, and {start.name}, which is started from, was"
            f" made on {settings.start_base[:12]}"
        )
    try:
        policy.load_adapter(start)
    except ValueError as problem:
        raise ValueError(f"learner.lora_rank: is not the parent's: {problem}") from problem
    return Origin(probe=learning.first(), metrics={}, started_from=start.name)
