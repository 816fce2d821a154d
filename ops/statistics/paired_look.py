"""Paired look: mirrored answers of a candidate beside the champion's to the same requests."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...streams.answers.exposure import MirroredPair
from .guardrail import GuardrailSettings
from .sequential_tests import UserSums, ratio_mean, width
from .tripwire import Served, TripwireSettings, tripped
from .verdict import Verdict, VerdictKind

LAST_ANSWERS = 100
"""Mirrored answers that the tripwire reads."""
BOUNDS = 3
"""Bounds that share the alpha: failures, cut-offs, length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedLook:
    """One look at mirrored answers."""

    pairs: int
    """Pairs of named users, who alone count."""
    users: int
    """Those users."""
    verdict: Verdict
    """FAIL where a bound is shown to be broken, NODATA without any pair, WAIT otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """One thing that a mirrored answer may be worse in."""

    name: str
    """As numbers are named by it."""
    says: str
    """What is said where it is broken."""
    values: Callable[[MirroredPair], tuple[float, float] | None]
    """The candidate's value and the champion's; None where there is none of either."""
    allowed: float
    """How much worse is allowed: in points, or as a share of the champion's mean."""
    relative: bool = False
    """Whether it is a share."""


def look_at_pairs(
    pairs: Sequence[MirroredPair], guards: GuardrailSettings, *, longer: float
) -> PairedLook:
    """Return what pairs show against a candidate; `longer` is by what share answers may be longer.

    Each bound is tested on the differences within pairs, which the request's own length and trouble
    are no part of. The unit is the user, by the mean of his pairs, so that nobody weighs more than
    another; the bounds hold at all looks together with probability 1 - alpha_harm.
    """
    named = [pair for pair in pairs if pair.user]
    users = len({pair.user for pair in named})
    numbers = {"shadow/pairs": float(len(named)), "shadow/users": float(users)}
    reasons = []
    for bound in _bounds(guards, longer):
        ours, theirs, low = _excess(bound, named, guards)
        numbers |= {f"shadow/{bound.name}": ours, f"shadow/{bound.name}_champion": theirs}
        if low > 0:
            reasons.append(
                f"{bound.says}: {ours:.4g} against {theirs:.4g} of the champion's to the same"
                f" requests, {users} users"
            )
    numbers = {name: value for name, value in numbers.items() if math.isfinite(value)}
    wire = tripped(
        [Served(user=pair.user, failed=bool(pair.failed)) for pair in pairs[-LAST_ANSWERS:]],
        [
            Served(user=pair.user, failed=bool(pair.champion_failed))
            for pair in pairs[-LAST_ANSWERS:]
        ],
        TripwireSettings(answers=guards.min_bad),
    )
    if wire is not None and wire.outcome is VerdictKind.FAIL:
        reasons = [*(f"mirrored requests: {reason}" for reason in wire.reasons), *reasons]
    outcome = VerdictKind.FAIL if reasons else VerdictKind.WAIT if pairs else VerdictKind.NODATA
    verdict = Verdict(outcome=outcome, reasons=tuple(reasons), numbers=numbers)
    return PairedLook(pairs=len(named), users=users, verdict=verdict)


def _bounds(guards: GuardrailSettings, longer: float) -> Iterable[_Bound]:
    yield _Bound(
        name="failed",
        says="failed answers to mirrored requests",
        values=lambda pair: (pair.failed, pair.champion_failed),
        allowed=guards.max_error_share,
    )
    yield _Bound(
        name="cut_off",
        says="mirrored answers that showed nothing or were cut off",
        values=lambda pair: (pair.cut, pair.champion_cut),
        allowed=guards.max_empty_share,
    )
    yield _Bound(
        name="tokens",
        says=f"mirrored answers are more than {longer:.0%} longer",
        values=_lengths,
        allowed=longer,
        relative=True,
    )


def _lengths(pair: MirroredPair) -> tuple[float, float] | None:
    if pair.tokens is None or pair.champion_tokens is None:
        return None
    return pair.tokens, pair.champion_tokens


def _excess(
    bound: _Bound, pairs: Sequence[MirroredPair], guards: GuardrailSettings
) -> tuple[float, float, float]:
    """Return both means, and the lower bound of what the candidate has above the allowance."""
    by_user: dict[str, list[tuple[float, float]]] = {}
    for pair in pairs:
        if (values := bound.values(pair)) is not None:
            by_user.setdefault(pair.user, []).append(values)
    if not by_user:
        return math.nan, math.nan, -math.inf
    means = {
        user: [sum(side) / len(each) for side in zip(*each, strict=True)]
        for user, each in by_user.items()
    }
    ours, theirs = (sum(each[side] for each in means.values()) / len(means) for side in (0, 1))
    # A champion that writes nothing has no length to take a share of.
    unit = max(theirs, 1.0) if bound.relative else 1.0
    factor, points = (1 + bound.allowed, 0.0) if bound.relative else (1.0, bound.allowed)
    # Halved, a difference of two shares has the spread of one in [0, 1], which the test asks for.
    rows = [
        (user, (mine - factor * its - points) / (2 * unit), 1.0)
        for user, (mine, its) in means.items()
    ]
    mean = ratio_mean(UserSums.of(rows))
    if mean.users < guards.harm_users:
        return ours, theirs, -math.inf
    reach = width(mean.users, guards.harm_planned_users, guards.alpha_harm / BOUNDS)
    return ours, theirs, mean.estimate - reach * math.sqrt(mean.variance)
