"""Desired state: what the tables of a release say must be true of flag file, engines and disk."""

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from ..flags import intents_table
from ..flags.assignment import BUCKETS, ServedVersion, Shares, holdout_salt
from ..flags.flag_state import FlagState
from ..flags.harness_flag import HarnessFlag
from ..stages.experiment import Experiment, ExperimentKind
from ..stages.record import Stage
from ..stages.settings import RolloutSettings
from . import candidates_table, champions_table, experiments_table, rollouts_table

PROVEN_APART = 1
"""Adapters beside what an engine holds: a version is proven under a name of the moment."""
LOADED_ROLLOUTS = 8
"""So many of the last rollouts may have a version that is still loaded."""
ROLLBACKS_KEPT = 8
"""So many rollbacks one after another find weights to go back to; then comes v0."""


def should_be_loaded(
    tx: Transaction, policy: str, settings: RolloutSettings, now: float, adapters: int = 0
) -> dict[str, Candidate]:
    """Return all that every engine should hold, by version.

    Champion, previous, anchor, what an experiment's users have, candidate and control of the rollout under way, and the versions
    that lost their users a moment ago, for requests under way: of these the newest, as far as `adapters`,
    the policy's share of an engine, leave room for them and for a version that is proven. 0 is no bound.
    """
    named = [
        champions_table.find_champion(tx, policy),
        champions_table.previous(tx, policy),
        candidates_table.find_anchor(tx, policy),
    ]
    current = rollouts_table.current(tx, policy)
    if current is not None:
        named.append(candidates_table.find(tx, policy, current.control))
    if (tried := _harness(tx, policy)) is not None:
        named.append(tried[1])
    history, lingering = rollouts_table.history(tx, policy, limit=LOADED_ROLLOUTS), []
    for rollout in history:
        lingers = now < rollout.entered_at + settings.linger_seconds
        if not rollout.ended:
            named.append(candidates_table.find(tx, policy, rollout.version))
        elif lingers and rollout.has_served:
            lingering.append(
                (rollout.entered_at, candidates_table.find(tx, policy, rollout.version))
            )
    found = {candidate.version: candidate for candidate in named if candidate is not None}
    for _, candidate in sorted(lingering, key=lambda pair: -pair[0]):
        if not adapters or len(found) < adapters - PROVEN_APART:
            found.setdefault(candidate.version, candidate)
    return found


def kept_checkpoints(
    tx: Transaction, policy: str, settings: RolloutSettings, now: float
) -> set[int]:
    """Return the checkpoints that something still names: retention keeps them whole.

    Named are what should be loaded, what waits, the champions of rollbacks one after another, and
    the checkpoint that the learner has to go back to (CONTRACTS 20).
    """
    named = {candidate.version: candidate for candidate in candidates_table.waiting(tx, policy)}
    named |= should_be_loaded(tx, policy, settings, now)
    for version in champions_table.rollback_targets(tx, policy, ROLLBACKS_KEPT):
        named[version] = candidates_table.find(tx, policy, version)
    owed = rollouts_table.must_return(tx, policy)
    return {one.sequence for one in named.values()} | ({owed.to_sequence} if owed else set())


def flag_state(
    tx: Transaction, policy: str, settings: RolloutSettings, generation: int
) -> FlagState:
    """Return what the flag file should say; v0 must be registered.

    The salt is the candidate's version, so that each experiment draws its users anew. The holdout's
    is its own, so that its users stay on v0 whatever experiment comes. While a promoted version bakes, some
    of its control's users stay on the previous champion, and as many of its own are counted. In an
    A/A the candidate is the champion itself.
    """
    champion = champions_table.champion(tx, policy)
    anchor = candidates_table.anchor(tx, policy)
    rollout, newest = rollouts_table.current(tx, policy), intents_table.newest(tx, policy)
    salt = champion.version if newest is None else newest[0].salt
    candidate = control = None
    share = 0.0
    if rollout is not None and rollout.serving:
        candidate = candidates_table.find(tx, policy, rollout.version)
        salt, share = rollout.version, settings.share_of(rollout.step) * rollout.first_step
        if rollout.stage is Stage.PROMOTED:
            control = candidates_table.find(tx, policy, rollout.control)
            share = min(settings.bake_share, settings.steps[-1])
    elif (aa := experiments_table.aa_under_way(tx, policy)) is not None:
        candidate, salt, share = champion, aa.salt, aa.share / 2
    previous = champions_table.previous(tx, policy)
    shadow = None
    if rollout is not None and rollout.stage is Stage.SHADOW:
        shadow = candidates_table.find(tx, policy, rollout.version)
    tried = _harness(tx, policy)
    return FlagState(
        policy=policy,
        generation=generation,
        salt=salt,
        holdout_salt=holdout_salt(policy),
        experiment=None if tried is None else harness_flag(*tried),
        champion=_served(champion),
        anchor=_served(anchor),
        candidate=_optional(candidate),
        control=_optional(control),
        previous=_optional(previous),
        shares=Shares(
            candidate=max(round(share * BUCKETS), share > 0),
            anchor=round(settings.anchor_share * BUCKETS),
        ),
        kept=_kept(tx, policy, (champion, candidate, control, previous)),
        shadow=_optional(shadow),
        shadow_share=0 if shadow is None else max(1, round(settings.shadow.share * BUCKETS)),
    )


def _kept(
    tx: Transaction, policy: str, named: tuple[Candidate | None, ...]
) -> tuple[ServedVersion, ...]:
    """Return what sessions may stay on: versions that the flags name, so that every engine has them.

    The one before the last promotion is among them, and none that was refused for cause.
    """
    refused = candidates_table.quarantined(tx, policy)
    found = {one.version: _served(one) for one in named if one and one.digest not in refused}
    return tuple(found.values())


def harness_flag(experiment: Experiment, served: Candidate) -> HarnessFlag:
    """Return the flag of an experiment; raises ValueError for what no flag can say."""
    return HarnessFlag(
        name=experiment.name,
        salt=experiment.salt,
        arms=experiment.arms,
        share=round(experiment.share * BUCKETS),
        served=_served(served),
    )


def _harness(tx: Transaction, policy: str) -> tuple[Experiment, Candidate] | None:
    """Return the experiment on the product that goes on, and what answers its users.

    That is the champion of its start, unless it was refused since or has no weights: then today's.
    """
    found = experiments_table.running(tx, policy)
    if found is None or found.kind is not ExperimentKind.HARNESS:
        return None
    served = candidates_table.find(tx, policy, found.version)
    refused = served.digest in candidates_table.quarantined(tx, policy)
    if refused or found.version in candidates_table.pruned(tx, policy):
        served = champions_table.champion(tx, policy)
    return found, served


def _served(candidate: Candidate) -> ServedVersion:
    return ServedVersion(version=candidate.version, digest=candidate.digest)


def _optional(candidate: Candidate | None) -> ServedVersion | None:
    return None if candidate is None else _served(candidate)
