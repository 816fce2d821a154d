"""Holdout table: what the champion's users and the holdout's did, by user and period, and the looks.

Answers are added up once, when they are past their horizon: a look reads sums of users, and not the
episodes of years. A period is all the time, a week, or the reign of a version; a finished one keeps
its last look and forgets its users.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from ...streams.answers.answer_rows import LATEST, NAMED
from ...streams.state.transaction import Transaction

HOLDOUT = """
CREATE TABLE holdout_users (
    policy TEXT NOT NULL, period TEXT NOT NULL, arm TEXT NOT NULL, user_hash TEXT NOT NULL,
    segment TEXT NOT NULL, harness TEXT NOT NULL,
    answers INTEGER NOT NULL, decided INTEGER NOT NULL, reward REAL NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (policy, period, arm, user_hash, segment, harness));
CREATE TABLE holdout_periods (
    policy TEXT NOT NULL, period TEXT NOT NULL, began REAL NOT NULL, until REAL NOT NULL,
    open INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (policy, period))
"""

ALL_TIME = "all"
"""The period that never ends; it is read up to its `until`."""
CHAMPION, HOLDOUT_ARM = "champion", "holdout"


class UserTotals(NamedTuple):
    """What one user did in one period, of one kind of work."""

    arm: str
    """champion or holdout."""
    user: str
    """Hashed user."""
    segment: str
    """Kind of work."""
    harness: str
    """Version of the product around the model."""
    answers: int
    """Answers past their horizon."""
    decided: int
    """Of those, the ones that somebody decided on."""
    reward: float
    """Sum of their rewards."""
    failed: int
    """Of the answers, the ones that the engine failed."""


class HoldoutMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One number of the champion's users against the holdout's, at one look."""

    name: str
    """reward, feedback_rate or error_rate."""
    champion: float
    """Mean of the champion's users."""
    holdout: float
    """Mean of the holdout's."""
    difference: float
    """Champion minus holdout, over the same mix of segments and harnesses."""
    low: float | None
    """Lower end of the 95 % interval that holds at all looks; None where there is none yet."""
    high: float | None
    """Upper end."""
    worse: bool
    """Whether the champion is shown to be worse."""

    @property
    def loses(self) -> bool:
        """Whether the difference is against the champion, shown or not."""
        return self.difference > 0 if self.name == "error_rate" else self.difference < 0


class HoldoutLook(msgspec.Struct, frozen=True, kw_only=True):
    """The last look at one period."""

    period: str
    """`all`, a version, or `week ` and the day on which it began."""
    began: float
    """Receive time from which on answers count, epoch seconds."""
    until: float
    """Receive time up to which they count."""
    champion_users: int = 0
    """Users of the champion with an answer that counts; a fixed sample of them."""
    holdout_users: int = 0
    """Users of the holdout with one."""
    measures: tuple[HoldoutMeasure, ...] = ()
    """What is compared."""
    shown: tuple[str, ...] = ()
    """Measures of all the time in which the champion was shown to be worse, and still is."""

    @property
    def alarm(self) -> str:
        """What is shown against the champion, in words; empty where nothing is."""
        words = "; ".join(
            f"{one.name} {one.champion:.4g} against {one.holdout:.4g} ({one.difference:+.4f})"
            for one in self.measures
            if one.name in self.shown
        )
        if not words:
            return ""
        began = datetime.fromtimestamp(self.began, UTC)
        return (
            f"the champion is worse than the holdout on v0: {words}, {self.champion_users} users"
            f" against {self.holdout_users}, since {began:%Y-%m-%d}"
        )


def served_sums(
    tx: Transaction,
    policy: str,
    champion: str,
    salts: Sequence[str],
    held_out: str,
    window: tuple[float, float],
) -> list[UserTotals]:
    """Return who did what in answers received after the window's start, up to its end.

    Of the champion are those that its version gave under the experiments' salts, also where it was
    the control, or a candidate that is promoted; of the holdout the anchor's under its own salt.
    """
    marks = ", ".join("?" * len(salts))
    rows = tx.execute(
        "SELECT CASE WHEN variant = 'anchor' THEN 'holdout' ELSE 'champion' END AS arm, user_hash,"
        f" COALESCE(segment, ''), harness, COUNT(*), COUNT({LATEST}), COALESCE(SUM({LATEST}), 0.0),"
        f" SUM(failed) FROM episodes WHERE policy = ? AND salt IN (?, {marks})"
        f" AND received > ? AND received <= ? AND {NAMED} AND ((variant = 'anchor' AND salt = ?)"
        " OR (variant IN ('champion', 'control', 'candidate') AND version = ?))"
        " GROUP BY 1, 2, 3, 4",
        (policy, held_out, *salts, *window, held_out, champion),
    )
    return [UserTotals._make(row) for row in rows.fetchall()]


