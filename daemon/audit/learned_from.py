"""Learned from: whose answers each version of a policy was made of, as the manifests name them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...learner.candidate import Manifest
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction

MayLearn = Callable[[str, str, str], bool]
"""Whether an answer, by its id, to a tenant, in a kind of work may be in this policy's weights."""

UNKNOWN = "(not in the tables)"
"""Stands for the tenant of an answer that only a manifest names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedFrom:
    """What one version learned of one tenant in one kind of work, beside what it went on from."""

    version: str
    """The version."""
    parent: str
    """What it went on from: a version of this policy; of v0 the parent's that it began with, or nothing."""
    tenant: str
    """Whose answers; empty where it was made of none."""
    segment: str
    """Which kind of work."""
    answers: tuple[str, ...]
    """Their generation ids."""


def learned_from(
    view: Transaction, policy: str, manifests: Sequence[Manifest]
) -> tuple[LearnedFrom, ...]:
    """Return it of every version that was made, oldest first: what moved its weights, and held-out evidence
    is not among that.
    """
    named = {one.sequence: one.version for one in manifests}
    found = list[LearnedFrom]()
    for one in manifests:
        if one.parent_sequence is not None and one.batch_id not in one.applied:
            continue
        went_on_from = one.started_from
        if one.parent_sequence is not None:
            went_on_from = named.get(one.parent_sequence, f"checkpoint {one.parent_sequence}")
        whose = _whose(view, policy, one.trained_ids) or {("", ""): []}
        found += [
            LearnedFrom(
                version=one.version,
                parent=went_on_from,
                tenant=tenant,
                segment=segment,
                answers=tuple(answers),
            )
            for (tenant, segment), answers in sorted(whose.items())
        ]
    return tuple(found)


def _whose(view: Transaction, policy: str, ids: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    rows = dict[str, tuple[str, str]]()
    for marks, chunk in by_ids(ids):
        for name, tenant, segment in view.execute(
            "SELECT generation_id, tenant, segment FROM episodes"
            f" WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall():
            rows[name] = (tenant, segment)
    found = dict[tuple[str, str], list[str]]()
    for name in ids:
        found.setdefault(rows.get(name, (UNKNOWN, "")), []).append(name)
    return found


def strangers(found: Iterable[LearnedFrom], may: MayLearn) -> list[str]:
    """Return which versions learned from answers that are another policy's, in words."""
    counts = Counter[tuple[str, str, str]]()
    for one in found:
        for name in one.answers if one.tenant != UNKNOWN else ():
            if not may(name, one.tenant, one.segment):
                counts[one.version, one.tenant, one.segment] += 1
    return [
        f"{version} learned from {count} answers to tenant {tenant!r}, segment {segment!r}, that are"
        " another policy's"
        for (version, tenant, segment), count in counts.items()
    ]
