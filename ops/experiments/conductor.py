"""Conductor: looks at the experiment under way, writes down what the tests say, and ends it in time."""

import math
from collections.abc import Callable

import msgspec
import structlog

from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..rollout import champions_table, experiments_table
from ..rollout.observe import Comparing, observe_users
from ..stages.experiment import Experiment, ExperimentKind, ExperimentMove, MetricReading, ended
from ..statistics.guardrail import Observation, split_e_value
from ..statistics.metric_look import MetricLook
from ..statistics.verdict import Verdict, VerdictKind
from .arms import ArmReadout, ArmsSeen, observe_arms

log = structlog.get_logger()

DAEMON = "the daemon"


class Conductor:
    """Looks at experiments as a release looks at rollouts. Not thread-safe: the loop owns it."""

    def __init__(
        self,
        store: Store,
        policy: str,
        comparing: Comparing,
        *,
        srm_alpha: float,
        look_seconds: float,
        looked: Callable[[Experiment, float], None] = lambda experiment, now: None,
    ) -> None:
        """`looked` is called after each look, and after an end that somebody made by hand."""
        self.store, self.policy, self.comparing = store, policy, comparing
        self.srm_alpha, self.look_seconds, self.looked = srm_alpha, look_seconds, looked
        self._looked_at = -math.inf
        self._known = ""
        """The experiment that went on at the last look."""

    def step(self, now: float) -> None:
        """Look once in a while."""
        if now - self._looked_at < self.look_seconds:
            return
        self._looked_at = now
        with self.store.reading() as view:
            found = experiments_table.running(view, self.policy)
            if found is None:
                found = self._ended_by_hand(view)
                if found is None:
                    return
            seen = self._looked_at_arms(view, found, now)
            champion = champions_table.champion(view, self.policy).version
        after = seen if found.ended else _over(seen, champion, now)
        with self.store.transaction() as tx:
            # Somebody may have ended it meanwhile: the end is theirs, the look is kept.
            present = experiments_table.find(tx, self.policy, after.name)
            if present is not None and present.ended and not after.ended:
                after = msgspec.structs.replace(
                    after, ended_at=present.ended_at, trail=(*after.trail, present.trail[-1])
                )
            experiments_table.save(tx, self.policy, after)
        self._known = "" if after.ended else after.name
        if after.ended:
            log.info("experiment_ended", name=after.name, why=after.trail[-1].reason)
        self.looked(after, now)

    def _ended_by_hand(self, view: Transaction) -> Experiment | None:
        """Return what went on at the last look, so that its end is looked at and told."""
        name, self._known = self._known, ""
        return experiments_table.find(view, self.policy, name) if name else None

    def _looked_at_arms(self, view: Transaction, experiment: Experiment, now: float) -> Experiment:
        if experiment.kind is ExperimentKind.HARNESS:
            arms = observe_arms(view, self.policy, experiment, self.comparing, now)
            return read_arms(experiment, arms, self.srm_alpha)
        seen = observe_users(view, self.policy, experiment.salt, self.comparing, until=now)
        return read_aa(experiment, seen, self.srm_alpha, now)


def read_aa(experiment: Experiment, seen: Observation, srm_alpha: float, now: float) -> Experiment:
    """Return an A/A with what a look shows: what is said against equal arms is a false alarm."""
    readout = seen.readout
    broken = experiment.split_broken or split_e_value(seen) >= 1 / srm_alpha
    said = {
        "would have been rolled back": readout.verdict.outcome is VerdictKind.FAIL,
        "would have been held": readout.held,
        "would have been rolled back by the tripwire": seen.tripped is not None
        and seen.tripped.outcome is VerdictKind.FAIL,
        "the users would have been called wrongly split": broken,
    }
    alarms = tuple(
        dict.fromkeys((*experiment.false_alarms, *(w for w, yes in said.items() if yes)))
    )
    return msgspec.structs.replace(
        experiment,
        looks=experiment.looks + 1,
        verdict=readout.verdict.reason,
        outcome=str(readout.verdict.outcome),
        readings=tuple(_reading("candidate", look) for look in readout.looks),
        false_alarms=alarms,
        split_broken=broken,
        trail=(
            *experiment.trail,
            *(
                ExperimentMove(
                    what="found", at=now, by=DAEMON, reason=f"{one}: {readout.verdict.reason}"
                )
                for one in alarms
                if one not in experiment.false_alarms
            ),
        ),
    )


def read_arms(experiment: Experiment, seen: ArmsSeen, srm_alpha: float) -> Experiment:
    """Return an experiment with what a look shows of every arm.

    FAIL where an arm does harm, PASS where one is shown to be what the goals ask for, unless the
    users are split wrongly: then nothing good is shown, and harm is harm all the same.
    """
    broken = experiment.split_broken or seen.split_e_value >= 1 / srm_alpha
    found = [(each.arm, _verdict_of(each)) for each in seen.arms]
    order = (VerdictKind.FAIL, VerdictKind.PASS, VerdictKind.WAIT, VerdictKind.NODATA)
    outcome = min((verdict.outcome for _, verdict in found), key=order.index)
    words = "; ".join(f"{arm}: {verdict.reason}" for arm, verdict in found)
    if broken and outcome is not VerdictKind.FAIL:
        outcome, words = VerdictKind.WAIT, f"the users are not split as the arms are; {words}"
    return msgspec.structs.replace(
        experiment,
        looks=experiment.looks + 1,
        verdict=words,
        outcome=str(outcome),
        readings=tuple(
            _reading(each.arm, look) for each in seen.arms for look in each.readout.looks
        ),
        mismatched=seen.mismatched,
        split_broken=broken,
    )


def _verdict_of(seen: ArmReadout) -> Verdict:
    if seen.tripped is not None and seen.tripped.outcome is VerdictKind.FAIL:
        return seen.tripped
    return seen.readout.verdict


def _over(experiment: Experiment, champion: str, now: float) -> Experiment:
    """Return the experiment, ended where its time is over, or for cause.

    Cause is harm by an arm; of an A/A, that its champion is no longer served.
    """
    if experiment.kind is ExperimentKind.HARNESS:
        if experiment.outcome == VerdictKind.FAIL:
            return ended(experiment, DAEMON, f"stopped: {experiment.verdict}", now)
    elif champion != experiment.version:
        why = f"{experiment.version} is no longer the champion"
        return ended(experiment, DAEMON, why, now)
    if now < experiment.ends_at:
        return experiment
    count = len(experiment.false_alarms)
    alarms = f"{count} false alarm{'' if count == 1 else 's'}"
    if experiment.kind is ExperimentKind.AA:
        return ended(
            experiment, DAEMON, f"its time is over: {alarms} in {experiment.looks} looks", now
        )
    return ended(experiment, DAEMON, f"its time is over: {experiment.verdict}", now)


def _reading(arm: str, look: MetricLook) -> MetricReading:
    error = look.standard_error
    deviation = error * abs(look.control) * math.sqrt(look.users / 2) if look.users else math.nan
    return MetricReading(
        arm=arm,
        name=look.metric.name,
        value=_finite(look.candidate),
        control=_finite(look.control),
        change=_finite(look.change),
        low=_finite(look.low),
        high=_finite(look.high),
        standard_error=_finite(error),
        user_deviation=_finite(deviation),
        users=look.users,
        harm=look.harm,
        shown=look.shown,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
