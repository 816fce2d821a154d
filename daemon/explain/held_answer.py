"""Held answer: an answer whose content the state still holds, as its rewards see it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...rewards.spec.reward import Reward
from ...rewards.spec.scorer import Scorer
from ...rewards.spec.spec import Spec
from ...streams.attribution.spent import with_chains
from ...streams.events.episode import Episode
from ...streams.join.episodes_table import load_episodes
from ...streams.state.transaction import Transaction


class HeldAnswer(NamedTuple):
    """One answer."""

    episode: Episode
    """The answer with what people did about it."""
    fate: str
    """As in `fate.py`."""
    read_past: float
    """The receive time that the log was read past."""
    attributed: Mapping[str, Episode] = {}
    """The answer as a spec, by version, attributes feedback on its chains; as `episode` where not given."""

    def as_by(self, spec: Spec) -> Episode:
        """Return the answer as a spec attributes feedback on its chains."""
        return self.attributed.get(spec.version, self.episode)

    def reward(self, spec: Spec) -> Reward | None:
        """Return what it is worth under a spec, where its decision is over for silence, too."""
        segment = self.episode.generation.segment
        over = self.read_past > self.episode.received_at + spec.decision_seconds(segment)
        episode = self.as_by(spec)
        return spec.undecided_reward(episode) if over else spec.reward(episode)


def load_held(
    view: Transaction, policy: str, ids: Sequence[str], scorers: Sequence[Scorer]
) -> list[Episode]:
    """Return these answers, of those whose content is held, with what any of these specs asks of chains."""
    found = load_episodes(view, policy, ids)
    asking = next((one for one in scorers if one.over_chain), None)
    return found if asking is None else with_chains(view, policy, found, asking.amounts, keep=False)
