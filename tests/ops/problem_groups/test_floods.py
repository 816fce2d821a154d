"""Names that callers make up: a flood of them hides none of the problems that were there."""

from pathlib import Path

import pytest
from ledger_by_hand import GENERATIONS, Ledger, generation, open_ledger

from rlwd.ops.problem_groups import answer_trials, dead_letter_counts
from rlwd.ops.problem_groups.answer_trials import AnswerTrials
from rlwd.ops.problem_groups.dead_letter_counts import read_dead_letters
from rlwd.ops.problem_groups.people_seen import PeopleSeen
from rlwd.ops.problem_groups.problem_group import CountedProblems
from rlwd.streams.join.dead_letters import DeadLetter, put_dead_letter


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(tmp_path / "rlwd.db")


def test_a_flood_of_segments_hides_no_kind_of_work(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with the most answers are told apart, whatever the ids of the others' answers begin with."""
    monkeypatch.setattr(answer_trials, "MOST_SEGMENTS", 2)
    made_up = [generation(f"!{n}", 9.0, segment=f"x{n}", consent=False) for n in range(6)]
    real = [generation(f"s.{n}", 9.0, segment="reply", consent=False) for n in range(3)]
    ledger.take(*made_up, *real)
    counted = CountedProblems(people=PeopleSeen(0))
    AnswerTrials(counted, 0).read(ledger.store, "policy", 0, 1)
    hits = {counted.groups[name].name: n for (name, _, _), n in counted.hits.items()}
    assert hits == {
        "no_consent in reply": 3,
        "no_consent in x0": 1,
        "no_consent in (others)": 5,
    }


def test_a_flood_of_reasons_is_one_group_and_quotes_nobody(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids, values with quotes in them and made-up words stand in no name, and a few reasons are told apart."""
    monkeypatch.setattr(dead_letter_counts, "MOST_REASONS", 3)
    said = [
        *["wrong_tenant: ada+lovelace.1 was not served to tenant 'lab'"] * 4,
        *["too_much_feedback: ada has 50 of kind accepted already"] * 3,
        *["Invalid value 'don' ask ada' - at `$.type`"] * 2,
        *(f"made up {'abcdef'[n]}" for n in range(6)),
    ]
    with ledger.store.transaction() as tx:
        for offset, reason in enumerate(said):
            letter = DeadLetter(partition=GENERATIONS, offset=offset, reason=reason, value=b"")
            put_dead_letter(tx, "policy", letter, 60.0 * offset)
    counted = CountedProblems(people=PeopleSeen(0))
    read_dead_letters(ledger.store, "policy", 0, 1, counted)
    assert {one.name for one in counted.groups.values()} == {
        "generations: wrong_tenant",
        "generations: too_much_feedback",
        "generations: Invalid value <words> - at `$.type`",
        "other reasons",
    }
