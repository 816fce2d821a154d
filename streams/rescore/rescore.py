"""Rescore: after a change of spec, answers are scored again, piece by piece, newest first.

What feedback on sessions and references reaches is worked out anew first. Then what waits for training
gets its reward, its readiness and its horizon from the new spec, so that no batch mixes two. Sealed batches keep theirs; of what is in one, or otherwise final, the reading that
comparisons take is scored again. What was forgotten cannot be, and keeps what it had.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog

from ..events.episode import Episode
from ..events.stage import EpisodeStage
from ..join import episodes_table
from ..join.scoring import Scoring
from ..state.bulk import by_ids
from ..state.store import Store
from ..state.transaction import Transaction, row_lock
from .reattribute import reattribute
from .rescorings_table import DONE, FIRST, Rescoring, find_rescoring, put_rescoring

log = structlog.get_logger()

AT_ONCE = 500
"""Answers looked at in one transaction."""
SECONDS = 0.1
"""Longest that one step goes on beginning transactions; ingest has its turn in between."""
STRAYS_SECONDS = 60.0
"""How often it is looked for what a daemon with another spec has scored since."""


class Looked(NamedTuple):
    """An answer, as it is found."""

    generation_id: str
    """Its id."""
    stage: str
    """How far it has come."""
    fate: str
    """As in `fate.py`."""
    in_batch: int
    """1 where it was sealed into a batch."""
    due: float
    """Until when it waits."""
    read_until: float
    """Until when it waits at least."""
    received: float
    """When it was received."""
    segment: str
    """Kind of work."""
    spec_version: str | None
    """The spec that its reading is by; None where it has none."""
    undecided: int
    """1 where nobody decided, and it has the value that the spec gives such answers."""
    said: int
    """1 where somebody said something of it."""


class Rescore:
    """Keeps one policy's answers scored under its spec."""

    def __init__(self, store: Store, scoring: Scoring) -> None:
        self.store, self.scoring, self.policy = store, scoring, scoring.policy
        self.version = scoring.score.version
        self.going_on: Rescoring | None = None
        """The pass that is going on."""
        self._look_at = 0.0

    def step(self, now: float) -> None:
        """Score a few pieces again, where something is left to be scored."""
        if now < self._look_at:
            return
        until = time.perf_counter() + SECONDS
        while True:
            with self.store.transaction() as tx:
                done = self._piece(tx, self._pass(tx, now), now)
            if done.ended is not None:
                if self.going_on is not None:
                    log.info("rescored", spec=self.version, looked=done.looked, scored=done.scored)
                self.going_on, self._look_at = None, now + STRAYS_SECONDS
                return
            if self.going_on is None:
                log.info("rescoring", spec=self.version)
            self.going_on = done
            if time.perf_counter() >= until:
                return

    def told(self) -> dict[str, Any] | None:
        """Return how far the pass that goes on is, for the pages; None where nothing is left."""
        if self.going_on is None:
            return None
        return {"looked": self.going_on.looked, "scored": self.going_on.scored}

    def _pass(self, tx: Transaction, now: float) -> Rescoring:
        known = find_rescoring(tx, self.policy)
        ended = known is not None and known.ended is not None
        if known is None or known.spec_version != self.version or (ended and self._strays(tx)):
            return Rescoring(self.version, FIRST, 0, 0, now, None)
        return known

    def _strays(self, tx: Transaction) -> bool:
        """Whether something waits with a reward by another spec: another daemon had it."""
        found = tx.execute(
            "SELECT 1 FROM episodes WHERE policy = ? AND spec_version <> ?"
            f" AND stage IN ('{EpisodeStage.SCORED}', '{EpisodeStage.READY}') LIMIT 1",
            (self.policy, self.version),
        ).fetchone()
        return found is not None

    def _piece(self, tx: Transaction, known: Rescoring, now: float) -> Rescoring:
        """Look at the next answers; return how far the pass is."""
        if known.ended is not None:
            return known
        while known.attributed != DONE:
            known, looked = self._attribute(tx, known, now)
            if looked:
                return known
        rows = tx.execute(
            "SELECT id, generation_id FROM contents WHERE policy = ? AND id < ?"
            " ORDER BY id DESC LIMIT ?",
            (self.policy, known.below, AT_ONCE),
        ).fetchall()
        scored = self._rescore(tx, sorted(row[1] for row in rows), now)
        done = known._replace(
            below=rows[-1][0] if rows else known.below,
            looked=known.looked + len(rows),
            scored=known.scored + scored,
            ended=None if rows else now,
        )
        put_rescoring(tx, self.policy, done)
        return done

    def _attribute(self, tx: Transaction, known: Rescoring, now: float) -> tuple[Rescoring, int]:
        """Work out anew what the next feedback on chains reaches, and score what that touches.

        Returns how far the pass is, and how much was looked at.
        """
        found = reattribute(tx, self.policy, self.scoring.score, known.attributed)
        self._rescore(tx, sorted(found.touched), now, anew=True)
        done = known._replace(attributed=found.position)
        put_rescoring(tx, self.policy, done)
        return done, found.looked

    def _rescore(
        self, tx: Transaction, ids: Sequence[str], now: float, *, anew: bool = False
    ) -> int:
        """Score these answers, those that are by this spec already only with `anew`."""
        found = look(tx, self.policy, ids)
        other = [row for row in found if anew or row.spec_version != self.version]
        waiting = [row for row in found if row.stage == EpisodeStage.OPEN and row.said]
        waiting += [row for row in other if row.stage in (EpisodeStage.SCORED, EpisodeStage.READY)]
        closed = [row for row in other if row.stage in (EpisodeStage.SEALED, EpisodeStage.CLOSED)]
        told = [row for row in closed if row.said or row.spec_version]
        excluded = [row for row in told if not row.in_batch and row.fate.startswith("excluded:")]
        final = [row for row in told if row not in excluded]
        self.scoring.write(tx, self._episodes(tx, waiting), now)
        self._move_horizons(tx, [row for row in found if row.stage == EpisodeStage.OPEN])
        self._correct(tx, excluded, now)
        self.scoring.revise(tx, self._episodes(tx, final))
        return len(told) + sum(row.stage != EpisodeStage.OPEN for row in waiting)

    def _episodes(self, tx: Transaction, rows: Sequence[Looked]) -> list[Episode]:
        ids = [row.generation_id for row in rows]
        return episodes_table.load_episodes(tx, self.policy, ids) if ids else []

    def _move_horizons(self, tx: Transaction, rows: Sequence[Looked]) -> None:
        """Let what is undecided wait for as long as the spec says."""
        moved = []
        for row in rows:
            due = max(row.received + self.scoring.horizon(row.segment), row.read_until)
            if due != row.due:
                moved.append((due, self.policy, row.generation_id))
        tx.executemany(
            "UPDATE episodes SET due = ? WHERE policy = ? AND generation_id = ?"
            f" AND stage = '{EpisodeStage.OPEN}'",
            moved,
        )

    def _correct(self, tx: Transaction, rows: Sequence[Looked], now: float) -> None:
        """Write the rewards of what a rule keeps from training: its fate stays."""
        by_id = {row.generation_id: row for row in rows}
        worth, worthless = [], []
        for episode in self.scoring.whole(tx, self._episodes(tx, rows)):
            row, score = by_id[episode.id], self.scoring.score
            scored = score.undecided(episode) if row.undecided else score(episode)
            if scored is None:
                worthless.append((self.policy, episode.id))
            else:
                worth.append((episode, scored, EpisodeStage.CLOSED, row.fate))
        episodes_table.put_scores(tx, self.policy, worth, now)
        tx.executemany(
            "UPDATE episodes SET reward = NULL, parts = NULL, spec_version = NULL, undecided = 0"
            " WHERE policy = ? AND generation_id = ?",
            worthless,
        )


def look(tx: Transaction, policy: str, ids: Sequence[str]) -> list[Looked]:
    """Return how answers stand, and keep them so until the transaction ends."""
    found: list[Looked] = []
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT generation_id, stage, fate, CASE WHEN batch_id IS NULL THEN 0 ELSE 1 END, due,"
            " read_until, received, COALESCE(segment, ''),"
            " CASE WHEN revised = 1 THEN COALESCE(late_spec, spec_version) ELSE spec_version END,"
            " undecided, CASE WHEN EXISTS (SELECT 1 FROM feedback f WHERE f.policy = episodes.policy"
            " AND f.generation_id = episodes.generation_id AND f.dead = 0) THEN 1 ELSE 0 END"
            f" FROM episodes WHERE policy = ? AND generation_id IN ({marks}) AND content IS NOT NULL"
            " ORDER BY generation_id" + row_lock(tx),
            (policy, *chunk),
        )
        found += [Looked._make(row) for row in rows.fetchall()]
    return found
