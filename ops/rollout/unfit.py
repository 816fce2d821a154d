"""Unfit: why a version is never offered, goes no further, cannot be pinned, or should not be gone on from."""

from collections.abc import Mapping

import msgspec

from ...learner.candidate import Candidate, sequence_of
from ...streams.state.transaction import Transaction
from ..drift import alarms_table
from ..drift.doubt import doubt_of
from ..stages.mismatch_settings import ALL, MismatchSettings
from ..stages.record import Rollout, Stage
from ..stages.watch_settings import WatchSettings
from . import candidates_table, champions_table, rollouts_table

MEASURED = 100
"""Versions, newest first, among which a mismatch is looked for."""
MEANS = ("k3", "chi2", "mean_ratio", "beyond")
"""Measurements that are means over tokens."""
ADVICE = "check the engine's --logprobs-mode, dtype and weights (docs/health.md)"


def flaw_of(tx: Transaction, policy: str, candidate: Candidate) -> tuple[Stage, str] | None:
    """Return why a new version is never to be offered."""
    banned = candidates_table.quarantined(tx, policy).get(candidate.digest)
    if banned is not None:
        return Stage.QUARANTINED, f"the weights of {banned}"
    owed = rollouts_table.must_return(tx, policy)
    if owed is not None and candidate.sequence > owed.refused_sequence:
        return Stage.SUPERSEDED, f"made from {owed.refused_version}, which was given up"
    for known in (
        champions_table.champion(tx, policy),
        champions_table.previous(tx, policy),
        candidates_table.anchor(tx, policy),
    ):
        if known is not None and known.digest == candidate.digest:
            return Stage.SUPERSEDED, f"the same weights as {known.version}"
    return None


def taken_back(view: Transaction, policy: str, version: str) -> tuple[str, str] | None:
    """Return which version was refused for cause, this one or one that it was made from, and why.

    None where none was. A version of another life of the policy is asked for by its own name alone.
    """
    refused = dict[str, str]()
    for first, other, reason in view.execute(
        "SELECT q.version, c.version, q.reason FROM quarantined q LEFT JOIN candidates c"
        " ON c.policy = q.policy AND c.digest = q.digest WHERE q.policy = ?",
        (policy,),
    ).fetchall():
        # The same weights may have had several names.
        refused |= dict.fromkeys(filter(None, (first, other)), reason)
    if version in refused:
        return version, refused[version]
    made = {
        sequence: (name, parent)
        for sequence, name, parent in view.execute(
            "SELECT sequence, version, parent_sequence FROM checkpoints WHERE policy = ?", (policy,)
        ).fetchall()
        if refused
    }
    at: int | None = sequence_of(version)
    if made.get(at, ("", None))[0] != version:
        return None
    while at in made:
        name, at = made.pop(at)
        if name in refused:
            return name, refused[name]
    return None


def check_pin(tx: Transaction, policy: str, version: str) -> None:
    """Raise ValueError, with the reason, for a version that cannot be pinned."""
    known = {name for name, _, _ in champions_table.history(tx, policy)}
    if version not in known:
        raise ValueError(f"{version}: was never champion; only such a version can be pinned")
    digest = candidates_table.find(tx, policy, version).digest
    banned = candidates_table.quarantined(tx, policy).get(digest)
    if banned is not None:
        raise ValueError(f"{version}: is quarantined: {banned}")
    if version in candidates_table.pruned(tx, policy):
        raise ValueError(f"{version}: its weights were deleted (see keep_checkpoints)")


def mismatched(
    tx: Transaction, policy: str, settings: MismatchSettings
) -> tuple[Candidate, str] | None:
    """Return the first version that was trained on a mismatch which is not over, and what is wrong now.

    It is over once a newer version's batch, with tokens enough to say, is within all bars. At one engine it
    is not over by what the others answered: its own tokens since then are added up until there are enough,
    unless it answered nothing at all of a batch.
    """
    first: Candidate | None = None
    said, since = "", dict[str, Mapping[str, float]]()
    for candidate in reversed([*candidates_table.newest_first(tx, policy, MEASURED)]):
        metrics, found = candidate.metrics, settings.alarms(candidate.metrics)
        for name in since.keys() - found.keys():
            before = since.pop(name)
            told = metrics if name == ALL else _added_up(name, before, metrics)
            silent = settings.measured(metrics) and not metrics.get(f"{name}/tokens")
            if settings.passed(told, name):
                since[name] = {}
            elif not silent and not settings.measured(told, name):
                since[name] = told
        since |= {one: {} for one in found}
        first = (first or candidate) if since else None
        said = f"{candidate.version}: {settings.alarm(metrics)}" if found else said
    return None if first is None else (first, f"learner and engine disagree, {said}; {ADVICE}")


def _added_up(
    name: str, since: Mapping[str, float], metrics: Mapping[str, float]
) -> dict[str, float]:
    """Return an engine's means over several batches, by its tokens in each."""
    before, now = (each.get(f"{name}/tokens", 0.0) for each in (since, metrics))
    if not now:
        return dict(since)
    found = {f"{name}/tokens": before + now}
    for one in (f"{name}/{key}" for key in MEANS):
        if one in metrics:
            found[one] = (before * since.get(one, 0.0) + now * metrics[one]) / (before + now)
    return found


def held_by_drift(
    tx: Transaction, policy: str, rollout: Rollout, settings: WatchSettings
) -> Rollout:
    """Return the rollout with the alarm that holds it, or the doubt that keeps it from promotion.

    Neither of one that a person promoted over an alarm.
    """
    if rollout.held or rollout.overruled or settings.on_alarm != "hold":
        return rollout
    filed = alarms_table.alarms(tx, policy, [rollout.version])
    held = [one.sentence for one in filed if one.holds and settings.watches(one.behaviour)]
    if held or rollout.stage is not Stage.CANARY:
        return msgspec.structs.replace(rollout, held=held[-1]) if held else rollout
    return msgspec.structs.replace(rollout, doubt=doubt_of(tx, policy, rollout, settings))


def held_by_mismatch(
    tx: Transaction, policy: str, rollout: Rollout, settings: MismatchSettings
) -> str:
    """Return why a candidate goes no further: it was trained on a mismatch that is not over.

    Empty where nothing is wrong, or something else holds it; of what was promoted a person knows.
    """
    if rollout.held or rollout.stage is Stage.PROMOTED or settings.on_alarm != "hold":
        return ""
    found = mismatched(tx, policy, settings)
    return "" if found is None or sequence_of(rollout.version) < found[0].sequence else found[1]
