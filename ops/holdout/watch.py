"""Watch: adds up what champion and holdout did, looks at it once in a while, and raises the alarm."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import structlog

from ...streams.join.offsets import watermark
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..flags import intents_table
from ..flags.assignment import BUCKETS, bucket, holdout_salt
from ..rollout import candidates_table, champions_table, holdout_table
from ..rollout.holdout_table import ALL_TIME, CHAMPION, HOLDOUT_ARM, HoldoutLook, UserTotals
from ..statistics.answers import ComparisonSettings
from .comparison import compare_users, users_of

log = structlog.get_logger()

SAMPLE = 8
"""Champion's users in the comparison for each of the holdout's. All of them would narrow the interval
by less than 6 %, and would have to be read at each look."""
GRACE_SECONDS = 5.0
"""After its horizon an answer's reward is written; then it is added up."""
WEEK = 7 * 86_400.0
MONDAY = 4 * 86_400.0
"""Epoch seconds of the first Monday, UTC."""
WINDOW_ROWS, WINDOW_SECONDS = 20_000, 86_400.0
"""Most answers of one salt, and longest time, that one transaction adds up."""
MOST_REIGNS = 1_000_000
STEP_SECONDS = 0.5
"""Longest time that a look adds up for; the rest waits for the next."""


class _Stretch(NamedTuple):
    """A time within one week and one champion's reign."""

    champion: str
    begins: float
    ends: float


