"""Log files: which lines are one problem, and what of them is told."""

import gzip
import json
from pathlib import Path
from typing import Any

from rlwd.ops.problem_groups.log_files import LogFiles, problem_of
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
    """Lines count once in each ten minutes, over files, packed ones too; what is no line is said."""
    outage = [line(2, minute * 60, status=503) for minute in range(25)] * 40
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


def test_a_file_that_cannot_be_unpacked_keeps_nothing_back(tmp_path: Path) -> None:
    """It is named among what was read, and the others are counted."""
    (tmp_path / "a.gz").write_bytes(b"no gzip")
    (tmp_path / "b.log").write_text(line(1))
    counted = counted_of([str(tmp_path / "*")])
    assert counted.read[0].startswith(f"{tmp_path / 'a.gz'} cannot be read to its end: ")
    assert len(counted.hits) == 1
