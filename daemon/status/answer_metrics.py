"""Answer metrics: what came in, what became of it, and what each variant's answers earned lately."""

from collections.abc import Mapping

from ...streams.answers.answer_tallies import AnswerTallies
from ...streams.answers.session_turns import SessionShare
from ...streams.join.offsets import Counts
from ...streams.log.ports import Partition, ReadPosition
from .series import Series, Shown

ANSWERS = (
    Series("rlwd_records_total", "Records delivered, by what became of them.", ("outcome",)),
    Series(
        "rlwd_log_lag_records",
        "Records of a partition that are not read yet; each daemon shows those that it reads.",
        ("topic", "partition"),
    ),
    Series(
        "rlwd_watermark_timestamp_seconds",
        "Receive time that every partition was read past: horizons close by it.",
    ),
    Series(
        "rlwd_feedback_total",
        "Feedback that this process took in, by the variant that answered (`chain`: of a session or"
        " reference; `none`: the answer has not come) and kind of signal.",
        ("variant", "kind"),
    ),
    Series(
        "rlwd_late_feedback_total",
        "Feedback that came after its episode was sealed or closed.",
    ),
    Series(
        "rlwd_generations",
        "Generations known, by fate (docs/fates.md): `excluded:…` names the rule.",
        ("fate",),
    ),
    Series("rlwd_ready_answers", "Answers that the next batch may be made of."),
    Series(
        "rlwd_oldest_waiting_timestamp_seconds",
        "When the oldest answer that still waits for its fate was received; none where none waits.",
    ),
    Series(
        "rlwd_recent_answers",
        "Answers received in the last hour, by variant; an experiment's arms are one.",
        ("variant",),
    ),
    Series(
        "rlwd_recent_rewarded_answers",
        "Those of them that have a reward, because somebody decided on them.",
        ("variant",),
    ),
    Series(
        "rlwd_recent_reward_mean",
        "Mean reward of these, 0 to 1; none for a variant without any.",
        ("variant",),
    ),
    Series(
        "rlwd_weighed_total",
        "Sealed answers whose weight a factor changed, down or up (docs/trust.md).",
        ("factor", "direction"),
    ),
    Series(
        "rlwd_sessions",
        "Conversations of the last day, by whether their version stayed or switched under them.",
        ("version",),
    ),
)
"""What is shown of answers and feedback."""


def intake_values(
    records: Counts, late: int, weighed: Mapping[str, tuple[int, int]], watermark: float
) -> Shown:
    """Return what the tables count of all time; `weighed` are, by factor, changed and down of these."""
    outcomes = ("accepted", "duplicate", "dead_lettered")
    changes: dict[tuple[str, str], float] = {}
    for factor, (changed, down) in weighed.items():
        changes[factor, "down"] = down
        changes[factor, "up"] = changed - down
    return {
        "rlwd_records_total": {outcome: getattr(records, outcome) for outcome in outcomes},
        "rlwd_late_feedback_total": late,
        "rlwd_weighed_total": changes,
        **mark_values(watermark),
    }


def mark_values(watermark: float) -> Shown:
    """Return the mark that horizons close by; none where a partition was never read."""
    return {"rlwd_watermark_timestamp_seconds": watermark if watermark else {}}


def answer_values(seen: AnswerTallies) -> Shown:
    """Return the series of one pass over the answers."""
    rewarded = {name: tally for name, tally in seen.lately.items() if tally.rewarded}
    return {
        "rlwd_generations": dict(seen.fates),
        "rlwd_ready_answers": seen.ready,
        "rlwd_oldest_waiting_timestamp_seconds": (
            {} if seen.oldest_waiting is None else seen.oldest_waiting
        ),
        "rlwd_recent_answers": {name: tally.answers for name, tally in seen.lately.items()},
        "rlwd_recent_rewarded_answers": {
            name: tally.rewarded for name, tally in seen.lately.items()
        },
        "rlwd_recent_reward_mean": {
            name: tally.earned / tally.rewarded for name, tally in rewarded.items()
        },
    }


def lag_values(progress: Mapping[Partition, ReadPosition]) -> Shown:
    """Return how far behind the partitions are that a process reads."""
    return {
        "rlwd_log_lag_records": {
            (each.topic, str(each.index)): max(0, at.end - at.position)
            for each, at in progress.items()
        }
    }


def session_values(share: SessionShare) -> Shown:
    """Return how many conversations there were, and how many were moved."""
    return {"rlwd_sessions": {"stayed": share.seen - share.switched, "switched": share.switched}}
