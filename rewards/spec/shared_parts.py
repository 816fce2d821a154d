"""Shared parts: what an answer's parts are worth where some of its feedback is on a whole chain.

A turn's own signals stay with the turn. What was said of its session or reference is asked apart, and
counts beside them by the weight with which it reaches the answer: so a part is the weighted mean of
what its own feedback says (weight 1) and what each weight's feedback says, and itself weighs as much as
the greatest of these. Of a chain that nobody said anything else about each answer then has the value of
the outcome, and its `share` says how much of it is this answer's: a distant one makes a smaller step.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from ...streams.events.episode import Episode, Timed
from .believed import weighed_parts
from .reward import Cost, Part
from .segment_terms import SegmentTerms
from .term import Term
from .verification import TrustProfile


def is_shared(episode: Episode) -> bool:
    """Return whether any of an answer's feedback is on a whole session or reference."""
    # A loop: a generator costs as much as all parts of a short answer.
    for one in episode.feedback:  # noqa: SIM110
        if one.attribution is not None:
            return True
    return False


def asked_parts(
    terms: SegmentTerms, episode: Episode, counted: Episode, trust: Mapping[str, TrustProfile]
) -> tuple[Part, ...]:
    """Return the parts of any answer, each weighed by how far its signals are to be believed."""
    if is_shared(counted):
        asked = shared_parts(terms.parts, episode, counted)
    else:
        plan = terms.plan(episode.feedback)
        parts = plan.unasked.copy()
        for place, bare, t in plan.asked:
            value = t.ask(episode, counted) if bare is None else bare(counted)
            if value is not None:
                parts[place] = Part(name=t.name, value=value, weight=t.weight)
        asked = tuple(parts)
    return weighed_parts(terms.parts, asked, episode, counted, trust) if trust else asked


def asked_costs(terms: SegmentTerms, episode: Episode, counted: Episode) -> tuple[Cost, ...]:
    """Return what is taken off an answer; what a whole chain took by how much of it is the answer's."""
    alone = counted.chain is None
    return tuple(
        [
            Cost(
                name=t.name,
                value=bare(counted) if alone and bare is not None else t.ask(episode, counted),
                weight=t.weight_in(episode),
            )
            for bare, t in terms.plan(episode.feedback).costs
        ]
    )


def shared_parts(terms: Sequence[Term], episode: Episode, counted: Episode) -> tuple[Part, ...]:
    """Return the parts of an answer; `counted` has the feedback within its horizons.

    Own `accepted` (1, weight 1) beside an outcome of 0 that reaches it by a half: two parts, 1 of
    weight 1 and 0 of weight 0.5, so the reward is 1 / 1.5.
    """
    said = _by_weight(episode, counted)
    return tuple([_shared_part(term, said) for term in terms])


def share_of(terms: Sequence[Term], episode: Episode, counted: Episode) -> float:
    """Return the greatest weight with which anything reaches an answer that a part has a value by.

    1 where a signal of its own gives one.
    """
    said = _by_weight(episode, counted)
    weights = [weight for term in terms for weight, one in said if term.ask(*one) is not None]
    return max(weights, default=1.0)


def _shared_part(term: Term, said: Sequence[tuple[float, tuple[Episode, Episode]]]) -> Part:
    known = [(weight, value) for weight, one in said if (value := term.ask(*one)) is not None]
    if not known:
        return Part(name=term.name, value=None, weight=term.weight)
    total = sum([weight for weight, _ in known])
    return Part(
        name=term.name,
        value=sum([weight * value for weight, value in known]) / total,
        weight=term.weight * max(weight for weight, _ in known),
    )


def _by_weight(episode: Episode, counted: Episode) -> list[tuple[float, tuple[Episode, Episode]]]:
    """Return the episode once for its own feedback, and once for each weight of other feedback."""
    groups = defaultdict[tuple[bool, float], list[Timed]](list)
    groups[(False, 1.0)] = []
    for one in episode.feedback:
        shared = one.attribution is not None
        weight = one.attribution.weight if one.attribution is not None else 1.0
        groups[(shared, weight)].append(one)
    within = {id(one) for one in counted.feedback}
    return [
        (
            weight,
            (
                msgspec.structs.replace(episode, feedback=tuple(said)),
                msgspec.structs.replace(
                    episode, feedback=tuple([one for one in said if id(one) in within])
                ),
            ),
        )
        for (_, weight), said in groups.items()
    ]