class HoldoutWatch:
    """Compares champion and holdout for as long as both live. Not thread-safe: the loop owns it.

    What v0 itself served as champion is left out: there nothing was learned yet.
    """

    def __init__(
        self,
        store: Store,
        policy: str,
        *,
        share: float,
        comparison: ComparisonSettings,
        longest_horizon: float,
        looked: Callable[[HoldoutLook, float], None] = lambda look, now: None,
    ) -> None:
        """`share` is the holdout's; `longest_horizon` the age at which every answer counts."""
        self.store, self.policy, self.share = store, policy, share
        self.comparison, self.longest_horizon = comparison, longest_horizon
        self.looked = looked
        self._salt = holdout_salt(policy)

    def look(self, now: float) -> HoldoutLook | None:
        """Add up what has come since the last look, and compare; None where there is nothing yet."""
        if not self.share:
            return None
        began = time.monotonic()
        while self._add_up() and time.monotonic() - began < STEP_SECONDS:
            pass
        with self.store.reading() as view:
            last = holdout_table.open_periods(view, self.policy)
            fresh = {one.period: self._compared(view, one) for one in last}
            reigns = champions_table.history(view, self.policy, limit=MOST_REIGNS)
        if ALL_TIME not in fresh:
            return None
        before = next(one for one in last if one.period == ALL_TIME)
        whole = fresh[ALL_TIME] = _judged(fresh[ALL_TIME], before.shown, reigns)
        going_on = {ALL_TIME, _week(whole.until), _champion_at(reigns, whole.until)}
        with self.store.transaction() as tx:
            for period, one in fresh.items():
                holdout_table.save_look(tx, self.policy, one, is_open=period in going_on)
        if whole.alarm and not before.shown:
            log.error("champion_worse_than_holdout", problem=whole.alarm)
        self.looked(whole, now)
        return whole

    def _add_up(self) -> bool:
        """Add the next window to the sums of its users; False where there is none to add."""
        with self.store.transaction() as tx:
            whole = self._whole(tx)
            # A state that was lost reads old answers before its first learner has made v0.
            if whole is None or candidates_table.find_anchor(tx, self.policy) is None:
                return False
            mark = watermark(tx, self.policy) - self.longest_horizon - GRACE_SECONDS
            end = min(mark, whole.until + WINDOW_SECONDS)
            if end <= whole.until:
                return False
            salts = intents_table.salts_since(tx, self.policy, whole.until)
            every = [self._salt, *salts]
            nth = holdout_table.nth_received(tx, self.policy, every, whole.until, WINDOW_ROWS)
            end = end if nth is None else min(end, nth)
            for part in self._stretches(tx, whole.until, end):
                window = part.begins, part.ends
                sums = holdout_table.served_sums(
                    tx, self.policy, part.champion, salts, self._salt, window
                )
                counted = [one for one in sums if self._counts(one)]
                for period in (ALL_TIME, part.champion, _week(part.ends)):
                    self._add(tx, period, counted, window)
            held = msgspec.structs.replace(self._whole(tx) or whole, until=end)
            holdout_table.save_look(tx, self.policy, held, is_open=True)
        return end < mark

    def _whole(self, tx: Transaction) -> HoldoutLook | None:
        """Return the look at all the time, from the holdout's first answer on."""
        for one in holdout_table.open_periods(tx, self.policy):
            if one.period == ALL_TIME:
                return one
        first = holdout_table.nth_received(tx, self.policy, [self._salt], 0.0, 0)
        if first is None:
            return None
        # A window is open at its start.
        return HoldoutLook(period=ALL_TIME, began=first, until=first - 1e-3)

    def _counts(self, one: UserTotals) -> bool:
        """Return whether a user is compared: the holdout's are, and a fixed sample of the others."""
        if one.arm == HOLDOUT_ARM:
            return True
        apart = abs(bucket(self._salt, one.user) - BUCKETS // 2)
        return apart <= (1 + SAMPLE) * self.share * BUCKETS / 2

    def _add(
        self, tx: Transaction, period: str, sums: list[UserTotals], window: tuple[float, float]
    ) -> None:
        if not sums:
            return
        begins, ends = window
        known = {one.period: one for one in holdout_table.open_periods(tx, self.policy)}
        look = known.get(period) or HoldoutLook(period=period, began=begins, until=ends)
        holdout_table.add_sums(tx, self.policy, period, sums)
        held = msgspec.structs.replace(look, until=ends)
        holdout_table.save_look(tx, self.policy, held, is_open=True)

    def _stretches(self, tx: Transaction, begins: float, ends: float) -> Iterator[_Stretch]:
        """Yield the window in pieces of one week and one champion, but v0."""
        v0 = candidates_table.anchor(tx, self.policy).version
        reigns = champions_table.history(tx, self.policy, limit=MOST_REIGNS)[::-1]
        for place, (version, since, _) in enumerate(reigns):
            until = reigns[place + 1][1] if place + 1 < len(reigns) else float("inf")
            at, stop = max(begins, since), min(ends, until)
            while version != v0 and at < stop:
                next_week = MONDAY + ((at - MONDAY) // WEEK + 1) * WEEK
                yield _Stretch(version, at, min(stop, next_week))
                at = min(stop, next_week)

    def _compared(self, view: Transaction, last: HoldoutLook) -> HoldoutLook:
        totals = holdout_table.user_totals(view, self.policy, last.period)
        return msgspec.structs.replace(
            last,
            champion_users=users_of(totals, CHAMPION),
            holdout_users=users_of(totals, HOLDOUT_ARM),
            measures=compare_users(totals, self.comparison),
        )


def _week(at: float) -> str:
    """Return the week that a time, its last instant included, lies in."""
    # A stretch may end where the next week begins.
    monday = MONDAY + ((at - 1e-6 - MONDAY) // WEEK) * WEEK
    return f"week {datetime.fromtimestamp(monday, UTC):%Y-%m-%d}"


def _champion_at(reigns: list[tuple[str, float, str]], at: float) -> str:
    """Return who was champion then; reigns are newest first."""
    return next((version for version, since, _ in reigns if since < at), "")


def _judged(
    look: HoldoutLook, before: tuple[str, ...], reigns: list[tuple[str, float, str]]
) -> HoldoutLook:
    """Return the look with what is shown against the champion.

    What was shown at one look is shown for good. It ends where the difference is no longer against
    the champion, or where v0, the first of all champions, serves everybody again.
    """
    back = bool(reigns) and reigns[0][0] == reigns[-1][0]
    shown = tuple(
        one.name
        for one in look.measures
        if not back and (one.worse or (one.name in before and one.loses))
    )
    return msgspec.structs.replace(look, shown=shown)
