"""After a change of spec what feedback on chains reaches is as if the old spec had never been."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import msgspec
from chain_story import BOTH, story, told
from chains_by_hand import RULED, SPENDING, SPREADING, on_session, reach, rewards, with_spec
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger, feedback, open_ledger
from talks_by_hand import Talk

from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.event import FeedbackEvent, decode_event
from rlwd.streams.events.signals import Measured, Outcome
from rlwd.streams.rescore import reattribute, rescore
from rlwd.streams.rescore.rescore import Rescore
from rlwd.streams.rescore.rescorings_table import attribution_stands

OTHER = msgspec.structs.replace(RULED, name="other", attribution={"outcome": "chain"}, spread={})
"""Reaches with outcomes whole what RULED reaches at a discount, and the last alone with the rest."""
SPECS = (RULED, OTHER, SPENDING, SPREADING, BOTH)


def rescored(ledger: Ledger) -> None:
    """Score again under the spec of now."""
    Rescore(ledger.store, ledger.joiner.scoring).step(100.0)


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations(story()),
    cuts=st.lists(st.integers(0, 20), min_size=2, max_size=5, unique=True).map(sorted),
    at=st.integers(0, 4),
    specs=st.tuples(st.sampled_from(SPECS), st.sampled_from(SPECS)),
)
def test_it_is_as_in_a_replay_with_the_new_spec(
    order: list[bytes], cuts: list[int], at: int, specs: tuple[Spec, Spec]
) -> None:
    """In any order, the spec changed between any two polls, the rest scored again between the others."""
    with (
        TemporaryDirectory() as folder,
        patch.object(reattribute, "AT_ONCE", 1),
        patch.object(reattribute, "ANSWERS_AT_ONCE", 2),
        patch.object(rescore, "AT_ONCE", 2),
        patch.object(rescore, "SECONDS", 0.0),
    ):
        expected = told(story(), [], Path(folder) / "a.db", specs[1])
        ledger = with_spec(open_ledger(Path(folder) / "b.db"), specs[0])
        again, times = None, itertools.count(100)
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(order)], strict=True)):
            if number == min(at, len(cuts)):
                with_spec(ledger, specs[1])
                again = Rescore(ledger.store, ledger.joiner.scoring)
            if again is not None:
                again.step(next(times))
            for partition in (GENERATIONS, FEEDBACK):
                said = [
                    one
                    for one in order[start:end]
                    if isinstance(decode_event(one), FeedbackEvent) == (partition == FEEDBACK)
                ]
                ledger.take(*said, partition=partition)
        assert again is not None
        again.step(next(times))
        while again.told() is not None:
            again.step(next(times))
        found = {name: sorted(each) for name, each in reach(ledger).items()}
        worth = [reward for reward, _ in rewards(ledger)]
        ledger.store.close()
    assert (found, worth) == expected


def test_what_is_sealed_or_final_is_read_anew_by_comparisons(tmp_path: Path) -> None:
    """An outcome that reaches a sealed answer only by the new spec changes no batch, and is recorded."""
    ledger = with_spec(open_ledger(tmp_path / "a.db"), OTHER)
    talk = Talk("a")
    ledger.take(talk.turn(1.0), talk.turn(2.0))
    bad = Outcome(name="sold", value=0.0)
    said = [on_session("f", bad, 5.0), on_session("n", Measured(name="lines", value=7.0), 5.0)]
    ledger.take(*said, partition=FEEDBACK)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET stage = 'sealed', batch_id = 1")
    plain = msgspec.structs.replace(OTHER, name="plain", attribution={})
    with_spec(ledger, plain)
    with ledger.store.reading() as view:
        assert not attribution_stands(view, "policy", plain.version), "no batch before it stands"
    rescored(ledger)
    with ledger.store.reading() as view:
        assert attribution_stands(view, "policy", plain.version)
        rows = view.execute(
            "SELECT generation_id, reward, revised, late_reward FROM episodes ORDER BY generation_id"
        ).fetchall()
        numbers = view.execute(
            "SELECT generation_id, name FROM own_numbers WHERE later IS NOT NULL"
        )
        assert numbers.fetchall() == [("s.a1", "sold"), ("s.a1", "lines")]
    assert rows == [("s.a0", 0.0, 1, None), ("s.a1", 0.0, 1, 0.0)]
    ledger.store.close()


def test_copies_go_with_the_spec_that_made_them(tmp_path: Path) -> None:
    """Where the new spec spreads nothing, nothing of it is left; and back again."""
    ledger = with_spec(open_ledger(tmp_path / "a.db"), SPREADING)
    talk = Talk("a")
    ledger.take(talk.turn(1.0), talk.turn(2.0))
    ledger.take(feedback("f", "s.a1", Outcome(name="merged", value=0.0), 5.0), partition=FEEDBACK)
    assert [row[0] for row in rewards(ledger)] == [0.0, 0.0]
    with_spec(ledger, RULED)
    rescored(ledger)
    assert reach(ledger) == {}
    assert [row[0] for row in rewards(ledger)] == [None, 0.0]
    with_spec(ledger, SPREADING)
    rescored(ledger)
    assert reach(ledger) == {"s.a0": [("outcome", 0.5)]}
    assert [row[0] for row in rewards(ledger)] == [0.0, 0.0]
    ledger.store.close()
