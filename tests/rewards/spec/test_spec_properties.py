"""What holds of every spec and every episode: bounds, monotony, order of arrival, hashes."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlwd.rewards.spec.registry import COSTS, PARTS
from rlwd.rewards.spec.scorer import Scorer, encode_reward
from rlwd.rewards.spec.spec import Spec
from rlwd.rewards.spec.spec_checks import KINDS
from rlwd.rewards.spec.term import CostTable, PartTable
from rlwd.streams.events.episode import Episode, Timed
from rlwd.streams.events.event import Feedback
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.signals import (
    Accepted,
    Copied,
    Edited,
    Escalated,
    Interrupted,
    Kept,
    Outcome,
    Rated,
    Regenerated,
    Rejected,
    Resolved,
    Signal,
    ToolResult,
    Undone,
)
from rlwd.streams.events.usage import Amounts, ChainSpent, Usage

shares = st.floats(0.0, 1.0)
weights = st.floats(1e-3, 1e3)
segments = st.sampled_from(["a", "b"])
texts = st.sampled_from(["", "abcd", "Shall I go on? # TODO later", "x = 1\n" * 20])
plain_signals: list[Signal] = [
    *(Accepted(), Rejected(), Undone(), Interrupted(), Regenerated(), Resolved(), Escalated()),
    *(Copied(text="abcd"), Edited(final_text="abcx"), Edited(final_text="")),
    *(ToolResult(tool="t", error_class=None), ToolResult(tool="t", error_class="timeout")),
    ToolResult(tool="t", error_class="invalid_arguments"),
]
signals = st.one_of(
    st.sampled_from(plain_signals),
    st.builds(Rated, value=shares),
    st.builds(Outcome, name=st.sampled_from(["x", "y"]), value=shares),
)
intervals = st.tuples(shares, shares).filter(lambda one: one[1] - one[0] > 1e-6)


def part_tables(of: str) -> Any:
    return st.builds(
        PartTable,
        weight=weights,
        clip=st.none() | intervals,
        segments=st.none() | st.just(("a",)),
        horizon=st.none() | st.floats(0.0, 1e5),
        of=st.just(of),
    )


def cost_tables(of: str) -> Any:
    return st.builds(CostTable, weight=weights, scale=weights, of=st.just(of))


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Any spec: some parts, some costs, a range or none."""
    parts = draw(st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=4, unique=True))
    costs = draw(st.lists(st.sampled_from(sorted(COSTS)), max_size=3, unique=True))
    return Spec(
        name="any",
        parts={name: draw(weights | part_tables(name)) for name in parts},
        costs={name: draw(cost_tables(name)) for name in costs},
        range=draw(st.none() | st.tuples(st.floats(-10, 0.4), st.floats(0.5, 10))),
        decisive=tuple(draw(st.lists(st.sampled_from(KINDS), min_size=3, unique=True))),
        undecided={"a": draw(shares)},
    )


@st.composite
def acts(draw: st.DrawFn) -> list[tuple[Signal, float]]:
    """Signals with the distinct times at which they were done; a horizon is measured once."""
    said = draw(st.lists(signals, max_size=5))
    said += [
        Kept(fraction=draw(shares), horizon_seconds=float(at))
        for at in draw(st.sets(st.integers(1, 3)))
    ]
    times = draw(st.lists(st.integers(1, 500), min_size=len(said), max_size=len(said), unique=True))
    return list(zip(said, map(float, times), strict=True))


def generation(text: str, segment: str, written: int) -> Generation:
    return Generation(
        generation_id="g",
        session_id="s",
        text=text,
        segment=segment,
        completion_token_ids=tuple(range(written)),
        usage=Usage(completion_tokens=written),
    )


def episode(
    served: Generation, said: Sequence[tuple[Any, float]], delays: Sequence[float]
) -> Episode:
    """Write an episode whose signals came so long after they were done, in the order received."""
    timed = [
        Timed(
            feedback=Feedback(
                feedback_id=f"f{at:g}", generation_id="g", session_id="s", signal=signal
            ),
            acted_at=at,
            received_at=at + delay,
        )
        for (signal, at), delay in zip(said, delays, strict=True)
    ]
    ordered = tuple(sorted(timed, key=lambda one: one.received_at))
    return Episode(generation=served, received_at=0.0, feedback=ordered)


