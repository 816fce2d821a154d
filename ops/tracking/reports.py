"""Reports: what MLflow is sent of checkpoints and rollouts."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ...learner.candidate import Manifest
from ...learner.checkpoint.folder import checkpoint_path
from ...streams.state.store import Store
from ..drift.alarms_table import TOTAL, DriftAlarm
from ..drift.drift_look import DriftLook
from ..rollout import candidates_table, champions_table
from ..rollout.holdout_table import HoldoutLook
from ..stages.experiment import Experiment
from ..stages.record import Rollout, Stage
from ..statistics.verdict import VerdictKind
from .mirror import Mirror

_UNFIT = re.compile(r"[^A-Za-z0-9_.: -]|\.{2,}")
_LONGEST = 100
"""A model may call a tool by any name; MLflow takes 250 of few characters, a `/` not at every place."""


def report_checkpoint(mirror: Mirror, manifest: Manifest, checkpoints: Path) -> None:
    """Show a new version as a nested run with its adapter, lineage in the tags."""
    if manifest.parent_sequence is not None and manifest.batch_id not in manifest.applied:
        return
    tags = {
        "parent_sequence": str(manifest.parent_sequence),
        "digest": manifest.digest,
        "base_digest": manifest.base_digest,
        **({"base": manifest.base} if manifest.base else {}),
        "reward_spec": manifest.spec_version,
        "batch": str(manifest.batch_id),
        "batch_hash": manifest.batch_hash,
        "offsets": ", ".join(f"{where}:{at}" for where, at in sorted(manifest.offsets.items())),
    }
    params = {
        "episodes": str(len(manifest.trained_ids)),
        "held_out": str(len(manifest.held_out_ids)),
    }
    mirror.candidate(
        manifest.version,
        tags,
        params,
        {**manifest.metrics, "learner/seconds": manifest.seconds},
        checkpoint_path(checkpoints, manifest.sequence) / manifest.version,
        manifest.created_at,
    )
    if manifest.parent_sequence is None:
        mirror.outcome(manifest.version, "anchor", "the first version")


def rollout_reporter(mirror: Mirror, store: Store, policy: str) -> Callable[[Rollout], None]:
    """Return what to call at each move of a rollout: it shows evidence, outcome and aliases."""
    judged: dict[str, VerdictKind] = {}

    def report(rollout: Rollout) -> None:
        at = rollout.trail[-1].at if rollout.trail else rollout.entered_at
        gate = rollout.gate
        # Once each: a rollout moves many times after the gate spoke.
        if gate is not None and judged.get(rollout.version) is not gate.outcome:
            judged[rollout.version] = gate.outcome
            mirror.evidence(rollout.version, gate, at)
        mirror.metrics(rollout.version, rollout.looks, rollout.verdict.numbers, at)
        if rollout.ended or rollout.stage is Stage.PROMOTED:
            why = rollout.trail[-1].reason if rollout.trail else ""
            mirror.outcome(rollout.version, str(rollout.stage), why)
        with store.reading() as view:
            previous = champions_table.previous(view, policy)
            aliases = {
                "champion": champions_table.champion(view, policy).version,
                "challenger": None if rollout.ended else rollout.version,
                "previous": None if previous is None else previous.version,
                "anchor": candidates_table.anchor(view, policy).version,
            }
        if rollout.stage is Stage.PROMOTED:
            aliases["challenger"] = None
        mirror.alias(aliases)

    return report


def look_reporter(mirror: Mirror) -> Callable[[Rollout, float], None]:
    """Return what to call at each look at people on trial: their numbers become a curve."""

    def report(rollout: Rollout, now: float) -> None:
        mirror.metrics(rollout.version, rollout.looks, rollout.verdict.numbers, now)

    return report


def holdout_reporter(mirror: Mirror) -> Callable[[HoldoutLook, float], None]:
    """Return what to call at each look at the long-term holdout: curves of the daemon's own run."""

    def report(look: HoldoutLook, now: float) -> None:
        values = {
            "holdout/users": float(look.holdout_users),
            "holdout/alarm": float(bool(look.alarm)),
        }
        for one in look.measures:
            values[f"holdout/{one.name}"] = one.difference
            for end, value in (("low", one.low), ("high", one.high)):
                if value is not None:
                    values[f"holdout/{one.name}_{end}"] = value
        mirror.metrics("parent", int(now), values, now)

    return report


def drift_reporter(mirror: Mirror) -> Callable[[DriftLook, Sequence[DriftAlarm]], None]:
    """Return what to call at each look at how a version behaves: curves of its run, by its reward.

    `drift/NAME` is the version's rate, with its reference's and both ends of the difference;
    `drift/NAME/alarm` is 1 from the moment that an alarm is filed. `drift/total/…` is the same against
    what stays the same from version to version.
    """

    def report(look: DriftLook, alarms: Sequence[DriftAlarm]) -> None:
        filed = {one.behaviour for one in alarms}
        values = {"drift/answers": float(look.answers), "drift/alarms": float(len(filed))}
        place, kind = ("drift/total", TOTAL) if look.total else ("drift", "")
        told = {"reward": look.reward, "reward/reference": look.reference_reward}
        for one in look.behaviours:
            name = _UNFIT.sub("_", one.name)[:_LONGEST]
            told |= {name: one.rate, f"{name}/reference": one.reference}
            told |= {f"{name}/low": one.low, f"{name}/high": one.high}
            told[f"{name}/alarm"] = float(f"{kind}{one.name}" in filed)
        if not look.total:
            told["phrases/alarm"] = float("phrases" in filed)
        values |= {f"{place}/{name}": value for name, value in told.items() if value is not None}
        mirror.metrics(look.version, int(look.at), values, look.at)

    return report


def experiment_reporter(mirror: Mirror) -> Callable[[Experiment, float], None]:
    """Return what to call after each look at an experiment: a nested run under its name."""

    def report(experiment: Experiment, now: float) -> None:
        values = {"false_alarms": float(len(experiment.false_alarms))}
        for one in experiment.readings:
            for what in ("change", "low", "high", "standard_error", "user_deviation", "users"):
                value = getattr(one, what)
                if value is not None:
                    values[f"{one.arm}/{one.name}/{what}"] = float(value)
        mirror.metrics(experiment.name, experiment.looks, values, now)
        if experiment.ended:
            why = experiment.trail[-1].reason
            mirror.outcome(experiment.name, f"{experiment.kind} experiment", why, now)

    return report
