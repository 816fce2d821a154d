"""Reports: what MLflow is sent of checkpoints and rollouts."""

from collections.abc import Callable
from pathlib import Path

from ...learner.candidate import Manifest
from ...learner.checkpoint.folder import checkpoint_path
from ...streams.state.store import Store
from ..rollout import candidates_table, champions_table
from ..rollout.holdout_table import HoldoutLook
from ..stages.experiment import Experiment
from ..stages.record import Rollout, Stage
from ..statistics.verdict import VerdictKind
from .mirror import Mirror


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
