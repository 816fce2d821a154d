"""Arms: what people did under an experiment on the product, each arm against the first."""

import dataclasses
from dataclasses import dataclass

from ...streams.answers.answer_rows import AnswerRow, answer_rows
from ...streams.answers.exposure import VariantTally, exposures
from ...streams.state.transaction import Transaction
from ..flags.assignment import arm_variant
from ..rollout.observe import Comparing, in_time, last_served, readout_of
from ..stages.experiment import Experiment
from ..statistics.readout import Readout
from ..statistics.sequential_tests import sample_ratio
from ..statistics.tripwire import tripped
from ..statistics.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmReadout:
    """One arm against the first, at one look."""

    arm: str
    """Its name."""
    readout: Readout
    """All metrics over matured answers."""
    tripped: Verdict | None
    """What the tripwire says of its last answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmsSeen:
    """What one look at an experiment reads."""

    arms: tuple[ArmReadout, ...]
    """Every arm but the first."""
    split_e_value: float
    """Against users being split equally over all arms."""
    mismatched: int
    """Answers whose harness was not the arm that their user had."""


def observe_arms(
    tx: Transaction, policy: str, experiment: Experiment, comparing: Comparing, until: float
) -> ArmsSeen:
    """Return what the arms' users did.

    A user is of the arm that the flag gave them, whatever their product sent: so a harness that is
    sent wrongly dilutes a difference and invents none. Compared within segments; the harness is
    what is tried, up to `until`, the reader's present. With several arms the error probabilities are split over them.
    """
    variants = [arm_variant(arm) for arm in experiment.arms]
    # What fails in a session that was moved fails all the same: the tripwire sees it.
    served = answer_rows(
        tx, policy, experiment.salt, own=comparing.own, variants=variants, moved=True
    )
    served, now = in_time(served, until)
    rows = [row for row in served if not row.moved]
    first, others = variants[0], len(variants) - 1
    looks = comparing.looks
    looks = dataclasses.replace(
        looks,
        alpha_harm=looks.alpha_harm / others,
        alpha_promote=looks.alpha_promote / others,
    )
    theirs = [_as(row, "control") for row in rows if row.variant == first]
    last = {one: last_served([row for row in served if row.variant == one]) for one in variants}
    arms = []
    for arm, variant in zip(experiment.arms[1:], variants[1:], strict=True):
        ours = [_as(row, "candidate") for row in rows if row.variant == variant]
        arms.append(
            ArmReadout(
                arm=arm,
                readout=readout_of([*ours, *theirs], comparing, now, looks=looks),
                tripped=tripped(last[variant], last[first], comparing.tripwire),
            )
        )
    settled = now - (comparing.comparison.request_seconds or 0.0)
    tallies = exposures(tx, policy, experiment.salt, assigned_until=settled)
    users = [tallies.get(variant, VariantTally()).assigned for variant in variants]
    return ArmsSeen(
        arms=tuple(arms),
        split_e_value=sample_ratio(users, [1.0] * len(users)),
        mismatched=sum(row.variant != arm_variant(row.harness) for row in rows),
    )


def _as(row: AnswerRow, variant: str) -> AnswerRow:
    return row._replace(variant=variant, harness="")
