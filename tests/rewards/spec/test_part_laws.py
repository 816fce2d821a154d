"""What every part and cost keeps to, whatever people did: bounds, order, and which way it moves."""

import math
from typing import Any

import msgspec
import pytest
from episodes_by_hand import did, episode
from hypothesis import given, settings
from hypothesis import strategies as st

from rlwd.rewards.spec.registry import COSTS, NEEDS_NO_SIGNAL, PART_KINDS, PARTS
from rlwd.rewards.spec.spec import DEFAULT_SPEC, load_spec
from rlwd.streams.events.episode import Episode, join_feedback, order_feedback
from rlwd.streams.events.signals import (
    Accepted,
    Checked,
    Copied,
    Edited,
    Escalated,
    FollowedUp,
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
from rlwd.streams.events.tool_use import ToolCall
from rlwd.streams.events.usage import Usage

TEXT = "The invoice is paid. Which one do you mean?"
SHARE = st.floats(0, 1)
CLASS: Any = st.sampled_from(
    (None, "invalid_arguments", "unexpected_environment", "provider_error", "timeout", "unknown")
)
SIGNAL: Any = st.one_of(
    *(
        st.just(kind())
        for kind in (Accepted, Rejected, Undone, Interrupted, Regenerated, Resolved, Escalated)
    ),
    st.builds(Edited, final_text=st.sampled_from(("", TEXT, "The bill is paid.", "x" * 30))),
    st.builds(Kept, fraction=SHARE, horizon_seconds=st.sampled_from((30.0, 300.0))),
    st.builds(Copied, text=st.sampled_from(("", "invoice", "is paid.", "elsewhere"))),
    st.builds(FollowedUp, text=st.just("ok"), statement=st.sampled_from((None, "dissatisfied"))),
    st.builds(Rated, value=SHARE),
    st.builds(Outcome, name=st.sampled_from(("merged", "sold")), value=SHARE),
    st.builds(Checked, name=st.sampled_from(("json", "short")), passed=st.booleans()),
    st.builds(ToolResult, tool=st.just("run"), error_class=CLASS),
)
SIGNALS = st.lists(SIGNAL, max_size=8)


def arrived(signals: list[Signal], order: list[int]) -> Episode:
    """Acts of people, one a second, that came in another order."""
    acts = [did(one, float(at + 1)) for at, one in enumerate(signals)]
    came = [
        msgspec.structs.replace(acts[at], received_at=1000.0 + place)
        for place, at in enumerate(order)
    ]
    made = episode(text=TEXT, finish_reason="stop", usage=Usage(completion_tokens=9))
    return join_feedback(made.generation, 0.0, order_feedback(came))


@settings(max_examples=60)
@given(SIGNALS.flatmap(lambda s: st.tuples(st.just(s), st.permutations(range(len(s))))))
def test_bounds_and_order_of_arrival(drawn: tuple[list[Signal], list[int]]) -> None:
    """A part is in [0, 1] or open, a cost at least 0, and neither asks in which order things came."""
    signals, order = drawn
    straight, shuffled = arrived(signals, list(range(len(signals)))), arrived(signals, order)
    for name, part in PARTS.items():
        value = part(straight)
        assert value is None or 0.0 <= value <= 1.0, name
        assert part(shuffled) == value, name
    for name, cost in COSTS.items():
        value = cost(straight)
        assert value is None or 0.0 <= value < math.inf, name
        assert cost(shuffled) == value, name


BROKEN = ToolResult(tool="run", error_class="invalid_arguments")
BUILT_IN = load_spec(DEFAULT_SPEC)


@settings(max_examples=60)
@given(SIGNALS, st.integers(0, 8))
def test_a_broken_call_never_pays(signals: list[Signal], place: int) -> None:
    """By the built-in spec: whatever else was done, one more broken call raises no reward, and an
    answer with one always has a reward."""
    order = list(range(len(signals)))
    before = BUILT_IN.reward(arrived(signals, order))
    after = BUILT_IN.reward(
        arrived([*signals[:place], BROKEN, *signals[place:]], [*order, len(order)])
    )
    assert after is not None
    assert after.value <= (1.0 if before is None else before.value)
    assert before is not None or after.value < 1.0


@pytest.mark.parametrize(
    ("name", "worse", "better"),
    [
        ("accepted", Rejected(), Accepted()),
        ("show_or_silent", Undone(), Accepted()),
        ("undone", Undone(), Accepted()),
        ("interrupted", Interrupted(), Rejected()),
        ("regenerated", Regenerated(), Rejected()),
        ("resolved", Escalated(), Resolved()),
        ("rated", Rated(value=0.2), Rated(value=0.3)),
        ("outcome", Outcome(name="sold", value=0.2), Outcome(name="sold", value=0.3)),
        ("checked", Checked(name="json", passed=False), Checked(name="json", passed=True)),
        ("tool_ok", BROKEN, ToolResult(tool="run", error_class=None)),
        ("kept", Kept(fraction=0.2, horizon_seconds=9.0), Kept(fraction=0.3, horizon_seconds=9.0)),
        ("edit_similarity", Edited(final_text="x"), Edited(final_text="The invoice is paid.")),
        ("edit_words", Edited(final_text="x"), Edited(final_text="The invoice is paid.")),
        ("edit_survival", Edited(final_text="x"), Edited(final_text="The invoice is paid.")),
        ("copied_share", Copied(text="paid."), Copied(text="is paid.")),
    ],
)
@given(signals=st.lists(SIGNAL.filter(lambda one: not isinstance(one, Interrupted)), max_size=5))
@settings(max_examples=15)
def test_a_better_last_word_is_never_worth_less(
    name: str, worse: Signal, better: Signal, signals: list[Signal]
) -> None:
    """Whatever was done before: of two last acts the better one gives the part no smaller value."""
    order = list(range(len(signals) + 1))
    low, high = (PARTS[name](arrived([*signals, last], order)) for last in (worse, better))
    assert high is not None
    assert low is None or low <= high


def test_a_longer_answer_is_never_cheaper() -> None:
    """More tokens, more calls, more repetition: no cost falls."""
    calls = tuple(
        ToolCall(id=str(at), name="run", arguments="{", parses=False, fits=None) for at in range(3)
    )

    def cost(name: str, **more: Any) -> float:
        given: dict[str, Any] = {"text": "a b c d e f g h", "finish_reason": "stop", **more}
        value = COSTS[name](
            Episode(generation=episode(**given).generation, received_at=0, feedback=())
        )
        assert value is not None
        return float(value)

    tokens = [cost("effort", usage=Usage(completion_tokens=n)) for n in (1, 10, 100, 10_000)]
    assert tokens == sorted(tokens)
    repeats = [cost("repeated", text="a b c d e f g h " * n) for n in (1, 2, 4, 8)]
    assert repeats == sorted(repeats)
    left = [cost("todos_left", text="```\n" + "# TODO: more\n" * n + "```") for n in (0, 1, 3)]
    assert left == [0.0, 1.0, 3.0]
    assert cost("broken_calls", tool_calls=calls) == 1.0


@given(signals=SIGNALS)
def test_a_part_has_no_value_where_no_signal_came_that_it_reads(signals: list[Signal]) -> None:
    """So it is not asked then; of every built-in part it is said which it reads."""
    assert PART_KINDS.keys() == PARTS.keys()
    for name, kinds in PART_KINDS.items():
        if name not in NEEDS_NO_SIGNAL:
            others = [one for one in signals if not isinstance(one, kinds)]
            assert PARTS[name](arrived(others, list(range(len(others))))) is None, name