@settings(deadline=None)
@given(specs(), acts(), texts, segments, st.integers(0, 50))
def test_everything_is_bounded(
    spec: Spec, said: list[tuple[Signal, float]], text: str, segment: str, written: int
) -> None:
    """Rewards and parts lie in [0, 1], costs are no less than 0, decided on or not."""
    asked = episode(generation(text, segment, written), said, [0.0] * len(said))
    for reward in (spec.reward(asked), spec.undecided_reward(asked)):
        if reward is None:
            continue
        assert 0.0 <= reward.value <= 1.0
        assert all(0.0 <= one.value <= 1.0 for one in reward.parts if one.value is not None)
        assert all(one.value >= 0.0 for one in reward.costs if one.value is not None)


@settings(deadline=None)
@given(
    st.data(),
    st.dictionaries(
        st.sampled_from(["rated", "kept@1", "outcome@x", "accepted"]), weights, min_size=1
    ),
    st.none() | st.tuples(st.floats(-5, 0.4), st.floats(0.5, 5)),
)
def test_more_of_a_part_is_never_worth_less(
    data: st.DataObject, parts: dict[str, Any], bounds: tuple[float, float] | None
) -> None:
    """One part higher and the others as they were: the reward is no lower."""
    spec = Spec(
        name="x", parts=parts, range=bounds, decisive=("accepted", "rejected", "rated", "kept")
    )
    low, high = sorted([data.draw(shares), data.draw(shares)])
    others: list[Signal] = [
        Rated(value=data.draw(shares)),
        Kept(fraction=data.draw(shares), horizon_seconds=1.0),
        Outcome(name="x", value=data.draw(shares)),
        Accepted() if data.draw(st.booleans()) else Rejected(),
    ]
    for place, (less, more) in enumerate(
        [
            (Rated(value=low), Rated(value=high)),
            (
                Kept(fraction=low, horizon_seconds=1.0),
                Kept(fraction=high, horizon_seconds=1.0),
            ),
            (Outcome(name="x", value=low), Outcome(name="x", value=high)),
            (Rejected(), Accepted()),
        ]
    ):
        values = []
        for one in (less, more):
            said = [*others[:place], one, *others[place + 1 :]]
            timed = [(signal, float(at + 1)) for at, signal in enumerate(said)]
            reward = spec.reward(episode(generation("abcd", "a", 4), timed, [0.0] * 4))
            assert reward is not None
            values.append(reward.value)
        assert values[0] <= values[1]


@settings(deadline=None)
@given(weights, st.floats(0.1, 100), st.integers(0, 200), st.integers(0, 200))
def test_more_effort_is_never_worth_more(weight: float, scale: float, one: int, other: int) -> None:
    """Of two answers that were taken alike the longer one is worth no more."""
    spec = Spec(
        name="x", parts={"accepted": 1.0}, costs={"effort": CostTable(weight=weight, scale=scale)}
    )
    rewards = [
        spec.reward(episode(generation("abcd", "a", written), [(Accepted(), 1.0)], [0.0]))
        for written in sorted([one, other])
    ]
    assert rewards[0] is not None
    assert rewards[1] is not None
    assert rewards[0].value >= rewards[1].value


@settings(deadline=None)
@given(st.data(), acts(), texts)
def test_the_order_of_arrival_does_not_matter(
    data: st.DataObject, said: list[tuple[Signal, float]], text: str
) -> None:
    """However late each signal was received within its horizon, every part and cost says the same."""
    spec = Spec(
        name="x",
        parts=dict.fromkeys(PARTS, 1.0),
        costs={name: CostTable(weight=0.1) for name in COSTS},
        decisive=("accepted", "rejected", "rated", "edited", "kept", "tool_result"),
    )
    served = generation(text, "a", 4)
    delays = [data.draw(st.floats(0.0, 1000.0)) for _ in said]
    prompt = spec.reward(episode(served, said, [0.0] * len(said)))
    assert spec.reward(episode(served, said, delays)) == prompt
    assert spec.reward(episode(served, data.draw(st.permutations(said)), delays)) == prompt


