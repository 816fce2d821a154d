"""Observe: what people did under one experiment, counted from the episodes by variant."""

from ...streams.join.exposure import VariantTally, exposures, user_sums
from ...streams.state.transaction import Transaction
from ..statistics.guardrail import Observation, VariantObservation
from ..statistics.sequential_tests import UserSums


def observe_users(tx: Transaction, policy: str, salt: str, *, since: float = 0.0) -> Observation:
    """Return what candidate and control did since their experiment's salt is in use.

    With `since`, epoch seconds, only answers received from then on are counted.
    """
    sums = user_sums(tx, policy, salt, since=since)
    tallies = exposures(tx, policy, salt, since=since)

    def of(variant: str) -> VariantObservation:
        tally = tallies.get(variant, VariantTally())
        return VariantObservation(
            sums=UserSums.of(sums.get(variant, ())),
            exposed_users=tally.users,
            requests=tally.requests,
            errors=tally.failed,
            empty=tally.empty,
        )

    return Observation(candidate=of("candidate"), control=of("control"))
