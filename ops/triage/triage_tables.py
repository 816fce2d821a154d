"""Triage tables: what was looked at, what is remembered of groups, and the issues that are to be told.

An issue is written in the transaction of the report that opens it, with the bytes that are posted. Who dies
between the post and its note posts the same bytes under the same key again, and the receiver knows it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ...streams.state.transaction import Transaction

TRIAGE = """
CREATE TABLE triage_runs (
    policy TEXT NOT NULL, until INTEGER NOT NULL, since INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (policy, until));
CREATE TABLE triage_days (
    policy TEXT NOT NULL, day INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    version TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (policy, day, kind, name, version));
CREATE TABLE triage_groups (
    policy TEXT NOT NULL, fingerprint TEXT NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL,
    unit TEXT NOT NULL, people TEXT NOT NULL, first_day INTEGER NOT NULL, last_day INTEGER NOT NULL,
    state TEXT NOT NULL, told INTEGER NOT NULL,
    PRIMARY KEY (policy, fingerprint));
CREATE TABLE triage_issues (
    policy TEXT NOT NULL, "key" TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL,
    rounds INTEGER NOT NULL DEFAULT 0, next REAL NOT NULL, problem TEXT NOT NULL DEFAULT '', told REAL,
    PRIMARY KEY (policy, "key"))
