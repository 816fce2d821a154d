"""Step evidence: what must be known of a candidate before more users meet it."""

from ..statistics.guardrail import Observation
from ..statistics.sequential_tests import compare
from .settings import RolloutSettings


def lacks_evidence(seen: Observation, settings: RolloutSettings) -> str | None:
    """Return what a step up still waits for; None where enough users do not look worse.

    One standard error of doubt is in the candidate's favour: an equal one passes 84 % of looks, and
    one that gets no rewards at all, because its answers fail or nobody minds it, passes none.
    """
    ours, theirs = seen.candidate.sums, seen.control.sums
    users, needed = min(ours.users, theirs.users), max(2, settings.step_users)
    if users < needed:
        return f"the next step waits for rewards of {needed} users per variant; there are {users}"
    look = compare(ours, theirs, alpha=settings.alpha_promote, planned_users=settings.planned_users)
    if look.difference + look.standard_error < 0:
        return (
            f"the next step waits: reward {look.difference:+.3f} against the control, which is more"
            f" than its standard error, {look.standard_error:.3f}, below 0"
        )
    return None
