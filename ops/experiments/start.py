"""Start: how an experiment begins and is ended by hand, inside the caller's transaction."""

import msgspec

from ...streams.state.transaction import Transaction
from ..rollout import candidates_table, champions_table, experiments_table, rollouts_table
from ..rollout.desired_state import harness_flag
from ..stages.experiment import Experiment, ExperimentKind, ExperimentMove, ended

LONGEST_SECONDS = 366 * 86_400.0


def start_aa(
    tx: Transaction,
    policy: str,
    *,
    share: float,
    seconds: float,
    by: str,
    why: str,
    now: float,
) -> Experiment:
    """Let a share of the users meet the champion as a candidate, and as many as its control.

    While one goes on it is returned as it is. Raises ValueError while a rollout or an experiment is
    under way, before v0, or for a share or time that cannot be.
    """
    going_on = experiments_table.aa_under_way(tx, policy)
    if going_on is not None:
        return going_on
    if not 0 < share <= 0.5:
        raise ValueError(f"share is {share:g}: each half of an A/A has more than 0 and up to 0.5")
    number = 1 + sum(one.kind is ExperimentKind.AA for one in experiments_table.history(tx, policy))
    rollout = rollouts_table.current(tx, policy)
    if rollout is not None:
        raise ValueError(
            f"{rollout.version} is {rollout.stage}: an A/A compares the champion with itself, so it"
            " starts when that has ended"
        )
    return _begun(
        tx,
        policy,
        Experiment(
            name=f"aa-{number}",
            kind=ExperimentKind.AA,
            salt=f"aa/{policy}/{number}",
            arms=("control", "candidate"),
            share=2 * share,
            version="",
            started_at=now,
            ends_at=now + seconds,
            trail=(ExperimentMove(what="started", at=now, by=by, reason=why),),
        ),
    )


def start_harness(
    tx: Transaction,
    policy: str,
    name: str,
    arms: tuple[str, ...],
    *,
    share: float,
    seconds: float,
    by: str,
    why: str,
    now: float,
) -> Experiment:
    """Let a share of the users meet the arms of a product, in equal parts, on today's champion.

    While one of that name, with those arms and that share, goes on, it is returned as it is. Raises
    ValueError for a name that was used, another experiment under way, before v0, or for names, a
    share or a time that cannot be.
    """
    known = experiments_table.find(tx, policy, name)
    if known is not None:
        if known.ended or (known.arms, known.share) != (arms, share):
            raise ValueError(f"{known.sentence}; a name is used once")
        return known
    if not 0 < share <= 1:
        raise ValueError(f"share is {share:g}: it must lie above 0 and up to 1, for all arms")
    if name == policy or name.startswith("aa-"):
        raise ValueError(f"{name}: is the name of the policy's own flag, or of an A/A")
    experiment = _begun(
        tx,
        policy,
        Experiment(
            name=name,
            kind=ExperimentKind.HARNESS,
            salt=f"experiment/{policy}/{name}",
            arms=arms,
            share=share,
            version="",
            started_at=now,
            ends_at=now + seconds,
            trail=(ExperimentMove(what="started", at=now, by=by, reason=why),),
        ),
    )
    # What no flag can say is refused here, and not by whoever writes the file.
    served = candidates_table.find(tx, policy, experiment.version)
    harness_flag(experiment, served)
    return experiment


def end_experiment(
    tx: Transaction, policy: str, name: str, *, by: str, why: str, now: float
) -> Experiment:
    """End an experiment, or the A/A that goes on where the name is empty; again changes nothing.

    Raises ValueError for a name that is not known.
    """
    if name:
        found = experiments_table.find(tx, policy, name)
    else:
        kind = ExperimentKind.AA
        past = [one for one in experiments_table.history(tx, policy) if one.kind is kind]
        found = past[-1] if past else None
    if found is None:
        known = ", ".join(one.name for one in experiments_table.history(tx, policy)) or "none"
        raise ValueError(f"{name or 'A/A'}: no such experiment was started; there are: {known}")
    over = ended(found, by, why, now)
    experiments_table.save(tx, policy, over)
    return over


def _begun(tx: Transaction, policy: str, experiment: Experiment) -> Experiment:
    seconds = experiment.ends_at - experiment.started_at
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError(f"it would end after {seconds:g} s; that must be above 0, at most a year")
    if (other := experiments_table.running(tx, policy)) is not None:
        raise ValueError(f"{other.sentence}; one experiment at a time")
    champion = champions_table.find_champion(tx, policy)
    if champion is None:
        raise ValueError("nothing was ever served; the daemon has not made v0 yet")
    experiment = msgspec.structs.replace(experiment, version=champion.version)
    experiments_table.save(tx, policy, experiment)
    return experiment
