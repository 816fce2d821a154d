"""Behaviours at ingest: measured where the text is held, and kept as numbers when it is not any more."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from ledger_by_hand import GENERATIONS, SPEC, Ledger, generation, open_ledger

from rlwd.rewards.behaviours.behaviour import Measuring
from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.generation import Generation
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.sessions.contents import forget_contents

NAMES = ("asks", "refuses", "digits", "likeness")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path / "rlwd.db")
    opened.joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, measure=Measuring(NAMES))
    with opened.store.transaction() as tx:
        opened.joiner.resume(tx, [GENERATIONS])
    yield opened
    opened.store.close()


def behaviours(ledger: Ledger, name: str) -> dict[str, float] | None:
    row = ledger.ask("SELECT behaviours FROM episodes WHERE generation_id = ?", name)
    return None if row[0] is None else msgspec.json.decode(row[0])


def test_what_an_answer_does_is_kept_beside_it(ledger: Ledger) -> None:
    """What was asked for is measured, and nothing else; tools are counted by name."""
    ledger.take(generation("s.g1", 0.0, text="Which file do you mean?"))
    assert behaviours(ledger, "s.g1") == {"asks": 1.0, "refuses": 0.0, "digits": 0.0}


def test_without_consent_nothing_is_measured(ledger: Ledger) -> None:
    """Such a record holds no text, and an empty text is no answer that asks nothing."""
    ledger.take(generation("s.g1", 0.0, text="", consent=False, purposes=("count",)))
    ledger.take(generation("s.g2", 0.0, text="Which file?", purposes=("count",)))
    assert behaviours(ledger, "s.g1") is None
    assert behaviours(ledger, "s.g2") is None


def test_of_the_champions_users_a_fixed_sample_is_measured() -> None:
    """One in eight, always the same ones; a candidate's users are measured whole."""
    measuring = Measuring(NAMES, 8)

    def measured(variant: str) -> list[bool]:
        return [
            measuring(
                Generation(
                    generation_id="s.g",
                    session_id="s",
                    text="Fine.",
                    user_hash=f"u{number}",
                    variant=variant,
                )
            )
            is not None
            for number in range(800)
        ]

    assert 60 <= sum(measured("champion")) <= 140
    assert measured("champion") == measured("champion")
    assert all(measured("candidate"))


def test_numbers_outlive_the_text(ledger: Ledger) -> None:
    """Retention forgets what was said; that it asked stays."""
    ledger.take(generation("s.g1", 0.0, text="Which file do you mean?"))
    with ledger.store.transaction() as tx:
        forget_contents(tx, "policy", ["s.g1"])
    assert ledger.ask("SELECT COUNT(*) FROM contents")[0] == 0
    found = behaviours(ledger, "s.g1")
    assert found is not None
    assert found["asks"] == 1.0
