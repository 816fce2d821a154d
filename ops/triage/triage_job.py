"""Triage job: counts the days, judges the groups, files what it found, and opens issues."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...streams.state.store import Store
from ..problem_groups.answer_trials import AnswerTrials
from ..problem_groups.days import WEEK, SeenDays, last_monday, named_day
from ..problem_groups.dead_letter_counts import read_dead_letters
from ..problem_groups.judge_groups import judge_groups
from ..problem_groups.log_files import LogFiles
from ..problem_groups.people_seen import PeopleSeen
from ..problem_groups.problem_group import DAY, CountedProblems
from ..problem_groups.tool_trials import ToolTrials
from . import triage_tables
from .issue import issue_bodies, worth_telling
from .settings import TriageSettings
from .triage_memory import add_saved, add_standing, as_known, to_remember, to_save
from .triage_report import TriageReport, behaviour_of, drift_rows, stood_alarms

LATE_SECONDS = 3600.0
"""A week is looked at so long after its end: what is counted by then is what there was."""
MOST_WEEKS = 4
"""Weeks that are made up for after a daemon was away; older ones are passed over."""
PEOPLE_DAYS = 7
"""Days before the window of which is noted whom things happened to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the job is told of the policy beside its own tables."""

    controls: Mapping[str, str]
    """By candidate, the version that it is compared with."""
    problems: Mapping[str, str] | None
    """Problems that status names, at the end of the window; None where that is not known."""


def due_week(last: int | None, now: float, before_days: int) -> SeenDays | None:
    """Return the week that is to be looked at next; None where none is due.

    Each week (Monday to Sunday, UTC) is due once it is over, one after the other, so that a daemon that was
    away makes up for it; the first one ever is the last that is over.
    """
    newest = last_monday(int((now - LATE_SECONDS) // DAY))
    if last is None:
        last = newest - WEEK
    until = max(last_monday(last) + WEEK, newest - (MOST_WEEKS - 1) * WEEK)
    if until > newest:
        return None
    return SeenDays(since=until - WEEK, until=until, before_days=before_days)


class TriageJob:
    """One policy's triage. Not thread-safe."""

    def __init__(self, store: Store, policy: str, settings: TriageSettings) -> None:
        """`settings` have absolute paths."""
        self.store, self.policy, self.settings = store, policy, settings

    def report(self, days: SeenDays, around: Surroundings) -> tuple[TriageReport, CountedProblems]:
        """Return what these days were like, and what was counted; nothing is written."""
        with self.store.reading() as view:
            known = triage_tables.remembered(view, self.policy)
            saved = triage_tables.saved_days(view, self.policy, days.before)
        counted, answers = self._count(days)
        add_saved(counted, saved, known, days)
        add_standing(counted, around.problems, known, days)
        groups = judge_groups(
            counted,
            days,
            as_known(known),
            around.controls,
            false_share=self.settings.false_share,
        )
        with self.store.reading() as view:
            return TriageReport(
                policy=self.policy,
                since=named_day(days.since),
                until=named_day(days.until),
                before_days=days.before_days,
                false_share=self.settings.false_share,
                groups=tuple(groups),
                behaviour=behaviour_of(answers.numbers),
                drift=drift_rows(view, self.policy, days, answers.numbers.keys()),
                alarms=stood_alarms(view, self.policy, days),
                read=tuple(counted.read),
            ), counted

    def file(
        self, days: SeenDays, report: TriageReport, counted: CountedProblems, now: float
    ) -> int | None:
        """Write down that these days were looked at, and open issues; return how many.

        None where another process filed the same days. All of it is one transaction.
        """
        with self.store.transaction() as tx:
            if not triage_tables.file_run(tx, self.policy, days.since, days.until, now):
                return None
            known = triage_tables.remembered(tx, self.policy)
            found = worth_telling(report, known, self.settings.least)[: self.settings.most_issues]
            told = found if self.settings.webhook else []
            bodies = issue_bodies(report, told, self.settings.labels)
            triage_tables.open_issues(tx, self.policy, bodies, now)
            triage_tables.remember(tx, self.policy, to_remember(report, known, told))
            triage_tables.save_days(tx, self.policy, *to_save(counted, days))
            triage_tables.forget_old(
                tx, self.policy, days.until - self.settings.keep_days, days.before.start
            )
            return len(bodies)

    def _count(self, days: SeenDays) -> tuple[CountedProblems, AnswerTrials]:
        first, until = days.before.start, days.until
        counted = CountedProblems(people=PeopleSeen(max(first, days.since - PEOPLE_DAYS)))
        answers = AnswerTrials(counted, days.since)
        answers.read(self.store, self.policy, first, until)
        ToolTrials(counted, days.since).read(self.store, self.policy, first, until)
        read_dead_letters(self.store, self.policy, first, until, counted)
        logs = LogFiles(counted, days.since)
        logs.read(self.settings.logs, first, until)
        logs.attribute(self.store, self.policy)
        return counted, answers
