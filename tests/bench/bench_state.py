"""Bench state: the state of a daemon that ran for long, made of a short one that was joined for real."""

from pathlib import Path

from bench_records import BEGAN, feedback_event, generation_event
from daemon_by_hand import FEEDBACK, GENERATIONS, open_daemon_ledger
from manifests_by_hand import version_of

from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.events.event import encode_event
from rlwd.streams.state.transaction import Transaction

SEED, BATCHES = 2_000, 6
"""Answers that are joined, and the batches that are made of six in ten of them."""
EVERY_SECONDS = 5400.0
"""From one copy of the seed to the next."""
HELD = 5
"""Copies whose content is held: what came before was forgotten by retention."""
BEHAVIOURS = '{"asks":0.0,"refuses":0.0,"repeats":0.12,"hedges":0.0,"lists":0.0,"length":41.0}'
NAMED = "printf('policy@v%06d-00000000', {})"
_ENDS = """
UPDATE episodes SET behaviours = ?, due = received, version = ?, stage = 'closed',
    fate = CASE WHEN rowid % 10 < 6 THEN 'trained' WHEN rowid % 10 < 8 THEN 'censored:no_decision'
        WHEN rowid % 10 < 9 THEN 'excluded:greedy' ELSE 'excluded:no_consent' END,
    batch_id = CASE WHEN rowid % 10 < 6 THEN 1 + (rowid / 10) % ? END,
    late = CASE WHEN rowid % 10 = 3 THEN 1 ELSE 0 END
"""
_SILENT = """
DELETE FROM feedback WHERE generation_id IN
    (SELECT generation_id FROM episodes WHERE fate = 'censored:no_decision')
"""
_SETTLED = f"""
UPDATE episodes SET lane = 'ratio', trained_version = {NAMED.format("batch_id")},
    version = {NAMED.format("batch_id - 1")} WHERE batch_id IS NOT NULL
"""
_BATCHES = """
INSERT INTO batches (policy, batch_id, state, parent_sequence, hash, content, sealed_at, sequence)
SELECT 'policy', batch_id, 'applied', batch_id - 1, '', x'', MAX(received) + 1, batch_id
FROM episodes WHERE batch_id IS NOT NULL GROUP BY batch_id
"""
_CHECKPOINTS = f"""
INSERT INTO checkpoints (policy, sequence, parent_sequence, version, batch_id, created_at, seconds)
SELECT 'policy', batch_id, batch_id - 1, {NAMED.format("batch_id")}, batch_id, sealed_at + 30, 20
FROM batches
"""
_WEIGHED = """
INSERT INTO weighed (policy, generation_id, batch_id, weight, reward, confound, factors)
SELECT 'policy', generation_id, batch_id, 0.5, reward, 0.0, '{"burst":0.5}' FROM episodes
WHERE batch_id IS NOT NULL AND reward IS NOT NULL
"""


def long_state(path: Path, answers: int) -> Path:
    """Make a state database of so many answers, a multiple of `SEED`; return its path.

    Six in ten were trained on, a version every 15 minutes; two had no decision, two are excluded.
    """
    ledger = open_daemon_ledger(path, reward_spec(""))
    for partition, event in ((GENERATIONS, generation_event), (FEEDBACK, feedback_event)):
        ledger.take(
            *(encode_event(event(at)) for at in range(SEED)), partition=partition, now=BEGAN
        )
    copies = answers // SEED
    with ledger.store.transaction() as tx:
        tx.execute(_ENDS, (BEHAVIOURS, version_of(0), BATCHES))
        for statement in (_SILENT, _SETTLED):
            tx.execute(statement)
        for copy in range(1, copies):
            _copy(tx, copy)
        forgotten = BEGAN + (copies - HELD) * EVERY_SECONDS
        tx.execute("UPDATE episodes SET content = NULL WHERE received < ?", (forgotten,))
        for statement in (_BATCHES, _CHECKPOINTS, _WEIGHED):
            tx.execute(statement)
    ledger.store.close()
    return path


def _copy(tx: Transaction, copy: int) -> None:
    """Write the seed's rows once more, later and under other names."""
    later, batches = copy * EVERY_SECONDS, copy * BATCHES
    changed = {
        "generation_id": f"generation_id || '.{copy:x}'",
        "feedback_id": f"feedback_id || '.{copy:x}'",
        **{name: f"{name} + {later}" for name in ("received", "acted", "due", "scored_at")},
        "day": f"CAST((received + {later}) / 86400 AS INTEGER)",
        "batch_id": f"batch_id + {batches}",
        "trained_version": NAMED.format(f"batch_id + {batches}"),
        "version": NAMED.format(f"COALESCE(batch_id, 1) - 1 + {batches}"),
        '"offset"': f'"offset" + {copy * SEED}',
        "parent_id": "NULL",
    }
    for table in ("episodes", "feedback"):
        names = [row[1] for row in tx.execute(f"PRAGMA table_info({table})").fetchall()]
        columns = ['"offset"' if name == "offset" else name for name in names]
        told = ", ".join(changed.get(one, one) for one in columns)
        tx.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {told} FROM {table}"
            f" WHERE received < {BEGAN + EVERY_SECONDS}"
        )
