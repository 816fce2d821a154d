"""Weighing: a batch's episodes with the weight, and what is taken off their rewards, by named factors.

A pure function of the batch's evidence and of what was fitted on batches before it, so that sealing
again decides the same.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ..spec.verification import corrected
from .agreement import Agreed, agreements
from .caps import Standing, capped, user_caps
from .confounds import Answered, Confounds
from .evidence import Evidence
from .prompts import Cluster, prompt_clusters
from .propensity import ResponseFeatures, ResponseModel, ask_probability, inverse_weights
from .settings import TrustSettings
from .suspicion import RULES

LEAST_FOR_OTHERS = 0.25
"""The least that the cap of a tenant or of prompts leaves of a weight."""
BASE_RATES = (0.02, 0.98)
"""Between these a base rate is held: of a handful of answers it may be 0 or 1."""


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """What one episode counts."""

    weight: float
    """How much it counts: the product of its factors."""
    reward: float
    """Its reward, freed of the bias of noisy signals."""
    confound: float
    """What latency and user add to it, whatever the answer was."""
    factors: dict[str, float]
    """By name, those that are not 1: `noise`, `chain`, `asymmetry`, `answered`, the rules of suspicion, `user`,
    `tenant`, `prompt`."""
    agreed: Agreed = Agreed()
    """What its decision adds to the agreement of its user with others."""


class PastUser(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a named user."""

    spent: float
    """What the answers weighed together."""
    decided: int
    """How many they are."""
    since: int
    """Batches ago that the first of them was sealed."""
    agreed: Agreed
    """How far their decisions agree with others'."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What was fitted on what came before the batch."""

    confounds: Confounds = Confounds()
    """Of latency and user."""
    users: dict[tuple[str, str], PastUser] = {}
    """Each named user of the batches before that are remembered."""
    responses: ResponseModel | None = None
    """Who answers at all; None where it is off, or too little is known."""


def weigh(
    batch: Sequence[Evidence],
    settings: TrustSettings,
    past: Past,
    alike: Sequence[Cluster] | None = None,
) -> list[Weighed]:
    """Return what each episode of a batch counts, in its order.

    `alike` is what `prompt_clusters` says of their prompts, where it was asked already.
    """
    factors = dict[str, list[float]]()
    believed = _believed(batch)
    factors["noise"] = [weight for _, weight in believed]
    factors["chain"] = [one.share for one in batch]
    for name, rule in RULES.items():
        factors[name] = rule(batch, settings)
    agreed = [Agreed()] * len(batch)
    if settings.agreement:
        agreed = agreements(batch, {user: one.decided for user, one in past.users.items()})
    _cap(batch, settings, _standing(batch, settings, past, agreed), factors, alike)
    # After the caps: whom the product asked, and whose word weighs more, no user decides.
    factors["answered"] = _answered(batch, settings, past)
    factors["asymmetry"] = [one.verification.asymmetry for one in batch]
    confounds = past.confounds.of([answered(one) for one in batch]) if settings.confounds else None
    weights = products(list(factors.values()))
    return [
        Weighed(
            weight=weights[place],
            reward=believed[place][0],
            # A signal that is wrong so often shows so much less of a confound, too.
            confound=confounds[place] if confounds else 0.0,
            factors={n: each[place] for n, each in factors.items() if each[place] != 1.0},
            agreed=agreed[place],
        )
        for place in range(len(batch))
    ]


def products(factors: Sequence[Sequence[float]]) -> list[float]:
    """Return the product of each answer's factors."""
    return [math.prod(each) for each in zip(*factors, strict=True)]


def answered(one: Evidence, batch: int = 0) -> Answered:
    """Return an episode as confounds read it."""
    return Answered(
        batch=batch,
        segment=one.segment,
        user=one.user,
        latency=one.latency,
        tokens=len(one.completion),
        reward=one.reward,
    )


def _believed(batch: Sequence[Evidence]) -> list[tuple[float, float]]:
    """Return each reward freed of its signals' bias, and what it weighs by their noise.

    The base rate of a segment is that of all its answers but the one: their unbiased rewards, weighed
    by what their signals tell.
    """
    if not any(one.verification.flip for one in batch):
        return [(one.reward, 1.0) for one in batch]
    sums = defaultdict[str, list[float]](lambda: [0.0, 0.0])
    told = []
    for one in batch:
        clear = 1.0 - 2.0 * one.verification.flip
        # Information (1 - 2e)^2 times the unbiased (s - e) / (1 - 2e).
        told.append((clear * (one.reward - one.verification.flip), clear * clear))
        for place in (0, 1):
            sums[one.segment][place] += told[-1][place]
    found = []
    for one, (own, information) in zip(batch, told, strict=True):
        total, weight = sums[one.segment]
        others = weight - information
        base = (total - own) / others if others > 1e-9 else 0.5
        low, high = BASE_RATES
        found.append(corrected(one.reward, one.verification.flip, min(max(base, low), high)))
    return found


def _answered(batch: Sequence[Evidence], settings: TrustSettings, past: Past) -> list[float]:
    if settings.responses == "off":
        return [1.0] * len(batch)
    chances = [ask_probability(one) for one in batch]
    if settings.responses == "model" and past.responses is not None:
        told = past.responses.probabilities(
            ResponseFeatures(
                [one.segment for one in batch],
                [one.latency for one in batch],
                [len(one.completion) for one in batch],
                [one.answered_at for one in batch],
            )
        )
        chances = [
            mine * model if one.asked is None else mine
            for one, mine, model in zip(batch, chances, told, strict=True)
        ]
    if len(set(chances)) <= 1:
        return [1.0] * len(batch)
    return inverse_weights(chances, settings.response_floor)


def _cap(
    batch: Sequence[Evidence],
    settings: TrustSettings,
    standing: Mapping[tuple[str, str], Standing],
    factors: dict[str, list[float]],
    alike: Sequence[Cluster] | None,
) -> None:
    """Add the caps, each on what those before it leave."""
    caps: Mapping[str, Callable[[list[float]], list[float]]] = {
        "user": lambda weights: user_caps(
            [one.user for one in batch],
            weights,
            share=settings.user_share,
            times=settings.user_times,
            unnamed_share=settings.unnamed_share,
            standing=standing,
            batches=settings.memory_batches + 1,
        ),
        "tenant": lambda weights: capped(
            [one.tenant for one in batch],
            weights,
            settings.tenant_share,
            least=LEAST_FOR_OTHERS,
        ),
        "prompt": lambda weights: capped(
            prompt_clusters([one.prompt for one in batch]) if alike is None else alike,
            weights,
            settings.prompt_share,
            least=LEAST_FOR_OTHERS,
        ),
    }
    weights = products(list(factors.values()))
    for name, cap in caps.items():
        factors[name] = cap(weights)
        weights = products([weights, factors[name]])


def _standing(
    batch: Sequence[Evidence], settings: TrustSettings, past: Past, agreed: Sequence[Agreed]
) -> dict[tuple[str, str], Standing]:
    """Return how each named user stands, what was decided in this batch among it."""
    found = {user: Standing(one.spent, one.since) for user, one in past.users.items()}
    together = dict[tuple[str, str], Agreed]()
    for one, more in zip(batch, agreed, strict=True):
        if (user := one.user) is not None:
            was = together.get(user)
            if was is None:
                was = past.users[user].agreed if user in past.users else Agreed()
            together[user] = was.with_more(more)
    # Only whose answers are weighed now need be believed.
    for user, whole in together.items():
        belief = whole.belief(settings.agreement)
        found[user] = found.get(user, Standing())._replace(belief=belief)
    return found
