"""Verification: which signals decide, how many answers, how fast, and how far they are to be believed."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from ...rewards.spec.verification import TrustProfile
from .figures import quantile, share
from .tally import SegmentTally

ENOUGH = 30
"""Answers, or pairs of people, from which on a share of them is believed."""
NoiseBy = Literal["later words", "taken back", "spec", "unknown"]


class LaterWord(msgspec.Struct, frozen=True, kw_only=True):
    """A first decision beside a later word on the same answer."""

    first: str
    """Kind of the decision."""
    later: str
    """Kind of the last later word."""
    answers: int
    """Answers that have both."""
    agree: float
    """Share of them in which both point the same way."""


class AlikeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What different people decided on requests that are alike."""

    looked_at: int = 0
    """DecidedRequest answers whose requests were compared."""
    pairs: int = 0
    """Pairs of different people with requests that are alike."""
    agree: float | None = None
    """Share of the pairs that decided alike; None of none."""
    beyond_chance: float | None = None
    """Cohen's kappa: 0 is what chance gives, 1 is always alike; None of none, or where all decide alike."""


def together(found: Iterable[AlikeFacts]) -> AlikeFacts:
    """Return what several segments say, each by its pairs."""
    facts = [one for one in found if one.pairs]
    pairs = sum(one.pairs for one in facts)
    known = [(one.beyond_chance, one.pairs) for one in facts if one.beyond_chance is not None]
    return AlikeFacts(
        looked_at=sum(one.looked_at for one in facts),
        pairs=pairs,
        agree=share(sum((one.agree or 0.0) * one.pairs for one in facts), pairs),
        beyond_chance=share(sum(k * n for k, n in known), sum(n for _, n in known)),
    )


class VerificationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How far one may learn from what people did."""

    decided: float | None
    """Share decided on, of the answers that are old enough and may be learned from."""
    matured: int
    """Answers that are old enough and may be learned from, as recorded."""
    decided_count: int
    """Answers with a decision, as recorded."""
    acted_on: float | None
    """Share of all answers with any signal at all."""
    signals: dict[str, float]
    """Share of all answers with a signal of a kind."""
    deciding: dict[str, float]
    """Share of the decisions that a kind made first."""
    reward: float | None
    """Mean reward of the decided ones."""
    delay_median: float | None
    """Seconds from the answer to its first decision."""
    delay_p90: float | None
    """Of nine in ten decisions."""
    later: list[LaterWord]
    """Whether later words agree with first decisions."""
    taken_back: float | None
    """Share undone of the answers that were taken first."""
    between_people: AlikeFacts
    """What people decide on requests that are alike."""
    hasty: float | None
    """Share of the decisions that came before anybody could have read the answer."""
    noise: float | None
    """Share of decisions that are wrong; None where nothing says so."""
    noise_by: NoiseBy
    """By what that is known."""
    judges: int
    """People who decided, as recorded."""
    judges_share: float | None
    """Of all people who were named."""
    judges_half: float | None
    """Share of the judges who made half of the decisions, the busiest first."""
    asymmetry: float | None
    """What a decider's word weighs beside any user's, by the spec's profiles; None where it has none."""


def verification_facts(
    tally: SegmentTally, trust: Mapping[str, TrustProfile], alike: AlikeFacts
) -> VerificationFacts:
    """Return the verification of a tally; `trust` are the spec's profiles by kind of signal."""
    decisions = sum(tally.deciding.values())
    counts = sorted((one.count for one in tally.people.values() if one.count), reverse=True)
    noise, by = _noise(tally, trust, decisions)
    known = [
        (trust[kind].asymmetry, count) for kind, count in tally.deciding.items() if kind in trust
    ]
    weighed = share(sum(a * n for a, n in known), sum(n for _, n in known))
    return VerificationFacts(
        decided=share(tally.matured_decided, tally.matured),
        matured=tally.matured,
        decided_count=tally.decided,
        acted_on=share(tally.acted_on, tally.answers),
        signals={kind: n / tally.answers for kind, n in tally.kinds.most_common()},
        deciding={kind: n / decisions for kind, n in tally.deciding.most_common()},
        reward=share(tally.reward, tally.decided),
        delay_median=quantile(tally.delays, 0.5),
        delay_p90=quantile(tally.delays, 0.9),
        later=_later(tally),
        taken_back=share(tally.taken_back, tally.first_taken) if "undone" in tally.kinds else None,
        between_people=alike,
        hasty=share(tally.hasty, decisions),
        noise=noise,
        noise_by=by,
        judges=len(counts),
        judges_share=share(len(counts), len(tally.people)),
        judges_half=_busiest(counts),
        asymmetry=weighed,
    )


def _later(tally: SegmentTally) -> list[LaterWord]:
    pairs = sorted({(first, later) for first, later, _ in tally.later})
    found = []
    for first, later in pairs:
        alike, other = tally.later[first, later, True], tally.later[first, later, False]
        found.append(
            LaterWord(
                first=first, later=later, answers=alike + other, agree=alike / (alike + other)
            )
        )
    return found


def _noise(
    tally: SegmentTally, trust: Mapping[str, TrustProfile], decisions: int
) -> tuple[float | None, NoiseBy]:
    """Return the share of wrong decisions, by the best that is known of them.

    A later word of another kind is taken for what is so; then what was taken back, which is a lower
    bound, where such signals are recorded at all; then what the spec says of the signals.
    """
    alike = sum(n for (*_, agree), n in tally.later.items() if agree)
    words = sum(tally.later.values())
    if words >= ENOUGH:
        return 1.0 - alike / words, "later words"
    if tally.taken_back and tally.first_taken >= ENOUGH:
        return tally.taken_back / tally.first_taken, "taken back"
    told = [(trust[kind].flip, n) for kind, n in tally.deciding.items() if kind in trust]
    if told and sum(n for _, n in told) >= decisions / 2:
        return sum(flip * n for flip, n in told) / sum(n for _, n in told), "spec"
    return None, "unknown"


def _busiest(counts: list[int]) -> float | None:
    """Return the share of the judges who made half of the decisions; `counts` falls."""
    half, so_far = sum(counts) / 2, 0.0
    for place, count in enumerate(counts, 1):
        so_far += count
        if so_far >= half:
            return place / len(counts)
    return None
