"""Audit: both accounting identities, and whether the ledger agrees with the manifests (CONTRACTS 12).

Records, by partition: delivered = accepted + duplicate + dead-lettered, and what was accepted or
dead-lettered is really in the tables. Generations, by day and variant: each has one known fate, the
trained ones are those of the batches that the manifests say were applied; and served = known here +
lost at the gateway, which counts on its own disk what it could not keep.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...learner.candidate import Manifest
from ...learner.ledger.batches_table import trained_by_lane
from ...streams.join.offsets import accepted_gaps, rewound_by
from ...streams.state.transaction import Transaction
from ..spool.lost import read_lost
from .generations import GenerationRow, generation_rows
from .learned_from import LearnedFrom, MayLearn, learned_from, strangers


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """One partition's records."""

    partition: str
    """`topic/index`."""
    delivered: int
    """Handed over by the log."""
    accepted: int
    """Taken in."""
    duplicate: int
    """Known already."""
    dead_lettered: int
    """Refused."""
    found: int
    """Rows in the tables that came from here and were accepted."""
    found_dead: int
    """Rows among the dead letters that came from here."""

    @property
    def sums(self) -> str:
        """The counts in words, for one who looks for the difference."""
        return (
            f"{self.delivered} delivered; {self.accepted} accepted, {self.duplicate} duplicate,"
            f" {self.dead_lettered} dead-lettered; {self.found} and {self.found_dead} in the tables"
        )

    @property
    def closes(self) -> bool:
        """True where every count agrees."""
        return (
            self.delivered == self.accepted + self.duplicate + self.dead_lettered
            and self.found == self.accepted
            and self.found_dead == self.dead_lettered
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All that was found."""

    records: tuple[RecordRow, ...]
    """By partition."""
    generations: tuple[GenerationRow, ...]
    """By day and variant."""
    lost_at_gateway: dict[str, int]
    """Dropped by full spools or not taken by full disks: `topic|day|variant` to count."""
    trained_by_lane: dict[str, int]
    """Answers that each lane learned from; one may be in several."""
    gaps: dict[str, int]
    """Offsets that an operator gave up because the log had lost them, by partition."""
    rewound: dict[str, int]
    """Offsets that an operator went back by because the log had lost its end, by partition."""
    learned_from: tuple[LearnedFrom, ...] = ()
    """Whose answers each version was made of."""
    problems: tuple[str, ...] = field(default=())
    """What does not close, in words."""

    @property
    def closes(self) -> bool:
        """True where nothing is unaccounted for."""
        return not self.problems

    def as_document(self) -> dict[str, Any]:
        """Return the audit as plain data."""
        return {
            "closes": self.closes,
            "records": [asdict(row) | {"closes": row.closes} for row in self.records],
            "generations": [
                asdict(row) | {"closes": row.closes, "served": row.served}
                for row in self.generations
            ],
            "lost_at_gateway": self.lost_at_gateway,
            "trained_by_lane": self.trained_by_lane,
            "gaps": self.gaps,
            "rewound": self.rewound,
            "learned_from": [
                asdict(one) | {"answers": len(one.answers)} for one in self.learned_from
            ],
            "problems": list(self.problems),
        }


def audit(
    view: Transaction,
    policy: str,
    manifests: Iterable[Manifest],
    spools: Iterable[Path] = (),
    *,
    topics: Collection[str] = (),
    may_learn: MayLearn | None = None,
) -> Audit:
    """Count everything twice and compare.

    `topics` are the policy's own, of several whose gateways count together; `may_learn` tells
    which answers it may have learned from, where that is not all.
    """
    lost = sum(map(read_lost, spools), Counter[str]())
    lost = Counter({k: n for k, n in lost.items() if not topics or k.partition("|")[0] in topics})
    manifests = list(manifests)
    learned = learned_from(view, policy, manifests)
    records, generations = _records(view, policy), generation_rows(view, policy, lost)
    problems = [
        f"records of {row.partition} do not add up: {row.sums}" for row in records if not row.closes
    ]
    problems += [
        f"generations of {row.day} {row.variant or 'without a flag'} do not add up: {row.sums}"
        for row in generations
        if not row.closes
    ]
    problems += _against_manifests(view, policy, manifests)
    problems += [] if may_learn is None else strangers(learned, may_learn)
    problems += _stages(view, policy)
    return Audit(
        records=records,
        generations=generations,
        lost_at_gateway=dict(lost),
        trained_by_lane=trained_by_lane(view, policy),
        gaps=accepted_gaps(view, policy),
        rewound=rewound_by(view, policy),
        learned_from=learned,
        problems=tuple(problems),
    )


def _records(view: Transaction, policy: str) -> tuple[RecordRow, ...]:
    rows = view.execute(
        "SELECT topic, partition, delivered, accepted, duplicate, dead_lettered,"
        " (SELECT COUNT(*) FROM episodes e WHERE e.policy = o.policy AND e.topic = o.topic"
        "   AND e.partition = o.partition AND e.received IS NOT NULL) +"
        " (SELECT COUNT(*) FROM feedback f WHERE f.policy = o.policy AND f.topic = o.topic"
        "   AND f.partition = o.partition AND f.dead = 0 AND f.origin = ''"
        "   AND f.attribution IS NULL) +"
        " (SELECT COUNT(*) FROM chain_feedback c WHERE c.policy = o.policy AND c.topic = o.topic"
        "   AND c.partition = o.partition AND c.stage <> 'dead'),"
        " (SELECT COUNT(*) FROM dead_letters d WHERE d.policy = o.policy AND d.topic = o.topic"
        "   AND d.partition = o.partition)"
        " FROM offsets o WHERE policy = ? ORDER BY topic, partition",
        (policy,),
    ).fetchall()
    return tuple(
        RecordRow(
            partition=f"{topic}/{index}",
            delivered=delivered,
            accepted=accepted,
            duplicate=duplicate,
            dead_lettered=dead,
            found=found,
            found_dead=found_dead,
        )
        for topic, index, delivered, accepted, duplicate, dead, found, found_dead in rows
    )


def _against_manifests(view: Transaction, policy: str, manifests: Sequence[Manifest]) -> list[str]:
    """Return where the ledger's trained episodes are not exactly those of the manifests."""
    problems, claimed = [], dict[str, int]()
    # Applied once, lost with its checkpoint, and given up when it was to be applied again.
    given_up = {batch_id for manifest in manifests for batch_id in manifest.skipped}
    for manifest in manifests:
        if manifest.batch_id not in manifest.applied or manifest.batch_id in given_up:
            continue
        assert manifest.batch_id is not None, "what was applied has a number"
        for generation_id in manifest.trained_ids:
            earlier = claimed.setdefault(generation_id, manifest.batch_id)
            if earlier != manifest.batch_id:
                problems.append(
                    f"{generation_id} moved weights in batch {earlier} and in {manifest.batch_id}"
                )
    rows = view.execute(
        "SELECT generation_id, batch_id FROM episodes WHERE policy = ? AND fate = 'trained'",
        (policy,),
    ).fetchall()
    ledger = dict(rows)
    problems += [
        f"{name} is trained in the ledger and in no manifest"
        for name in ledger
        if name not in claimed
    ]
    problems += [
        f"{name} is in a manifest and not trained in the ledger"
        for name in claimed
        if name not in ledger
    ]
    return problems


def _stages(view: Transaction, policy: str) -> list[str]:
    """Return rows whose stage and fate, or batch, contradict each other."""
    rows = view.execute(
        "SELECT e.generation_id, e.stage, e.fate, b.state FROM episodes e"
        " LEFT JOIN batches b ON b.policy = e.policy AND b.batch_id = e.batch_id"
        " WHERE e.policy = ? AND ("
        "  (e.stage IN ('open', 'scored', 'ready', 'sealed') AND e.fate <> 'waiting')"
        "  OR (e.stage = 'closed' AND e.fate = 'waiting')"
        "  OR (e.stage = 'sealed' AND (b.state IS NULL OR b.state <> 'sealed')))",
        (policy,),
    ).fetchall()
    return [
        f"{name}: stage {stage}, fate {ends}, batch {state}" for name, stage, ends, state in rows
    ]