"""
"""`triage_days` has what a later week is held against, of files and tables that forget sooner: `hit`s by
fingerprint, `trial`s by unit. `triage_issues` has what waits to be posted, and what was."""

HIT, TRIAL = "hit", "trial"
MOST_GROUPS = 5_000
"""Groups that are remembered, those that were seen last."""
MOST_ISSUES = 1_000
"""Issues that are kept after they were told."""
HOURLY, DAILY = 24, 6
"""How often an issue that failed is tried each hour, and after that each day: a week in all."""
ROUNDS = HOURLY + DAILY
"""Tries after which an issue is given up: the problem stands until the next report is filed."""
HOUR_SECONDS, DAY_SECONDS = 3600.0, 86_400.0

Counts = Counter[tuple[str, str, int]]
"""By name, version and day."""


class RememberedGroup(NamedTuple):
    """What is remembered of a group."""

    fingerprint: str
    """Names it."""
    source: str
    """Where it was seen."""
    name: str
    """What it is."""
    unit: str
    """What it is counted of."""
    people: str
    """Whose people are counted by version."""
    first_day: int
    """First day on which it was seen."""
    last_day: int
    """Last one."""
    state: str
    """What the last report said of it."""
    told: int
    """1 where an issue was opened for it."""


class WaitingIssue(NamedTuple):
    """An issue that is not told yet."""

    key: str
    """By which the receiver knows it again."""
    body: str
    """What is posted, JSON."""
    rounds: int
    """How often it was tried in vain, all tries at once counting for one."""


def last_until(view: Transaction, policy: str, today: int) -> int | None:
    """Return the day up to which the last filed report looked; None where there was none.

    A report of days that are still to come was filed by a clock that was ahead, and is none.
    """
    (found,) = view.execute(
        "SELECT MAX(until) FROM triage_runs WHERE policy = ? AND until <= ?", (policy, today)
    ).fetchone()
    return None if found is None else int(found)


def file_run(tx: Transaction, policy: str, since: int, until: int, now: float) -> bool:
    """Note that a report was filed; False where another one was, up to the same day."""
    row = tx.execute(
        "INSERT INTO triage_runs VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING until",
        (policy, until, since, now),
    ).fetchone()
    return row is not None


def saved_days(view: Transaction, policy: str, days: range) -> tuple[Counts, Counts]:
    """Return what was saved of these days: hits, and trials."""
    found = {HIT: Counts(), TRIAL: Counts()}
    rows = view.execute(
        "SELECT kind, name, version, day, count FROM triage_days"
        " WHERE policy = ? AND day >= ? AND day < ?",
        (policy, days.start, days.stop),
    )
    for kind, name, version, day, count in rows.fetchall():
        found[kind][name, version, int(day)] += int(count)
    return found[HIT], found[TRIAL]


def save_days(tx: Transaction, policy: str, hits: Counts, trials: Counts) -> None:
    """Save counts of days; what is saved of a day already stays."""
    tx.executemany(
        "INSERT INTO triage_days VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (policy, day, kind, name, version, count)
            for kind, counts in ((HIT, hits), (TRIAL, trials))
            for (name, version, day), count in sorted(counts.items())
            if count
        ],
    )


def remembered(view: Transaction, policy: str) -> dict[str, RememberedGroup]:
    """Return the groups that are remembered."""
    rows = view.execute(
        "SELECT fingerprint, source, name, unit, people, first_day, last_day, state, told"
        " FROM triage_groups WHERE policy = ? ORDER BY fingerprint",
        (policy,),
    )
    return {row[0]: RememberedGroup._make(row) for row in rows.fetchall()}


def remember(tx: Transaction, policy: str, groups: Iterable[RememberedGroup]) -> None:
    """Remember groups, in the place of what was known of them."""
    tx.executemany(
        "INSERT INTO triage_groups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (policy, fingerprint) DO UPDATE SET first_day = excluded.first_day,"
        " last_day = excluded.last_day, state = excluded.state, told = excluded.told",
        [(policy, *one) for one in groups],
    )


def forget_old(tx: Transaction, policy: str, before_day: int, keep_from_day: int) -> None:
    """Forget groups that were not seen since then, counts of days before `keep_from_day`, old runs, issues
    that were given up, and the oldest of what is more than is kept."""
    tx.execute(
        "DELETE FROM triage_groups WHERE policy = ? AND (last_day < ? OR fingerprint NOT IN (SELECT"
        " fingerprint FROM triage_groups WHERE policy = ? ORDER BY last_day DESC, fingerprint LIMIT ?))",
        (policy, before_day, policy, MOST_GROUPS),
    )
    tx.execute("DELETE FROM triage_days WHERE policy = ? AND day < ?", (policy, keep_from_day))
    tx.execute("DELETE FROM triage_runs WHERE policy = ? AND until < ?", (policy, before_day))
    tx.execute(
        "DELETE FROM triage_issues WHERE policy = ? AND told IS NULL AND rounds >= ?",
        (policy, ROUNDS),
    )
    tx.execute(
        'DELETE FROM triage_issues WHERE policy = ? AND told IS NOT NULL AND "key" NOT IN (SELECT "key"'
        " FROM triage_issues WHERE policy = ? AND told IS NOT NULL ORDER BY told DESC LIMIT ?)",
        (policy, policy, MOST_ISSUES),
    )


def open_issues(tx: Transaction, policy: str, bodies: Mapping[str, str], now: float) -> None:
    """Let issues wait to be posted, by key; one that is known is left."""
    tx.executemany(
        'INSERT INTO triage_issues (policy, "key", at, body, next) VALUES (?, ?, ?, ?, ?)'
        " ON CONFLICT DO NOTHING",
        [(policy, key, now, body, now) for key, body in bodies.items()],
    )


def waiting_issues(view: Transaction, policy: str, now: float) -> list[WaitingIssue]:
    """Return the issues that are to be posted by now, in the order in which they were opened."""
    rows = view.execute(
        'SELECT "key", body, rounds FROM triage_issues WHERE policy = ? AND told IS NULL'
        ' AND rounds < ? AND next <= ? ORDER BY at, "key"',
        (policy, ROUNDS, now),
    )
    return [WaitingIssue._make(row) for row in rows.fetchall()]


def note_told(tx: Transaction, policy: str, key: str, now: float) -> None:
    """Note that the receiver has an issue."""
    tx.execute(
        "UPDATE triage_issues SET told = ?, problem = '' WHERE policy = ? AND \"key\" = ?",
        (now, policy, key),
    )


def note_failed(tx: Transaction, policy: str, key: str, problem: str, now: float) -> None:
    """Note that an issue could not be told, and when it is tried again."""
    tx.execute(
        "UPDATE triage_issues SET rounds = rounds + 1, problem = ?,"
        " next = CASE WHEN rounds + 1 < ? THEN ? ELSE ? END"
        ' WHERE policy = ? AND "key" = ?',
        (problem, HOURLY, now + HOUR_SECONDS, now + DAY_SECONDS, policy, key),
    )


def issue_problem(view: Transaction, policy: str) -> str | None:
    """Return why issues are not told; None where none failed."""
    count, given_up, problem = view.execute(
        "SELECT COUNT(*), COALESCE(SUM(CASE WHEN rounds >= ? THEN 1 ELSE 0 END), 0), MAX(problem)"
        " FROM triage_issues WHERE policy = ? AND told IS NULL AND rounds > 0",
        (ROUNDS, policy),
    ).fetchone()
    if not count:
        return None
    lost = f", {given_up} of them given up after a week" if given_up else ""
    return f"{count} issues could not be told{lost}: {problem}"