@given(specs(), st.randoms(use_true_random=False))
def test_a_version_is_stable(spec: Spec, random: Any) -> None:
    """Written down and read again, in any order of keys, it is the same."""
    told = msgspec.to_builtins(spec)
    for place in ("parts", "costs", "ready", "decision"):
        items = list(told[place].items())
        random.shuffle(items)
        told[place] = dict(items)
    assert msgspec.convert(told, Spec).version == spec.version


@given(specs(), specs())
def test_a_version_is_of_its_content_alone(one: Spec, other: Spec) -> None:
    """Two specs have one version exactly where they say the same."""
    assert (one.version == other.version) == (plain(one) == plain(other))


def plain(spec: Spec) -> Any:
    """Return what a spec says, with a table of a weight alone as its weight."""
    told = msgspec.to_builtins(spec)
    told["parts"] = {
        name: table["weight"] if isinstance(table, dict) and table.keys() == {"weight"} else table
        for name, table in told["parts"].items()
    }
    return told


@pytest.mark.parametrize(
    "change",
    [
        {"range": (-0.5, 1.0)},
        {"undecided": {"a": 0.5}},
        {"costs": {"effort": CostTable(weight=0.1)}},
        {"parts": {"accepted": PartTable(weight=1.0, horizon=60.0)}},
    ],
)
def test_old_specs_keep_their_versions_and_new_keys_make_others(change: dict[str, Any]) -> None:
    """A spec without the newer keys is hashed as the first version hashed it, for ever."""
    old = Spec(name="old", parts={"accepted": 1.0}, decisive=("accepted", "rejected"))
    assert old.version == "old@ea88c1162176"
    assert msgspec.structs.replace(old, **change).version != old.version


@settings(deadline=None)
@given(specs(), acts(), texts, segments, st.integers(0, 50), st.floats(0.0, 2e5))
def test_the_join_writes_what_the_spec_says(
    spec: Spec, said: list[tuple[Signal, float]], text: str, segment: str, written: int, late: float
) -> None:
    """What the join writes of an answer is its reward, with all parts and costs, to the last bit."""
    delays = [late if place == 0 else 0.0 for place in range(len(said))]
    asked = episode(generation(text, segment, written), said, delays)
    reward, scored = spec.reward(asked), Scorer(spec)(asked)
    assert (reward is None) == (scored is None)
    if reward is not None and scored is not None:
        assert scored.value == reward.value
        assert scored.parts == encode_reward(reward)
        assert scored.spec_version == reward.spec_version


def test_names_with_marks_of_formats_are_written_as_they_are() -> None:
    """A part whose name holds a percent sign or a quote stands in what the join writes."""
    spec = Spec(name="x", parts={'50 %b of "it"': PartTable(weight=2.0, of="accepted")})
    scored = Scorer(spec)(episode(generation("abcd", "a", 4), [(Accepted(), 1.0)], [0.0]))
    assert scored is not None
    assert msgspec.json.decode(scored.parts) == {'50 %b of "it"': [1.0, 2.0]}


def test_a_cost_of_one_answer_does_not_see_its_chain() -> None:
    """Beside a cost over the chain one of the answer alone charges the answer's own tokens."""
    spec = Spec(
        name="x",
        parts={"accepted": 1.0},
        costs={
            "own": CostTable(weight=0.1, of="effort", options={"q": 0.0}),
            "task": CostTable(weight=0.1, of="effort", over="chain", options={"q": 0.0}),
        },
    )
    asked = episode(generation("abcd", "a", 4), [(Accepted(), 1.0)], [0.0])
    spent = ChainSpent(amounts=Amounts(0.0, 0.0, 0.0, 100.0, 0, 3), steps=0, uncounted=0)
    reward = spec.reward(msgspec.structs.replace(asked, chain=spent))
    assert reward is not None
    values = {one.name: one.value for one in reward.costs}
    assert values == {"own": pytest.approx(4.0), "task": pytest.approx(100.0)}
