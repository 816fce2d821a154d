"""Bench scores: the reward specs that ingest is measured with, and what works out no reward at all."""

from collections.abc import Callable

from rlwd.rewards.spec.registry import COSTS, PARTS
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec, reward_spec
from rlwd.rewards.spec.term import CostTable
from rlwd.streams.events.episode import Episode
from rlwd.streams.events.scored import Score, Scored
from rlwd.streams.events.signals import Signal

WORTH = Scored(value=1.0, parts=b'{"accepted":[1.0,1.0]}', spec_version="bench", ready_at=0.0)


class NoRewards(Scorer):
    """Decides by the default spec's signals, and says the same of every answer at once.

    What is written is as with a spec, so that only the working out is left out.
    """

    def __call__(self, episode: Episode) -> Scored | None:
        """Return the same for all that somebody decided on."""
        decided = any(self.decides(one.feedback.signal) for one in episode.feedback)
        return WORTH if decided else None

    def decides(self, signal: Signal) -> bool:
        """Return what the default spec does."""
        return self.spec.decides(signal)


def whole_spec() -> Spec:
    """Return a spec with every part and every cost that there is."""
    return Spec(
        name="whole",
        parts=dict.fromkeys(PARTS, 1.0),
        costs={name: CostTable(weight=0.01) for name in COSTS},
        range=(-1.0, 1.0),
    )


SCORES: dict[str, Callable[[], Score]] = {
    "no rewards": lambda: NoRewards(reward_spec("")),
    "rewards by the default spec": lambda: Scorer(reward_spec("")),
    f"rewards by all {len(PARTS)} parts and {len(COSTS)} costs": lambda: Scorer(whole_spec()),
}
"""What ingest asks for rewards, by name."""