def nth_received(
    tx: Transaction, policy: str, salts: Sequence[str], after: float, count: int
) -> float | None:
    """Return when the answer came that is so far behind a time, under any one of the salts."""
    found = [
        tx.execute(
            "SELECT received FROM episodes WHERE policy = ? AND salt = ? AND received > ?"
            " ORDER BY received LIMIT 1 OFFSET ?",
            (policy, salt, after, count),
        ).fetchone()
        for salt in salts
    ]
    return min((row[0] for row in found if row is not None), default=None)


def add_sums(tx: Transaction, policy: str, period: str, sums: Iterable[UserTotals]) -> None:
    """Add what users did to a period's sums."""
    added = ", ".join(
        f"{column} = holdout_users.{column} + excluded.{column}"
        for column in ("answers", "decided", "reward", "failed")
    )
    tx.executemany(
        "INSERT INTO holdout_users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        f" ON CONFLICT (policy, period, arm, user_hash, segment, harness) DO UPDATE SET {added}",
        [(policy, period, *one) for one in sums],
    )


def user_totals(tx: Transaction, policy: str, period: str) -> list[UserTotals]:
    """Return what the users of a period did."""
    rows = tx.execute(
        "SELECT arm, user_hash, segment, harness, answers, decided, reward, failed"
        " FROM holdout_users WHERE policy = ? AND period = ?",
        (policy, period),
    )
    return [UserTotals._make(row) for row in rows.fetchall()]


def looks(tx: Transaction, policy: str) -> list[HoldoutLook]:
    """Return the last look at every period, all the time first, then as they began."""
    rows = tx.execute(
        "SELECT record FROM holdout_periods WHERE policy = ?"
        " ORDER BY CASE WHEN period = 'all' THEN 0 ELSE 1 END, began, period",
        (policy,),
    )
    return [msgspec.json.decode(row[0], type=HoldoutLook) for row in rows.fetchall()]


def save_look(tx: Transaction, policy: str, look: HoldoutLook, *, is_open: bool) -> None:
    """Write a period's look down in the place of the one before; a finished one loses its users."""
    tx.execute(
        "INSERT INTO holdout_periods VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (policy, period)"
        " DO UPDATE SET until = excluded.until, open = excluded.open, record = excluded.record",
        (
            *(policy, look.period, look.began, look.until, int(is_open)),
            msgspec.json.encode(look).decode(),
        ),
    )
    if not is_open:
        tx.execute(
            "DELETE FROM holdout_users WHERE policy = ? AND period = ?", (policy, look.period)
        )


def open_periods(tx: Transaction, policy: str) -> list[HoldoutLook]:
    """Return the last looks at the periods that still go on."""
    rows = tx.execute(
        "SELECT record FROM holdout_periods WHERE policy = ? AND open = 1 ORDER BY began, period",
        (policy,),
    )
    return [msgspec.json.decode(row[0], type=HoldoutLook) for row in rows.fetchall()]


def alarm(tx: Transaction, policy: str) -> str:
    """Return what is shown against the champion of all the time; empty where nothing is."""
    row = tx.execute(
        "SELECT record FROM holdout_periods WHERE policy = ? AND period = ?", (policy, ALL_TIME)
    ).fetchone()
    return "" if row is None else msgspec.json.decode(row[0], type=HoldoutLook).alarm


def forget_erased(tx: Transaction, policy: str, erased: Mapping[str, str]) -> None:
    """Give erased users the random names that they have elsewhere: counts do not change."""
    tx.executemany(
        "UPDATE holdout_users SET user_hash = ? WHERE policy = ? AND user_hash = ?",
        [(alias, policy, user) for user, alias in erased.items()],
    )
