"""Triage timer: starts the week's triage once it is due, and again while issues wait to be told.

When a week was last looked at is in the state, so that a restart neither repeats one nor leaves one out.
"""

from ...ops.problem_groups.days import SeenDays, day_of
from ...ops.problem_groups.problem_group import DAY
from ...ops.tool_errors.calls_table import read_until
from ...ops.triage import triage_tables
from ...ops.triage.settings import TriageSettings
from ...ops.triage.triage_job import due_week
from ...streams.join.offsets import watermark
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from .own_command import OwnCommand

PATIENCE_SECONDS = 86_400.0
"""So long a week waits for what came in it to be taken in and counted, from when it was found to be due."""
AGAIN_SECONDS = 600.0
"""Shortest time between two starts: what fails is not started again at once."""


class TriageTimer:
    """Looks at the tables, and leaves the work to a process of its own. The loop owns it."""

    def __init__(
        self, store: Store, policy: str, settings: TriageSettings, command: OwnCommand
    ) -> None:
        self.store, self.policy, self.settings, self.command = store, policy, settings, command
        self._started = float("-inf")
        self._due_since: float | None = None
        self._read_since: float | None = None
        self.problem: str | None = None
        """Why the week's report is not made, or issues are not told; None where none failed."""

    def look(self, now: float) -> None:
        """Start the command where a week is over or an issue waits, and see how it stands."""
        weekly, tells = self.settings.every == "week", bool(self.settings.webhook)
        if not weekly and not tells:
            return
        with self.store.reading() as view:
            due = weekly and self._is_due(view, now)
            waits = tells and triage_tables.waiting_issues(view, self.policy, now)
            self.problem = triage_tables.issue_problem(view, self.policy) if tells else None
        # One that has ended is heard of, too.
        running = self.command.running
        if due and self.command.status and self.problem is None:
            self.problem = (
                f"the week's report was not made: `rlwd triage --if-due` ended with status"
                f" {self.command.status}, and the log says why"
            )
        if running or now - self._started < AGAIN_SECONDS:
            return
        if due or waits:
            self._started = now
            self.command.look()

    def stop(self) -> None:
        """End what goes on; what it had filed is filed, and the rest is done by the next."""
        self.command.stop()

    def _is_due(self, view: Transaction, now: float) -> bool:
        """Return whether a week is over, and all of it is counted or has had its time.

        A daemon that was away first reads what the log holds, and tools' calls are counted a while after.
        """
        last = triage_tables.last_until(view, self.policy, day_of(now))
        if due_week(last, now, self.settings.baseline_days) is None:
            self._due_since = self._read_since = None
            return False
        newest = due_week(None, now, self.settings.baseline_days)
        assert isinstance(newest, SeenDays)
        if self._due_since is None:
            self._due_since = now
        if self._read_since is None and watermark(view, self.policy) >= newest.until * DAY:
            self._read_since = now
        counted = read_until(view, self.policy)
        whole = self._read_since is not None and counted is not None and counted >= self._read_since
        return whole or now - self._due_since >= PATIENCE_SECONDS
