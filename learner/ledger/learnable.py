"""Learnable: whether the answers that come in can be learned from at all."""

from ...streams.join import fate
from ...streams.state.transaction import Transaction

FEWEST = 50
"""So many answers that were left out, since the last batch, are no chance."""
SILENT = 200
"""So many answers of which none was decided, since the last batch, are no shy people."""
LEAST_SHARE = 0.05
"""Below this share of usable answers next to nothing is learned."""
NOT_BY_CONTENT = {
    fate.HELD_OUT,
    fate.TOO_OLD,
    fate.BATCH_FAILED,
    fate.EXPIRED,
    fate.ERASED,
    fate.NO_SPREAD,
}
"""Exclusions that say nothing of how answers are asked for and captured."""
WITHOUT_FEEDBACK = {fate.NO_CONSENT, fate.NO_CAPTURE, fate.EXPIRED, fate.ERASED}
"""Exclusions that need no decision."""
NO_WORK = {fate.MIRRORED, fate.SIDE_REQUEST, fate.OTHER_POLICY}
"""Answers that are no work for a person, or none of ours: they say nothing of what can be learned from."""
_LANE = "; learner.lanes.kto above 0 learns from decisions about such answers"
REMEDIES = {
    fate.GREEDY: "the product asks for temperature 0" + _LANE,
    fate.LOW_TEMPERATURE: "the product asks for a temperature near 0" + _LANE,
    fate.CUT_SAMPLING: "the product asks for top_p, top_k or min_p; learner.lanes.top_p takes a high"
    " top_p" + _LANE,
    "excluded:constrained": "the product asks for a format, a grammar or forced tools",
    fate.RAW_LOGPROBS: "start the engines with --logprobs-mode processed_logprobs" + _LANE,
    fate.NO_CONSENT: "the product does not send X-Rlwd-Consent",
    fate.NOT_FOR_TRAINING: "people agree to share and not to train (X-Rlwd-Consent)",
    fate.REDACTED: "requests or answers hold mail addresses, keys or the like: a system prompt, too, is"
    " one (privacy.redact)",
    fate.NO_TOKENS: "the engine gives no token ids",
    fate.NO_LOGPROBS: "the engine gives no log-probabilities" + _LANE,
}
"""What most probably is the cause."""


def unlearnable(view: Transaction, policy: str) -> str | None:
    """Return why (almost) nothing that was decided since the last batch can be learned from."""
    rows = view.execute(
        "SELECT fate, COUNT(*) FROM episodes WHERE policy = ? AND received IS NOT NULL"
        " AND received > (SELECT COALESCE(MAX(sealed_at), 0) FROM batches WHERE policy = ?)"
        " AND stage <> 'open' AND stage <> 'scored' GROUP BY fate",
        (policy, policy),
    ).fetchall()
    # Nobody saw what a mirrored request was answered: it was never to be learned from.
    counts = {
        name: count
        for name, count in rows
        if not name.startswith("censored:") and name not in NO_WORK
    }
    silent = sum(count for name, count in rows if name == fate.NO_DECISION)
    if silent >= SILENT and not counts.keys() - WITHOUT_FEEDBACK:
        return (
            f"none of the last {silent} answers was decided by feedback within its horizon: does"
            " /v1/feedback get the X-Rlwd-Generation of each answer, with signals that [parts] of"
            " the reward spec count?"
        )
    left_out = {
        name: count
        for name, count in counts.items()
        if name.startswith("excluded:") and name not in NOT_BY_CONTENT
    }
    total, lost = sum(counts.values()), sum(left_out.values())
    if lost < FEWEST or total - lost >= LEAST_SHARE * total:
        return None
    most = sorted(left_out.items(), key=lambda each: -each[1])[:3]
    causes = ", ".join(f"{name.partition(':')[2]} {count / total:.0%}" for name, count in most)
    remedy = REMEDIES.get(most[0][0], "")
    return (
        f"{lost / total:.0%} of the last {total} decided answers cannot be learned from: {causes}"
        + (f" ({remedy})" if remedy else "")
    )
