"""The bench's kept parts: one may be measured again without losing, spoiling or mixing up the others.

Semantics locked here: what stands in the file and on the page says where it was measured, and how.
"""

import json
import threading
from pathlib import Path

import bench
import pytest
from bench import main
from bench_measured import Measured, markdown_table, read_measured, write_measured
from bench_table import BEGIN, END, Line

REPORT = {
    "event_to_served_s": {"p50": 8.25, "p95": 14.0, "parts": {"learning": 3.5, "new_part": 1.0}}
}


def ratio(part: str = "ingest", ours: tuple[float, ...] = (50.0, 40.0, 60.0)) -> Line:
    return Line(
        part=part,
        what="all of it",
        unit="records/s",
        against="polling",
        ours=ours,
        theirs=(100.0, 160.0, 100.0),
        goal=0.25,
    )


def test_what_was_measured_before_stays_beside_what_is_measured_now(tmp_path: Path) -> None:
    """`--only` replaces the rows of its parts; the others stay, each with where it was measured."""
    report, kept, page = tmp_path / "report.json", tmp_path / "kept.json", tmp_path / "bench.md"
    report.write_text(json.dumps(REPORT))
    page.write_text(f"{BEGIN}\n{END}\n")
    old = Measured(machine="an old machine", lines=(ratio(),))
    write_measured(kept, {"ingest": old, "loop": old})
    main(
        [
            *("--only", "loop", "--demo-report", str(report)),
            *("--json", str(kept), "--page", str(page)),
        ]
    )
    assert read_measured(kept)["ingest"] == old
    assert "earlier run's report.json" in read_measured(kept)["loop"].machine
    text = page.read_text()
    assert text.count("| ingest | all of it |") == 1
    assert "| loop | event to served weights: p50 |" in text
    assert "- ingest: an old machine\n- loop: " in text


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"format": "rlwd bench 2"}', b'{"machine": "x"}'])
def test_results_that_are_none_are_named_and_stay(raw: bytes, tmp_path: Path) -> None:
    """A file of something else is not written over."""
    kept = tmp_path / "kept.json"
    kept.write_bytes(raw)
    with pytest.raises(ValueError, match=r"kept\.json"):
        main(["--only", "loop", "--json", str(kept)])
    assert kept.read_bytes() == raw


def measured_now(arguments: list[str], monkeypatch: pytest.MonkeyPatch, *lines: Line) -> None:
    """Run the bench with a part that gives these lines at once."""
    monkeypatch.setitem(bench.PARTS, "close", lambda given, say: lines)
    main(["--only", "close", *arguments])


def test_what_another_bench_kept_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that measure other parts at the same time, into one file, lose nothing of each other's."""
    kept = tmp_path / "kept.json"

    def beside(given: object, say: object) -> list[Line]:
        write_measured(kept, {"ingest": Measured(machine="2 cores", lines=(ratio(),))})
        return [ratio(part="close")]

    monkeypatch.setitem(bench.PARTS, "close", beside)
    main(["--only", "close", "--json", str(kept)])
    assert list(read_measured(kept)) == ["ingest", "close"]


def test_what_another_bench_keeps_at_the_same_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes comes after what was read here is written again, or before it is read."""
    kept, others = tmp_path / "kept.json", list[threading.Thread]()
    monkeypatch.setitem(bench.PARTS, "ingest", lambda given, say: [ratio()])

    def beside(path: Path) -> dict[str, Measured]:
        found = read_measured(path)
        if others:
            return found
        # Until it is over, or has had the time for it.
        arguments = ["--only", "ingest", "--json", str(kept)]
        others.append(threading.Thread(target=main, args=(arguments,)))
        others[0].start()
        others[0].join(1.0)
        return found

    def measure(given: object, say: object) -> list[Line]:
        monkeypatch.setattr(bench, "read_measured", beside)
        return [ratio(part="close")]

    monkeypatch.setitem(bench.PARTS, "close", measure)
    main(["--only", "close", "--json", str(kept)])
    others[0].join(60.0)
    assert list(read_measured(kept)) == ["ingest", "close"]


def test_a_part_that_is_none_any_more_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows leave the file and the page, and that is said."""
    kept = tmp_path / "kept.json"
    write_measured(kept, {"gatway": Measured(machine="2 cores", lines=(ratio(),))})
    measured_now(["--json", str(kept)], monkeypatch, ratio(part="close"))
    assert list(read_measured(kept)) == ["close"]
    assert "gatway" in capsys.readouterr().err


