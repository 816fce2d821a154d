"""What feedback on a session or a reference reaches does not depend on the order of arrival."""

from pathlib import Path
from tempfile import TemporaryDirectory

from chain_story import BOTH, story, told
from chains_by_hand import RULED, SPENDING, SPREADING
from hypothesis import given, settings
from hypothesis import strategies as st

from rlwd.rewards.spec.spec import Spec


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(story()),
    cuts=st.lists(st.integers(0, 20), max_size=6).map(sorted),
    spec=st.sampled_from([RULED, SPENDING, SPREADING, BOTH]),
)
def test_any_order_gives_the_same(order: list[bytes], cuts: list[int], spec: Spec) -> None:
    """In any order, in any polls, some records twice; also what a cost takes off over the chain."""
    with TemporaryDirectory() as folder:
        expected = told(story(), [], Path(folder) / "a.db", spec)
        found = told([*order, *order[:3]], cuts, Path(folder) / "b.db", spec)
    assert found == expected


def test_the_story_reaches_what_it_should(tmp_path: Path) -> None:
    """The model of the test above, by hand."""
    found, _ = told(story(), [], tmp_path / "a.db")
    whole, half = ("resolved", 1.0), ("outcome", 0.5)
    assert found["s.again1"] == [("outcome", 1.0)]
    # Of f2: one before the last; of f4 and f5: the last, and all.
    assert found["s.again0"] == [("accepted", 1.0), half, whole]
    assert found["s.a2"] == [("outcome", 0.25)]
    # Of f3, acted on after the second answer, the last; of f5 all.
    assert found["s.a1"] == [("outcome", 0.125), ("outcome", 1.0), whole]
    assert found["s.a0"] == [("outcome", 0.0625), half, ("rejected", 1.0), whole]
    assert found["sub.agent0"] == [("outcome", 0.0625), half, half, whole]
    assert found["sub.agent1"] == [("outcome", 0.0625), half, ("outcome", 1.0), whole]


def test_what_spreads_reaches_the_chain_up_to_its_answer(tmp_path: Path) -> None:
    """The model of the same story under a spec that spreads a merge, at a discount, and ratings."""
    before, _ = told(story(), [], tmp_path / "a.db")
    found, _ = told(story(), [], tmp_path / "b.db", SPREADING)
    more = {name: sorted(set(each) - set(before.get(name, []))) for name, each in found.items()}
    # g1 on the third answer, g3 on the last; g4 is of the subagent's second, and of its own session.
    rated, quarter = ("rated", 1.0), ("outcome", 0.25)
    assert more["s.again0"] == [rated]
    assert more["s.a2"] == [rated]
    assert more["s.a1"] == [("outcome", 0.5), rated]
    assert more["s.a0"] == [quarter, rated]
    assert more["sub.agent1"] == [quarter, rated]
    assert found["sub.agent0"].count(("outcome", 0.5)) == 3
    assert found["s.again1"] == before["s.again1"], "what names it is its own"
