"""Skipped: whether the learner makes no versions any more, though it is given batches."""

from ...streams.join import fate
from ...streams.state.transaction import Transaction

IN_A_ROW = 3
"""So many batches without a step, one after another, are no chance."""
REMEDIES = {
    fate.DRIFT: "learner.drift has the budget; lower learner.learning_rate or learner.passes, raise"
    " learner.kl_weight, or raise the budget",
    fate.LOW_ESS: "learner.ess_floor has the floor; lower learner.max_policy_age, and see whether the"
    " engine serves what the learner holds (docs/health.md)",
    fate.NO_SPREAD: "all rewards of a segment are alike: look at the reward spec (`rlwd rewards what-if`)",
    fate.BATCH_FAILED: "the learner's log says why",
}
"""By the rule of most of a batch's answers, what a person may do."""


def skipped(view: Transaction, policy: str) -> str | None:
    """Return why the newest batches made no version; None once one did, or where it may be chance.

    A version that passed its drift budget is told at once: it was made, measured and taken back.
    """
    rows = view.execute(
        "SELECT batch_id FROM batches WHERE policy = ? AND state = 'skipped' AND batch_id >"
        " (SELECT COALESCE(MAX(batch_id), 0) FROM batches WHERE policy = ? AND state IN"
        " ('applied', 'reverted')) ORDER BY batch_id DESC",
        (policy, policy),
    ).fetchall()
    if not rows:
        return None
    newest, count = rows[0][0], len(rows)
    fates = view.execute(
        "SELECT fate, COUNT(*) FROM episodes WHERE policy = ? AND batch_id = ? AND fate <> ?"
        " GROUP BY fate ORDER BY COUNT(*) DESC, fate",
        (policy, newest, fate.HELD_OUT),
    ).fetchall()
    if not fates:
        return None
    rule, answers = fates[0]
    if rule != fate.DRIFT and count < IN_A_ROW:
        return None
    batches = "the newest batch" if count == 1 else f"each of the newest {count} batches"
    remedy = f": {REMEDIES[rule]}" if rule in REMEDIES else ""
    return (
        f"{batches} made no version; {answers} of the {sum(n for _, n in fates)} answers of batch"
        f" {newest} are {rule}{remedy}"
    )
