"""Segments of a profile: which are told apart, and what all of them together are worth."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from ledger_by_hand import FEEDBACK, SPEC, Ledger, feedback, generation, open_ledger

from rlwd.daemon.config import Config
from rlwd.daemon.profile import read_week
from rlwd.daemon.profile.profile_document import profile_document, terms_of
from rlwd.daemon.profile.profile_tables import profile_tables
from rlwd.streams.events.signals import Copied, Rejected


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Answers of three kinds of work, and of one more for each of a caller's five; nobody took any."""
    ledger = open_ledger(tmp_path / "rlwd.db")
    kinds = [*["reply"] * 6, *["title"] * 4, *["review"] * 2, *(f"x{n}" for n in range(5))]
    ledger.take(*(generation(f"g{n}", 9.0, segment=kind) for n, kind in enumerate(kinds)))
    said = (feedback(f"f{n}", f"g{n}", Rejected(), 10.0) for n in range(len(kinds)))
    ledger.take(*said, partition=FEEDBACK, now=10.0)
    return ledger


def profiled(place: Path, until: float = 1000.0, **settings: Any) -> dict[str, Any]:
    """Return the profile up to a time under these settings."""
    config = msgspec.convert({"learner": {"model": "none"}, "profile": settings}, Config)
    return profile_document(place / "rlwd.db", "policy", 0.0, until, terms_of(config, SPEC, None))


def test_a_flood_of_segments_is_one_more(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with the most answers are told apart, the rest is one, and all of it is in the whole."""
    monkeypatch.setattr(read_week, "MOST_SEGMENTS", 2)
    told = profiled(tmp_path)
    counts = {name: one["volume"]["answers"] for name, one in told["segments"].items()}
    assert counts == {"(others)": 7, "reply": 6, "title": 4}
    assert told["all"]["volume"]["answers"] == told["answers"] == 17


def test_where_nothing_is_taken_the_whole_is_worth_as_its_segments(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Its value is low and known, and not asked for; where a segment's is not known neither is that of all, and a
    setting for a segment that is none is named."""
    whole = profiled(tmp_path, value=2.0)["all"]
    assert (whole["value"]["of_answer"], whole["levels"]["value"]) == (2.0, "low")
    assert whole["cost"]["value_week"] == 0.0
    assert not any("what a taken answer is worth" in one for one in whole["advice"]["unknown"])
    told = profiled(tmp_path, segments={"reply": {"value": 2.0}, "repyl": {"value": 2.0}})
    assert told["unmatched"] == ["repyl"]
    shown = [str(one) for one in profile_tables(told)]
    assert "note: profile.segments.repyl is of none of these segments" in shown
    one = told["all"]
    assert (one["value"]["of_answer"], one["levels"]["value"]) == (None, "unknown")


@pytest.mark.parametrize(("answers", "choice"), [(40, "undecided"), (301, "harness")])
def test_few_answers_without_a_decision_show_nothing(
    tmp_path: Path, answers: int, choice: str
) -> None:
    """Of forty of a sample nobody knows whether one in a hundred is decided on; of three hundred one does."""
    ledger = open_ledger(tmp_path / "rlwd.db")
    ledger.take(*(generation(f"g{n}", 9.0) for n in range(answers)))
    ledger.take(generation("last", 3 * 86_400.0))
    ledger.take(feedback("f", "g0", Copied(), 10.0), partition=FEEDBACK, now=10.0)
    config = {"recorded": 1e-3, "value": 2.0}
    (one,) = profiled(tmp_path, until=1e6, **config)["segments"].values()
    assert one["levels"]["volume"] != "low"
    assert one["advice"]["choice"] == choice
    assert "verification" in one["advice"]["decided_by"]
