"""Own part: what of a deployment of several policies is one policy's: answers, and adapters in each engine."""

from functools import partial
from pathlib import Path

from ..ops.rollout.desired_state import PROVEN_APART
from ..streams.join.record_reader import Owns
from .audit.learned_from import MayLearn
from .callers.specialists import ALL, Specialists, parents_adapters
from .config import Config, load_config


def own_answers(config: Config) -> Owns | None:
    """Return what tells whether a record is of this policy; None where all are."""
    return partial(_owners(config).owns, config.policy) if config.specialists else None


def own_learning(config: Config) -> MayLearn | None:
    """Return what tells of an answer, by id, tenant and kind of work, whether this policy may have learned
    from it; None where it may from all.
    """
    return partial(_owners(config).may_learn, config.policy) if config.specialists else None


def own_topics(config: Config) -> tuple[str, ...]:
    """Return the topics of which the gateways' losses are this policy's; empty where all are."""
    topics = (config.stream.generations, config.stream.feedback)
    return topics if config.specialists else ()


def other_policies(config: Config, tenant: str | None) -> tuple[str, ...]:
    """Return the other policies that may hold answers to a tenant's people, of None to anybody's; by name.

    The parent is one of them whatever its specialists own: it answered before they were there.
    """
    own = {
        name
        for name, one in config.specialists.items()
        if tenant is None or tenant in one.tenants or ALL in one.tenants
    }
    if config.parent:
        own.add(load_config(Path(config.parent)).policy)
    return tuple(sorted(own - {config.policy}))


def _owners(config: Config) -> Specialists:
    # A specialist's config does not know what its parent is called.
    return Specialists("" if config.parent else config.policy, config.specialists)


def own_adapters(config: Config) -> int:
    """Return how many versions an engine may hold of this policy; 0 where nobody counts."""
    if config.learner.weights == "full":
        # One more, since under a name of the moment it has the same server.
        return config.router.slots + PROVEN_APART
    if config.specialist is not None:
        return config.specialist.adapters
    return parents_adapters(config.engine.adapters, config.specialists)
