"""Watching tools: what is counted, what fires, once, and when it is over."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger, feedback, generation
from places_by_hand import new_schema

from rlwd.ops.tool_errors import calls_table, tally, watch
from rlwd.ops.tool_errors.calls_table import BUCKET
from rlwd.ops.tool_errors.settings import ToolErrorSettings
from rlwd.ops.tool_errors.watch import GRACE_SECONDS, ToolWatch
from rlwd.streams.events.signals import ErrorClass, ToolResult
from rlwd.streams.join.offsets import mark_read_past
from rlwd.streams.log.ports import ReadPosition

HOUR = 3600.0
NOON = 2_000_000 * HOUR
V1, V2 = "policy@v000001-11111111", "policy@v000002-22222222"
Ways = Mapping[ErrorClass | None, int]


class Tools:
    """A ledger, a watch, and calls of a tool that come in hour by hour."""

    def __init__(self, path: Path | str) -> None:
        self.ledger: Ledger = open_daemon_ledger(path)
        self.watch = ToolWatch(self.ledger.store, "policy", ToolErrorSettings())
        self.made = 0

    def hour(
        self, at: float, ways: Ways, *, version: str = V1, tool: str = "search"
    ) -> list[calls_table.ToolAnomaly]:
        """Let calls end in these ways, evenly over the hour up to `at`, and look; return what is new."""
        self.come(at, ways, version=version, tool=tool)
        return self.look(at)

    def come(self, at: float, ways: Ways, *, version: str = V1, tool: str = "search") -> None:
        """Let calls end in these ways, evenly over the hour up to `at`."""
        total, answers, results = sum(ways.values()), [], []
        ended = [way for way, count in ways.items() for _ in range(count)]
        for place, way in enumerate(ended):
            when, name = at - HOUR + 1 + (HOUR - 2) * place / total, f"g{self.made}"
            self.made += 1
            answers.append(generation(name, when, version=version))
            results.append(
                feedback(f"{name}.t", name, ToolResult(tool=tool, error_class=way), when)
            )
        self.ledger.take(*answers)
        self.ledger.take(*results, partition=FEEDBACK, now=at)

    def look(self, at: float) -> list[calls_table.ToolAnomaly]:
        """Read the log past a time, and look."""
        with self.ledger.store.transaction() as tx:
            for topic in (GENERATIONS, FEEDBACK):
                end = ReadPosition(position=self.ledger.ends[topic], end=0)
                past = at + GRACE_SECONDS
                mark_read_past(tx, "policy", {topic: end}, past, self.ledger.joiner.owner)
        return self.watch.look()

    @property
    def problem(self) -> str | None:
        """What is wrong at present."""
        with self.ledger.store.reading() as view:
            return calls_table.tool_problem(view, "policy")


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """A tool with a day of calls of which 2 % were outages and 1 % of no known kind."""
    tools = Tools(tmp_path / "rlwd.db")
    for hour in range(12):
        tools.hour(NOON - (12 - hour) * HOUR, {None: 97, "provider_error": 2, "unknown": 1})
    assert tools.problem is None
    return tools


def test_a_seeded_spike_fires_once_and_is_over_when_it_is_over(tools: Tools) -> None:
    """One anomaly with its answers, however often it is looked at; usual hours end it; it can come again."""
    fired = tools.hour(NOON + HOUR, {None: 80, "provider_error": 20})
    assert [(one.tool, one.version, one.error_class) for one in fired] == [
        ("search", V1, "provider_error")
    ]
    assert fired[0].calls == 100
    assert fired[0].errors == 20
    assert fired[0].expected == pytest.approx(0.02, abs=0.001)
    assert len(fired[0].evidence) == 10
    assert fired[0].evidence[0] == f"g{tools.made - 1}"
    assert tools.look(NOON + HOUR + 60) == []
    assert tools.hour(NOON + 2 * HOUR, {None: 80, "provider_error": 20}) == []
    assert "20 of 100 calls of search of" in (tools.problem or "")
    for hour in (3, 4):
        assert tools.hour(NOON + hour * HOUR, {None: 98, "provider_error": 2}) == []
    assert tools.problem is None
    assert len(tools.hour(NOON + 5 * HOUR, {None: 80, "provider_error": 20})) == 1


def test_what_nobody_has_classified_is_held_against_a_bar_and_not_against_its_past(
    tools: Tools,
) -> None:
    """10 % unknown is an anomaly of the tool, whatever called it, and stays one for weeks."""
    (fired,) = tools.hour(NOON + HOUR, {None: 90, "unknown": 10})
    assert (fired.version, fired.error_class, fired.bar, fired.expected) == (
        *("", "unknown", True),
        0.02,
    )
    for hour in range(2, 40):
        tools.hour(NOON + hour * HOUR, {None: 90, "unknown": 10})
    assert "10.0%, the bar is 2.0%" in (tools.problem or "")


def test_a_version_that_breaks_its_calls_is_named(tools: Tools) -> None:
    """A new version is held against what the tool did under others; the old one is not accused."""
    tools.come(NOON + HOUR, {None: 98, "provider_error": 2})
    fired = tools.hour(NOON + HOUR, {None: 80, "invalid_arguments": 20}, version=V2)
    assert [(one.version, one.error_class) for one in fired] == [(V2, "invalid_arguments")]


def test_few_calls_say_nothing_and_a_small_change_wakes_nobody(tools: Tools) -> None:
    """Ten calls that all fail are too few; 3 % against 2 % is no spike however many calls there are."""
    assert tools.hour(NOON + HOUR, {"provider_error": 10}, tool="mail") == []
    assert tools.hour(NOON + HOUR, {None: 1940, "provider_error": 60}) == []


def test_a_new_usual_is_the_usual_after_a_day(tools: Tools) -> None:
    """A tool that fails more for good is an anomaly for a day, and then that is how it is."""
    for hour in range(1, 26):
        tools.hour(NOON + hour * HOUR, {None: 85, "provider_error": 15})
        assert tools.problem is not None, hour
    for hour in range(26, 60):
        tools.hour(NOON + hour * HOUR, {None: 85, "provider_error": 15})
    assert tools.problem is None


def test_each_result_is_counted_once(tools: Tools) -> None:
    """Looks in between and a restart change no count."""
    tools.hour(NOON + HOUR, {None: 40, "timeout": 3})
    tools.watch = ToolWatch(tools.ledger.store, "policy", ToolErrorSettings())
    tools.look(NOON + HOUR + 1)
    with tools.ledger.store.reading() as view:
        counts = calls_table.calls_between(view, "policy", 0, NOON * 2, 10**9)
    made = {one.error_class: one.calls for one in counts}
    assert made == {"": 12 * 97 + 40, "provider_error": 24, "unknown": 12, "timeout": 3}


def test_what_is_just_beyond_its_bar_does_not_begin_and_end_all_day(tools: Tools) -> None:
    """An hour of usual failures between bad ones is no end, nor is it that people call less."""
    calls: list[Ways] = [{None: 90, "unknown": 10}, {None: 97, "unknown": 3}]
    fired = [
        one for hour in range(1, 13) for one in tools.hour(NOON + hour * HOUR, calls[hour % 2])
    ]
    assert [one.error_class for one in fired] == ["unknown"]
    rare: list[Ways] = [{"timeout": 40}, {"timeout": 60}]
    fired = [
        one for hour in range(13, 19) for one in tools.hour(NOON + hour * HOUR, rare[hour % 2])
    ]
    assert [one.error_class for one in fired] == ["timeout"]


def test_evidence_is_found_among_many_calls_of_other_tools(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that is seldom called on a busy product has its ten answers, too."""
    monkeypatch.setattr(tally, "ROWS_AT_ONCE", 100)
    tools.come(NOON + HOUR, {None: 45, "unknown": 15}, tool="rare")
    tools.come(NOON + HOUR + 1, {None: 600})
    (fired,) = tools.look(NOON + HOUR + 1)
    assert (fired.tool, len(fired.evidence)) == ("rare", 10)


