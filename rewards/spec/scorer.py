"""Scorer: the reward spec as the join asks for it."""

import msgspec

from ...streams.events.episode import LAST, AttributionRule, Episode
from ...streams.events.generation import Generation
from ...streams.events.scored import Scored
from ...streams.events.signals import FollowedUp, Judged, Outcome, Signal, kind_of
from ...streams.events.usage import Amounts
from ..behaviours.asks import asks, asks_person
from ..costs.asking import could_act
from ..costs.effort import amounts
from .attribution_rules import rules_by_kind, spread_rules
from .installed_value import problem_of
from .reward import Reward
from .shared_parts import is_shared, share_of
from .spec import UNDECIDED, Spec

_ENCODE = msgspec.json.Encoder().encode


class Scorer:
    """Turns episodes into rows: reward, parts as JSON, and from when they may be trained on."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._rules = rules_by_kind(spec.attribution)
        self._spread = spread_rules(spec.spread)
        self.spreads = bool(self._spread)
        """Whether any signal that names an answer belongs to the chain up to it."""
        self.over_chain = any(term.over is not None for term in spec.terms[1])
        """Whether a cost is taken over whole chains."""

    @property
    def version(self) -> str:
        """Version of the spec."""
        return self.spec.version

    @property
    def problem(self) -> str | None:
        """What is wrong with installed parts and costs; None where nothing is."""
        return problem_of(term.value for terms in self.spec.terms for term in terms)

    def __call__(self, episode: Episode) -> Scored | None:
        """Return what the episode is worth, or None while nothing decisive is known."""
        spec = self.spec
        counted = spec.within_horizons(episode)
        if not spec.decided(counted):
            return None
        # Where a signal is believed in part, or anything is of a whole chain, weights differ by answer.
        if spec.trust or episode.chain is not None or is_shared(counted):
            reward = spec.reward(episode)
            return None if reward is None else self._scored(episode, reward)
        terms = spec.terms_in(episode.generation.segment)
        plain = terms.plan(episode.feedback).plain(episode, counted)
        if plain.mean is None:
            return None
        return Scored(
            value=spec.valued(plain.mean, plain.off),
            parts=plain.told,
            spec_version=spec.version,
            ready_at=self._ready_at(episode),
        )

    def undecided(self, episode: Episode) -> Scored | None:
        """Return what the episode is worth once its decision is over; None where it is censored."""
        reward = self.spec.undecided_reward(episode)
        return None if reward is None else self._scored(episode, reward)

    def decides(self, signal: Signal) -> bool:
        """Return whether a signal is one of which the spec wants at least one."""
        return self.spec.decides(signal)

    def attribution(self, signal: Signal) -> AttributionRule:
        """Return which answers a signal reaches that names a session or a reference."""
        return self._rules.get(type(signal), LAST)

    def spread(self, signal: Signal) -> AttributionRule | None:
        """Return how a signal that names an answer reaches the chain up to it; None where it does not."""
        kind = kind_of(signal)
        named = self._spread.get(f"{kind}@{signal.name}") if isinstance(signal, Outcome) else None
        return named or self._spread.get(kind)

    def amounts(self, generation: Generation) -> Amounts | None:
        """Return what went into an answer; None where its record does not say."""
        return amounts(generation)

    def share(self, episode: Episode) -> float:
        """Return how much of what an episode is worth is its own, in (0, 1].

        1 where a signal of its own says so; of an outcome of its chain alone what the distance leaves.
        """
        if not is_shared(episode):
            return 1.0
        parts = self.spec.terms_in(episode.generation.segment).parts
        return share_of(parts, episode, self.spec.within_horizons(episode))

    def values_undecided(self, segment: str) -> bool:
        """Return whether any of a segment's answers may have a value that nobody decided on."""
        spec = self.spec
        return spec.undecided_value(segment) is not None or spec.silence(segment) is not None

    def values_unanswered(self, segment: str) -> bool:
        """Return whether one may that was offered tools, and only asks."""
        return self.spec.undecided_value(segment, asked=True) is not None

    def asks_person(self, tool: str) -> bool:
        """Return whether a call of a tool of this name asks the person."""
        return asks_person(tool)

    def only_asks(self, generation: Generation) -> bool:
        """Return whether an answer is such a question, whether or not anybody answered it."""
        return could_act(generation) and bool(asks(generation))

    def _scored(self, episode: Episode, reward: Reward) -> Scored:
        return Scored(
            value=reward.value,
            parts=encode_reward(reward),
            spec_version=reward.spec_version,
            ready_at=self._ready_at(episode),
            undecided=reward.undecided is not None,
        )

    def _ready_at(self, episode: Episode) -> float:
        """Return from when an episode may be trained on."""
        wait = self.spec.ready_seconds(episode.generation.segment)
        ready_at = episode.received_at + wait if wait else 0.0
        return max(ready_at, self._read_at(episode)) if self.spec.wait else ready_at

    def _read_at(self, episode: Episode) -> float:
        """Return until when a reading is waited for; 0 where none is, or it is there."""
        waits = self.spec.wait
        wait = waits and waits.get(episode.generation.segment, waits.get("default", 0.0))
        if not wait:
            return 0.0
        said = 0.0
        for one in episode.feedback:
            if isinstance(one.feedback.signal, Judged) and not one.feedback.signal.rubric:
                return 0.0
            if isinstance(one.feedback.signal, FollowedUp):
                said = said or one.received_at
        return said + wait if said else 0.0


def encode_reward(reward: Reward) -> bytes:
    """Write every part with its value and weight, and every cost with a weight below 0.

    `{"accepted": [1.0, 1.0], "kept": [null, 1.0], "effort": [0.5, -0.2]}`. Where nobody decided,
    `undecided` has the value that stood for the parts.
    """
    told = {part.name: (part.value, part.weight) for part in reward.parts}
    if reward.costs:
        told |= {cost.name: (cost.value, -cost.weight) for cost in reward.costs}
    if reward.undecided is not None:
        told[UNDECIDED] = (reward.undecided, 1.0)
    return _ENCODE(told)
