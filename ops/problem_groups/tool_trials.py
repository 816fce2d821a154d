"""Tool trials: how calls of tools ended, by day and version, and whose calls they were."""

from collections import Counter

from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..tool_errors import calls_table
from ..tool_errors.blame import WORKED
from ..tool_errors.calls_table import CallCount
from ..tool_errors.tally import EndedCall, ended_calls, next_window
from .answered import answered
from .problem_group import DAY, CountedProblems, ProblemGroup, told_name

MOST_TOOLS = 200
"""Tools that are told apart, by their calls: a model that makes up names has a new one for every call."""
OTHERS = "(others)"


class ToolTrials:
    """Counts calls of tools into what was counted so far."""

    def __init__(self, counted: CountedProblems, since_day: int) -> None:
        """Evidence is of days from `since_day` on."""
        self.counted, self.since_day = counted, since_day
        self._tools = dict[str, str]()

    def read(self, store: Store, policy: str, first_day: int, until_day: int) -> None:
        """Count all calls whose results were received on these days, and what was an anomaly then."""
        with store.reading() as view:
            counts = calls_table.calls_between(view, policy, first_day * DAY, until_day * DAY, DAY)
            until = calls_table.read_until(view, policy)
        most = Counter[str]()
        for one in counts:
            most[one.tool] += one.calls
        named = sorted(most, key=lambda tool: (-most[tool], tool))[:MOST_TOOLS]
        self._tools = {tool: told_name(tool) for tool in named}
        for one in counts:
            self._count(one)
        if until is not None:
            first = self.counted.people.first_day
            self._read_people(store, policy, first, until_day, until)
        with store.reading() as view:
            self._note_anomalies(view, policy, until_day)
        said = "none is counted yet" if until is None else f"{most.total()} calls of tools"
        self.counted.read.append(said if until is not None else f"calls of tools: {said}")

    def _count(self, one: CallCount) -> None:
        unit, group = self._named(one.tool, one.error_class)
        day = one.began // DAY
        self.counted.trials[unit, one.version, day] += one.calls
        if group:
            self.counted.hits[group, one.version, day] += one.calls

    def _named(self, tool: str, error_class: str) -> tuple[str, str]:
        """Return the unit that a call is a trial of, and the group that it is a hit of, if of any."""
        name = self._tools.get(tool, OTHERS)
        unit = f"calls of {name}"
        if error_class == WORKED:
            return unit, ""
        failed = f"{name} fails as {error_class.replace('_', ' ')}"
        return unit, self.counted.group(
            ProblemGroup(source="tool", name=failed, unit=unit, people=unit)
        )

    def _read_people(
        self, store: Store, policy: str, first_day: int, until_day: int, counted: float
    ) -> None:
        """Note whose calls they were, as far as their results are still held.

        What was received on these days may have been taken in later, up to what is `counted`.
        """
        after = float(first_day * DAY)
        while after < counted:
            with store.reading() as view:
                to = next_window(view, policy, after, counted)
                calls = [
                    one
                    for one in ended_calls(view, policy, after, to)
                    if one.began < until_day * DAY
                ]
                ids = list(dict.fromkeys(one.generation_id for one in calls))
                people = {name: person for name, _, person in answered(view, policy, ids)}
            for one in calls:
                self._note(one, people.get(one.generation_id, ""))
            after = to

    def _note(self, one: EndedCall, person: str) -> None:
        unit, group = self._named(one.tool, one.error_class)
        day = one.began // DAY
        hits = [group] if group else []
        self.counted.people.note(day, person, one.version, [unit], hits)
        if group and day >= self.since_day:
            self.counted.show(group, one.version, float(one.began), one.generation_id)

    def _note_anomalies(self, view: Transaction, policy: str, until_day: int) -> None:
        since = self.since_day * DAY
        for one in calls_table.anomalies(view, policy, since=since):
            if one.began < until_day * DAY and one.tool in self._tools:
                _, group = self._named(one.tool, one.error_class)
                self.counted.notes[group].append(f"anomaly: {told_name(one.sentence)}")
