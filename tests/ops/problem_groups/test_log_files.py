"""Log files: which lines are one problem, and what of them is told."""

import gzip
import json
from pathlib import Path
from typing import Any

from rlwd.ops.problem_groups.days import SeenDays
from rlwd.ops.problem_groups.judge_groups import judge_groups
from rlwd.ops.problem_groups.log_files import SLOTS_A_DAY, LogFiles, problem_of
from rlwd.ops.problem_groups.people_seen import PeopleSeen
from rlwd.ops.problem_groups.problem_group import CountedProblems
from rlwd.streams.exception_text import exception_trace


def line(day: int, second: int = 0, **more: Any) -> str:
    known = {"process": "gateway", "level": "error", "message": "engine_refused"}
    at = f"1970-01-{day + 1:02d}T{second // 3600:02d}:{second % 3600 // 60:02d}:00Z"
    return json.dumps({**known, "time": at, **more})


def counted_of(patterns: list[str], days: int = 10) -> CountedProblems:
    counted = CountedProblems(people=PeopleSeen(0))
    LogFiles(counted, 0).read(patterns, 0, days)
    return counted


def test_an_outage_of_a_thousand_lines_is_its_ten_minutes(tmp_path: Path) -> None:
    """Lines count once in each ten minutes, over files, packed ones too, and over a gateway's workers; what is no
    line is said."""
    workers = ("gateway", "gateway-w1", "gateway-w12")
    outage = [
        line(2, minute * 60, status=503, process=workers[minute % 3]) for minute in range(25)
    ] * 40
    (tmp_path / "a.log").write_text("\n".join([*outage, "vLLM says something", "[1]"]))
    with gzip.open(tmp_path / "a.log.1.gz", "wt") as file:
        file.write(line(1, status=503) + "\n" + line(1, level="info"))
    counted = counted_of([str(tmp_path / "*.log*")])
    ((name, group),) = counted.groups.items()
    assert group.name == "gateway error engine_refused 503"
    assert dict(counted.hits) == {(name, "", 1): 1, (name, "", 2): 3}
    assert counted.trials["ten minutes", "", 2] == counted.trials["ten minutes", "", 1] == 144
    assert counted.trials["ten minutes", "", 3] == 0
    assert "1002 lines of 2 log files" in counted.read[0]
    assert "2 lines are none of rlwd's" in counted.read[0]


def test_versions_that_fail_in_the_same_ten_minutes_are_one_problem_of_them(tmp_path: Path) -> None:
    """Two servers that are down all week are a week, with either version as long: no share is above one."""
    days = SeenDays(since=7, until=14, before_days=7)
    down = [
        line(day, slot * 600, version=f"v{number}")
        for day in days.window
        for slot in range(SLOTS_A_DAY)
        for number in (1, 2)
    ]
    past = [line(day, level="info") for day in days.before] + [line(3)]
    (tmp_path / "a.log").write_text("\n".join([*past, *down]))
    counted = CountedProblems(people=PeopleSeen(0))
    LogFiles(counted, days.since).read([str(tmp_path / "a.log")], days.before.start, days.until)
    (one,) = judge_groups(counted, days, {}, {}, false_share=0.05)
    assert (one.state, one.hits, one.trials) == ("spiking", 7 * SLOTS_A_DAY, 7 * SLOTS_A_DAY)
    assert {each.version: each.hits for each in one.versions} == {"v1": 1008, "v2": 1008}
    assert [week.hits for week in one.weeks] == [1008, 1]


def test_a_line_is_told_without_what_differs() -> None:
    """Numbers, ids, places and quotations are left out; the exception's type and place stay."""
    try:
        int("my private words")
    except ValueError as error:
        trace = exception_trace(error)
    told: dict[str, Any] = {
        "exception": trace,
        "problem": "req-77ab of 'my private words' at /srv/x/y.db took 3.5 s",
    }
    found = problem_of(json.loads(line(1, **told)), 0.0)
    assert found is not None
    assert "private" not in found.name
    assert (
        "ValueError in test_a_line_is_told_without_what_differs (test_log_files.py)" in found.name
    )
    assert found.name.endswith(": <id> of <words> at <path> took # s")
    assert problem_of(json.loads(line(1, level="info")), 0.0) is None


def test_a_word_without_end_is_told_in_its_time() -> None:
    """A message of a megabyte in one word costs no more than its length, and what it quotes last is not told."""
    long = "a-." * 300_000
    told: dict[str, Any] = {"problem": f"'{long}' is no name: {long}"}
    found = problem_of(json.loads(line(1, **told)), 0.0)
    assert found is not None
    assert found.name.startswith("gateway error engine_refused: <words> is no name: a-.a-.")


def test_a_file_that_cannot_be_unpacked_keeps_nothing_back(tmp_path: Path) -> None:
    """It is named among what was read, and the others are counted."""
    (tmp_path / "a.gz").write_bytes(b"no gzip")
    whole = gzip.compress("\n".join(line(1, second) for second in range(9000)).encode())
    # A disk lost a block of one, and one is still being written.
    (tmp_path / "b.gz").write_bytes(whole[:10] + b"\xff" * 600 + whole[610:])
    (tmp_path / "c.gz").write_bytes(whole[:2000])
    (tmp_path / "d.log").write_text(line(1))
    counted = counted_of([str(tmp_path / "*")])
    for name, said in zip("abc", counted.read, strict=False):
        assert said.startswith(f"{tmp_path / name}.gz cannot be read to its end: ")
    assert len(counted.hits) == 1
