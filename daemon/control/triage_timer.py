"""Triage timer: starts the week's triage once it is due, and again while issues wait to be told.

When a week was last looked at is in the state, so that a restart neither repeats one nor leaves one out.
"""

from ...ops.problem_groups.days import SeenDays
from ...ops.triage import triage_tables
from ...ops.triage.settings import TriageSettings
from ...ops.triage.triage_job import due_week, is_taken_in
from ...streams.state.store import Store
from .own_command import OwnCommand

PATIENCE_SECONDS = 86_400.0
"""So long a week waits for what came in it to be taken in, from when it was found to be due."""
AGAIN_SECONDS = 600.0
"""Shortest time between two starts: what fails is not started again at once."""


class TriageTimer:
    """Looks at the tables, and leaves the work to a process of its own. The loop owns it."""

    def __init__(
        self, store: Store, policy: str, settings: TriageSettings, command: OwnCommand
    ) -> None:
        self.store, self.policy, self.settings, self.command = store, policy, settings, command
        self._started = float("-inf")
        self._due: tuple[int, float] | None = None
        self.problem: str | None = None
        """Why issues are not told; None where none failed."""

    def look(self, now: float) -> None:
        """Start the command where a week is over or an issue waits, and see how it stands."""
        weekly, tells = self.settings.every == "week", bool(self.settings.webhook)
        if not weekly and not tells:
            return
        with self.store.reading() as view:
            last = triage_tables.last_until(view, self.policy)
            days = due_week(last, now, self.settings.baseline_days) if weekly else None
            due = days is not None and (
                is_taken_in(view, self.policy, days) or self._waited(days, now)
            )
            waits = tells and triage_tables.waiting_issues(view, self.policy, now)
            self.problem = triage_tables.issue_problem(view, self.policy) if tells else None
        # One that has ended is heard of, too.
        if self.command.running or now - self._started < AGAIN_SECONDS:
            return
        if due or waits:
            self._started = now
            self.command.look()

    def _waited(self, days: SeenDays, now: float) -> bool:
        """Return whether these days have had their time, from when they were first found to be due."""
        if self._due is None or self._due[0] != days.until:
            self._due = days.until, now
        return now - self._due[1] >= PATIENCE_SECONDS

    def stop(self) -> None:
        """End what goes on; what it had filed is filed, and the rest is done by the next."""
        self.command.stop()
