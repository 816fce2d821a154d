"""Rollouts: the tables of releases, of what the learner owes after them, and of what people hold."""

from collections.abc import Iterator

import msgspec

from ...streams.state.transaction import Transaction
from ..stages.record import Rollout


class LearnerReturn(msgspec.Struct, frozen=True, kw_only=True):
    """What the learner owes after a version was given up, for cause or not (CONTRACTS 19)."""

    refused_version: str
    """The version that was given up: nothing is trained from it."""
    refused_sequence: int
    """Its checkpoint."""
    to_sequence: int
    """The champion's checkpoint, to go back to."""
    reason: str
    """Why it was given up."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A person lets no version meet more people, until they resume."""

    pinned: str = ""
    """The champion that is to stay; empty for a pause."""
    by: str
    """Who."""
    reason: str
    """Why."""
    since: float
    """Epoch seconds."""

    @property
    def sentence(self) -> str:
        """The hold in words."""
        what = f"{self.pinned} is pinned" if self.pinned else "rollouts are paused"
        return f"{what} by {self.by}: {self.reason}"


def current(tx: Transaction, policy: str) -> Rollout | None:
    """Return the rollout that has not ended."""
    row = tx.execute(
        "SELECT record FROM rollouts WHERE policy = ? AND ended = 0", (policy,)
    ).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Rollout)


def find(tx: Transaction, policy: str, version: str) -> Rollout | None:
    """Return a version's rollout."""
    row = tx.execute(
        "SELECT record FROM rollouts WHERE policy = ? AND version = ?", (policy, version)
    ).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Rollout)


def history(tx: Transaction, policy: str, limit: int = 1_000_000) -> list[Rollout]:
    """Return the last rollouts, oldest first."""
    rows = tx.execute(
        "SELECT record FROM rollouts WHERE policy = ? ORDER BY number DESC LIMIT ?",
        (policy, limit),
    ).fetchall()
    return [msgspec.json.decode(row[0], type=Rollout) for row in reversed(rows)]


def overruled(tx: Transaction, policy: str) -> Iterator[Rollout]:
    """Yield what a person promoted over what held it and did not take back, the newest first."""
    rows = tx.execute(
        "SELECT record FROM rollouts WHERE policy = ? AND record NOT LIKE ? ORDER BY number DESC",
        (policy, '%"overruled":""%'),
    ).fetchall()
    for (record,) in rows:
        rollout = msgspec.json.decode(record, type=Rollout)
        if rollout.overruled and not rollout.quarantine:
            yield rollout


def save(tx: Transaction, policy: str, rollout: Rollout) -> None:
    """Write a rollout down, a new one as the last."""
    row = tx.execute(
        "SELECT COALESCE(MAX(number), 0) FROM rollouts WHERE policy = ?", (policy,)
    ).fetchone()
    tx.execute(
        "INSERT INTO rollouts VALUES (?, ?, ?, ?, ?) ON CONFLICT (policy, version)"
        " DO UPDATE SET ended = excluded.ended, record = excluded.record",
        (
            *(policy, rollout.version, row[0] + 1, int(rollout.ended)),
            msgspec.json.encode(rollout).decode(),
        ),
    )


def hold(tx: Transaction, policy: str) -> Hold | None:
    """Return what a person holds; None where rollouts go on by themselves."""
    row = tx.execute("SELECT record FROM holds WHERE policy = ?", (policy,)).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Hold)


def put_hold(tx: Transaction, policy: str, held: Hold | None) -> None:
    """Write down a hold in the place of any other, or that there is none."""
    tx.execute("DELETE FROM holds WHERE policy = ?", (policy,))
    if held is not None:
        tx.execute("INSERT INTO holds VALUES (?, ?)", (policy, msgspec.json.encode(held).decode()))


def ask_return(tx: Transaction, policy: str, owed: LearnerReturn, now: float) -> None:
    """Write down that the learner must go back."""
    tx.execute(
        "INSERT INTO learner_returns VALUES (?, ?, ?, ?, ?, ?, NULL)"
        " ON CONFLICT (policy, refused_version) DO NOTHING",
        (
            *(policy, owed.refused_version, owed.refused_sequence, owed.to_sequence),
            *(owed.reason, now),
        ),
    )


def must_return(tx: Transaction, policy: str) -> LearnerReturn | None:
    """Return what is still owed; of several the one that goes back furthest."""
    row = tx.execute(
        "SELECT refused_version, refused_sequence, to_sequence, reason FROM learner_returns"
        " WHERE policy = ? AND done_at IS NULL ORDER BY to_sequence, refused_sequence LIMIT 1",
        (policy,),
    ).fetchone()
    if row is None:
        return None
    version, refused, target, reason = row
    return LearnerReturn(
        refused_version=version, refused_sequence=refused, to_sequence=target, reason=reason
    )


def returned(tx: Transaction, policy: str, to: int, now: float) -> None:
    """Write down that nothing is owed any more but what leads further back."""
    tx.execute(
        "UPDATE learner_returns SET done_at = ?"
        " WHERE policy = ? AND done_at IS NULL AND to_sequence >= ?",
        (now, policy, to),
    )
