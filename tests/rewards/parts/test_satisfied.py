"""What was read counts for what it says; of several readings of one thing the first."""

from typing import Any

from episodes_by_hand import did, episode

from rlwd.rewards.parts.satisfied import marked, satisfied
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.signals import Accepted, FollowedUp, Judged

SPEC = Spec(
    name="reads",
    parts={"accepted": 1.0, "satisfied": 1.0},
    decisive=("accepted", "judged"),
    wait={"default": 30.0, "title": 0.0},
)


def read(value: float, rubric: str = "", **more: Any) -> Judged:
    neutral = 0.4 < value < 0.6
    sure = "neutral" if neutral else ("satisfied" if value > 0.5 else "dissatisfied")
    given = {"direction": sure, "value": value, "confidence": 0.9, "reader": "r@1", "message": "m"}
    return Judged(**{**given, "rubric": rubric, **more})


def test_the_first_reading_counts() -> None:
    """A later one, of another reader, changes nothing: a replay gives what live gave."""
    assert satisfied(episode()) is None
    assert satisfied(episode(did(read(0.1), 2.0), did(read(0.9, reader="r@2"), 3.0))) == 0.1
    assert satisfied(episode(did(read(0.9, "style"), 2.0))) is None


def test_neutral_says_nothing() -> None:
    """It is open and not half: what nobody could tell earns and costs nothing."""
    assert satisfied(episode(did(read(0.5), 2.0))) is None
    assert Scorer(SPEC)(episode(did(read(0.5), 2.0))) is None


def test_marks_are_by_rubric() -> None:
    """One by name, or the mean over all."""
    found = episode(did(read(1.0, "style"), 2.0), did(read(0.0, "tone"), 3.0), did(read(0.9), 4.0))
    assert (marked(found, "style"), marked(found, "tone"), marked(found, "other")) == (1, 0, None)
    assert marked(found) == 0.5
    assert marked(episode(did(read(0.9), 4.0))) is None


def test_the_spec_waits_for_a_reading_and_no_longer() -> None:
    """From the next message on, in segments that wait; once it is there nothing waits."""
    score, taken = Scorer(SPEC), did(Accepted(), 1.0)
    wrote = did(FollowedUp(text="no"), 10.0)
    assert [score(episode(taken)).ready_at] == [0.0]  # type: ignore[union-attr]
    assert score(episode(taken, wrote)).ready_at == 40.0  # type: ignore[union-attr]
    assert score(episode(taken, wrote, segment="title")).ready_at == 0.0  # type: ignore[union-attr]
    scored = score(episode(taken, wrote, did(read(0.0), 12.0)))
    assert scored is not None
    assert (scored.ready_at, scored.value) == (0.0, 0.5)


def test_a_spec_that_waits_for_nothing_keeps_its_version() -> None:
    """A spec from before there were readings is the one that it was."""
    plain = Spec(name="n", parts={"accepted": 1.0})
    assert plain.version == Spec(name="n", parts={"accepted": 1.0}, wait={}).version
    assert plain.version != Spec(name="n", parts={"accepted": 1.0}, wait={"default": 1.0}).version
