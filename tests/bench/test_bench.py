"""The bench's table: ratios of what was measured, and where they are written. No test asserts a time.

Semantics locked here: what `make bench` writes into docs/bench.md follows from its numbers alone.
"""

import json
from pathlib import Path
from typing import Any

import bench_fill
import pytest
from bench import main
from bench_fill import filled_store
from bench_gateway import Taken
from bench_loop import loop_lines
from bench_measured import Measured, markdown_table, read_measured
from bench_records import feedback_event, generation_event
from bench_table import BEGIN, END, Line, put_between_markers, terminal_table
from rich.console import Console

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.events.event import decode_event, encode_event
from rlwd.streams.join.episodes_table import load_episodes
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.open import open_store

REPORT = {
    "event_to_served_s": {"p50": 8.25, "p95": 14.0, "parts": {"learning": 3.5, "new_part": 1.0}}
}


def ratio(**more: object) -> Line:
    known = {
        "part": "ingest",
        "what": "all of it",
        "unit": "records/s",
        "against": "polling",
        "ours": (50.0, 40.0, 60.0),
        "theirs": (100.0, 160.0, 100.0),
        "goal": 0.25,
    }
    return Line(**{**known, **more})  # type: ignore[arg-type]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """A round that was slow for both sides does not move the ratio."""
    assert ratio().result == 0.5
    assert ratio(ours=(50.0, 5.0, 60.0), theirs=(100.0, 10.0, 100.0)).result == 0.5
    assert ratio().cells() == (
        *("ingest", "all of it", "50 records/s"),
        *("polling", "100", "0.5", ">= 0.25: yes"),
    )


def test_added_is_the_median_of_differences() -> None:
    """Latency is compared by what is added, and a goal may be the most that is allowed."""
    line = ratio(
        compare="added", unit="ms", ours=(5.0, 9.0), theirs=(1.0, 3.0), goal=3.0, at_least=False
    )
    assert line.result == 5.0
    assert line.met is False
    assert line.cells()[-2:] == ("+5 ms", "<= 3: no")


def test_sides_with_different_numbers_of_rounds_are_refused() -> None:
    """A round that only one side ran makes no ratio."""
    with pytest.raises(ValueError, match="shorter"):
        _ = ratio(theirs=(100.0,)).result


def test_a_round_of_latencies_becomes_quantiles_and_a_rate() -> None:
    """Twenty requests of 1 to 20 ms in half a second: p50 10.5, p95 20, 40 a second."""
    taken = Taken()
    taken.add([number / 1000 for number in range(1, 21)], 0.5)
    assert taken.p50 == [pytest.approx(10.5)]
    assert taken.p95 == [pytest.approx(20.0)]
    assert taken.rate == [40.0]
    assert len(taken.each) == 20


def test_the_terminal_shows_every_line() -> None:
    """The table names what was measured, against what, and the machine."""
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as shown:
        console.print(terminal_table([ratio(), *loop_lines(REPORT)], "2 cores"))
    for text in ("2 cores", "all of it", "polling", ">= 0.25: yes", "8.25 s", "<= 10: yes"):
        assert text in shown.get()


def test_the_table_goes_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    """Writing it again replaces it; what stands around it stays."""
    page = tmp_path / "bench.md"
    page.write_text(f"# rlwd\n\n{BEGIN}\nold\n{END}\n\nmore\n")
    for _ in range(2):
        put_between_markers(
            page, markdown_table({"ingest": Measured(machine="2 cores", lines=(ratio(),))})
        )
    text = page.read_text()
    assert text.startswith(f"# rlwd\n\n{BEGIN}\n| part | what |")
    assert text.endswith(f"{END}\n\nmore\n")
    assert text.count("| ingest | all of it | 50 records/s | polling | 100 | 0.5 |") == 1
    assert "old" not in text


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{END}" * 2])
def test_a_page_without_one_pair_of_markers_is_left_alone(text: str, tmp_path: Path) -> None:
    """A table is never written over text that nobody marked for it."""
    page = tmp_path / "bench.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="bench"):
        put_between_markers(page, "table")
    assert page.read_text() == text


def test_a_demos_report_becomes_the_loops_lines(tmp_path: Path) -> None:
    """`--demo-report` needs no servers; a part without words of ours keeps its own name."""
    report, out, page = tmp_path / "report.json", tmp_path / "out.json", tmp_path / "bench.md"
    report.write_text(json.dumps(REPORT))
    page.write_text(f"{BEGIN}\n{END}\n")
    main(
        [
            *("--only", "loop", "--demo-report", str(report)),
            *("--json", str(out), "--page", str(page)),
        ]
    )
    lines = {line.what: line for line in read_measured(out)["loop"].lines}
    assert lines["event to served weights: p50"].result == 8.25
    assert lines["event to served weights: p50"].met is True
    assert lines["new_part"].ours == (1.0,)
    assert {line.against for line in lines.values()} == {"an earlier run of the demo"}
    assert "| 8.25 s |" in page.read_text()


def test_a_demo_that_served_nothing_new_is_no_measurement() -> None:
    """No version, no number: the bench says so."""
    empty: dict[str, Any] = {"event_to_served_s": {"p50": None, "p95": None, "parts": {}}}
    with pytest.raises(RuntimeError, match="more seconds"):
        loop_lines(empty)


def test_the_records_of_the_bench_are_good_ones() -> None:
    """They pass the check that every record passes, and are as large as the bench says."""
    for number in range(5):
        raw = encode_event(generation_event(number))
        assert decode_event(raw) == generation_event(number)
        assert 1300 < len(raw) < 1700
        feedback = decode_event(encode_event(feedback_event(number)))
        assert feedback == feedback_event(number)
        assert feedback.data.generation_id == generation_event(number).data.generation_id


@pytest.mark.parametrize("slim", [False, True])
def test_a_filled_store_holds_so_many_open_generations(
    slim: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits under its own id; its content is its own, or, of very many, left out."""
    monkeypatch.setattr(bench_fill, "SLIM_FROM", 7 if slim else 8)
    monkeypatch.setattr(bench_fill, "AT_ONCE", 3)
    monkeypatch.setattr(bench_fill, "SLIM_AT_ONCE", 3)
    spec = reward_spec("")
    path = filled_store(
        tmp_path / "rlwd.db", 7, lambda: Joiner("policy", Scorer(spec), spec.decision_seconds)
    )
    store = open_store(path)
    with store.reading() as view:
        rows = view.execute(
            "SELECT generation_id, stage, due > received FROM episodes ORDER BY generation_id"
        ).fetchall()
        names = [generation_event(number, "filled").data.generation_id for number in range(7)]
        assert rows == [(name, "open", 1) for name in names]
        held = load_episodes(view, "policy", names)
        assert [episode.id for episode in held] == ([] if slim else names)
        keys = "SELECT (SELECT COUNT(*) FROM event_keys) + (SELECT COUNT(*) FROM new_keys)"
        assert view.execute(keys).fetchone() == (7,)
    store.close()


def test_an_unknown_part_is_named() -> None:
    """A misspelt part stops before anything is started."""
    with pytest.raises(SystemExit, match="gatway"):
        main(["--only", "gatway"])