def test_a_look_with_nothing_new_reads_the_past_no_more(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A week of many tools is read when the window moves on, not with each of the loop's looks."""
    read = list[int]()

    def calls_between(*args: Any) -> list[calls_table.CallCount]:
        read.append(len(args))
        return was(*args)

    was = calls_table.calls_between
    monkeypatch.setattr(calls_table, "calls_between", calls_between)
    for second in range(1, 6):
        tools.look(NOON + HOUR + second)
    # The past is asked for by its stretch, the window without one.
    assert sorted(read) == [4, 4, 4, 4, 4, 5]


def test_what_an_older_state_brought_along_is_no_alarm(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of days ago are counted, and their outage of then is not called one of now."""
    monkeypatch.setattr(tally, "ROWS_AT_ONCE", 50)
    monkeypatch.setattr(watch, "STEP_SECONDS", 0.0)
    tools.come(NOON + HOUR, {None: 80, "provider_error": 20})
    for hour in range(2, 12):
        tools.come(NOON + hour * HOUR, {None: 98, "provider_error": 2})
    assert not any(tools.look(NOON + 12 * HOUR) for _ in range(60))
    tools.come(NOON + 13 * HOUR, {None: 5, "provider_error": 95})
    assert len([one for _ in range(9) for one in tools.look(NOON + 13 * HOUR)]) == 1


@pytest.mark.parametrize("ahead", [365 * 24 * HOUR, -3 * HOUR])
def test_another_clock_and_a_late_record_are_counted_like_any_other(
    tools: Tools, ahead: float
) -> None:
    """A gateway a year ahead, or one that was cut off for hours: its calls count, once, and the others'."""
    odd = [
        (f"odd{n}", ToolResult(tool="search", error_class="timeout" if n % 2 else None))
        for n in range(40)
    ]
    when = NOON + HOUR + ahead
    tools.ledger.take(*[generation(name, when, version=V1) for name, _ in odd], now=NOON + HOUR)
    tools.ledger.take(
        *[feedback(f"{name}.t", name, said, when) for name, said in odd],
        partition=FEEDBACK,
        now=NOON + HOUR,
    )
    tools.look(NOON + HOUR)
    tools.hour(NOON + 2 * HOUR, {None: 40, "invalid_arguments": 3})
    with tools.ledger.store.reading() as view:
        counts = calls_table.calls_between(view, "policy", 0, NOON * 2, 1)
    made = Counter[str]()
    for one in counts:
        made[one.error_class] += one.calls
        assert one.began <= NOON + 2 * HOUR
    assert made["timeout"] == 20
    assert made["invalid_arguments"] == 3
    assert made[""] == 12 * 97 + 20 + 40
    assert next(one.began for one in counts if one.error_class == "timeout") == (
        (min(when, NOON + HOUR) // BUCKET) * BUCKET
    )


def test_a_state_on_a_server_counts_as_one_in_a_file(postgres_url: str) -> None:
    """PostgreSQL adds the same calls up, finds the same spike, and ends it."""
    tools = Tools(new_schema(postgres_url))
    for hour in range(-3, 1):
        assert tools.hour(NOON + hour * HOUR, {None: 97, "provider_error": 3}) == []
    (fired,) = tools.hour(NOON + HOUR, {None: 30, "provider_error": 70})
    assert (fired.calls, fired.errors, len(fired.evidence)) == (100, 70, 10)
    assert "70 of 100 calls of search" in (tools.problem or "")
    tools.watch = ToolWatch(tools.ledger.store, "policy", ToolErrorSettings())
    for hour in (2, 3):
        assert tools.hour(NOON + hour * HOUR, {None: 97, "provider_error": 3}) == []
    assert tools.problem is None
    tools.ledger.store.close()


def test_whatever_a_tool_is_called_it_is_counted_on_a_server(postgres_url: str) -> None:
    """PostgreSQL holds no NUL in a text and no long one in an index: the name is shown without."""
    tools = Tools(new_schema(postgres_url))
    name = "a\0" + "".join(map(chr, range(0x20000, 0x20000 + 510)))
    for hour in range(-3, 1):
        assert tools.hour(NOON + hour * HOUR, {None: 100}, tool=name) == []
    (fired,) = tools.hour(NOON + HOUR, {None: 30, "unknown": 70}, tool=name)
    assert fired.tool.startswith("a\ufffd\U00020000")
    assert len(fired.evidence) == 10
    tools.ledger.store.close()
