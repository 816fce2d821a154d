"""What a day's versions may drift together: once they have, none is made until some of it is a day old."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import Ledger

from rlwd.learner.candidate import Candidate, Probe
from rlwd.ops.drift.drift_budget import DAY_SECONDS, day_drift
from rlwd.ops.rollout import candidates_table

Make = Callable[..., None]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger with the daemon's tables."""
    return open_daemon_ledger(tmp_path / "rlwd.db")


@pytest.fixture
def make(ledger: Ledger) -> Make:
    """Write a checkpoint down, and its version where it added something."""

    def made(
        sequence: int,
        parent: int | None,
        at: float,
        added: float | None = None,
        wall: float | None = None,
    ) -> None:
        version = f"policy@v{sequence:06d}-00000000"
        with ledger.store.transaction() as tx:
            tx.execute(
                "INSERT INTO checkpoints (policy, sequence, parent_sequence, version, batch_id,"
                " created_at, seconds) VALUES ('policy', ?, ?, ?, NULL, ?, 1.0)",
                (sequence, parent, version, at if wall is None else wall),
            )
            if added is not None:
                given: dict[str, Any] = {"metrics": {"drift/kl_added": added}, "held_out": None}
                probe = Probe(token_ids=(1, 2), logprobs=(-1.0,))
                one = Candidate(
                    version=version,
                    sequence=sequence,
                    digest="0" * 64,
                    path=Path("x"),
                    probe=probe,
                    **given,
                )
                candidates_table.add(tx, "policy", one, at)

    return made


def test_a_day_frees_it(ledger: Ledger, make: Make) -> None:
    """Three versions use the day up; it frees once the first is a day old, and says when that is."""
    make(0, None, 0.0)
    for number, added in enumerate((0.06, -0.5, 0.05, 0.04), 1):
        make(number, number - 1, number * 100.0, added)
    with ledger.store.reading() as view:
        held = day_drift(view, "policy", 0.1, 500.0)
        assert held.spent == pytest.approx(0.15)
        assert held.frees_at == 100.0 + DAY_SECONDS
        assert "added 0.15 nats a token" in held.held(500.0)
        assert f"none is made for {DAY_SECONDS - 400:.0f} s" in held.held(500.0)
        later = day_drift(view, "policy", 0.1, 101.0 + DAY_SECONDS)
        assert later.spent == pytest.approx(0.09)
        assert later.held(101.0) == ""
        assert not day_drift(view, "policy", 0.2, 500.0).frees_at
        assert not day_drift(view, "policy", 0.0, 500.0).frees_at


def test_what_was_taken_out_does_not_count(ledger: Ledger, make: Make) -> None:
    """After a rollback the versions that it took out have used up nothing."""
    make(0, None, 0.0)
    make(1, 0, 100.0, 0.06)
    make(2, 1, 200.0, 0.06)
    make(3, 1, 300.0)
    with ledger.store.reading() as view:
        assert day_drift(view, "policy", 0.1, 400.0).spent == pytest.approx(0.06)


def test_a_jump_of_the_wall_clock_lends_nothing_and_holds_nothing(
    ledger: Ledger, make: Make
) -> None:
    """By the learner's clock, two days back, the versions would be older than a day; by one that was a month
    ahead when the daemon began, none would be made for a month after it was put right."""
    month, now = 30 * DAY_SECONDS, 10 * DAY_SECONDS
    make(0, None, 0.0)
    make(1, 0, now + month, 0.5)
    with ledger.store.reading() as view:
        assert day_drift(view, "policy", 0.1, now).held(now) == ""
    make(2, 1, now + 1.0, 0.06, wall=now - 2 * DAY_SECONDS)
    make(3, 2, now + 2.0, wall=now - 2 * DAY_SECONDS)
    make(4, 3, now + 3.0, 0.06, wall=now - 2 * DAY_SECONDS)
    with ledger.store.reading() as view:
        held = day_drift(view, "policy", 0.1, now + 4.0)
    assert held.spent == pytest.approx(0.12)
    assert held.frees_at == now + 1.0 + DAY_SECONDS