def test_what_was_measured_otherwise_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One round in place of five stands in the page's line of the machine, which names the processor."""
    kept = tmp_path / "kept.json"
    measured_now(["--json", str(kept), "--rounds", "1"], monkeypatch, ratio(part="close"))
    assert read_measured(kept)["close"].machine.endswith(" at the start, with --rounds 1")
    measured_now(["--json", str(kept)], monkeypatch, ratio(part="close"))
    assert read_measured(kept)["close"].machine.endswith(" at the start")
    monkeypatch.setattr("bench_table.CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Abacus 9000\n")
    measured_now(["--json", str(kept)], monkeypatch, ratio(part="close"))
    assert "Abacus 9000), Python" in read_measured(kept)["close"].machine


def test_a_place_that_takes_nothing_is_named_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is not there, a page without markers, or one whose rows the file does not have."""
    began = list[str]()

    def measure(given: object, say: object) -> list[Line]:
        began.append("close")
        return [ratio(part="close")]

    monkeypatch.setitem(bench.PARTS, "close", measure)
    kept, page = tmp_path / "kept.json", tmp_path / "bench.md"
    with pytest.raises(FileNotFoundError):
        main(["--only", "close", "--json", str(tmp_path / "none" / "kept.json")])
    page.write_text("no markers\n")
    with pytest.raises(ValueError, match=r"bench\.md"):
        main(["--only", "close", "--json", str(kept), "--page", str(page)])
    table = markdown_table({"ingest": Measured(machine="2 cores", lines=(ratio(),))})
    page.write_text(f"{BEGIN}\n{table}{END}\n")
    with pytest.raises(SystemExit, match="rows of ingest"):
        main(["--only", "close", "--json", str(kept), "--page", str(page)])
    assert began == []
    assert table in page.read_text()


def test_a_part_that_fails_loses_none_of_those_before_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are shown, also where no file keeps them."""

    def fails(given: object, say: object) -> list[Line]:
        raise RuntimeError("no vLLM")

    monkeypatch.setitem(bench.PARTS, "ingest", lambda given, say: [ratio()])
    monkeypatch.setitem(bench.PARTS, "close", fails)
    with pytest.raises(RuntimeError, match="no vLLM"):
        main(["--only", "ingest,close"])
    assert "all of it" in capsys.readouterr().out


def test_a_round_that_is_no_number_does_not_spoil_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON has none for it: the file would be none of a bench any more, with all parts in it."""
    kept = tmp_path / "kept.json"
    old = {"ingest": Measured(machine="2 cores", lines=(ratio(),))}
    write_measured(kept, old)
    nan = (float("nan"),) * 3
    with pytest.raises(ValueError, match="close: all of it: a round is no number"):
        measured_now(["--json", str(kept)], monkeypatch, ratio(part="close", ours=nan))
    with pytest.raises(ValueError, match="zip"):
        measured_now(["--json", str(kept)], monkeypatch, ratio(part="close", ours=(1.0,)))
    assert read_measured(kept) == old


def test_the_page_shows_what_is_kept() -> None:
    """The table of docs/bench.md is that of tests/bench/results/bench.json, and nobody's hand was in it."""
    root = Path(__file__).parents[2]
    kept = read_measured(root / "tests" / "bench" / "results" / "bench.json")
    assert markdown_table(kept) in (root / "docs" / "bench.md").read_text()


def test_a_page_needs_what_was_measured_before(capsys: pytest.CaptureFixture[str]) -> None:
    """Without it the rows of all other parts would be lost."""
    with pytest.raises(SystemExit):
        main(["--only", "loop", "--page", "bench.md"])
    assert "--page: needs --json" in capsys.readouterr().err
