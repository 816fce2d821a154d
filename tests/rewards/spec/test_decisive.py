"""What decides: a model's own fault, and silence where the spec values it."""

from pathlib import Path

import pytest
from episodes_by_hand import did, episode

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import DEFAULT_SPEC, Spec, load_spec
from rlwd.streams.events.episode import Timed
from rlwd.streams.events.signals import Accepted, Rejected, ToolResult

BROKEN = did(ToolResult(tool="run", error_class="invalid_arguments"), 1.0)
SILENT = {"text": "", "finish_reason": "stop", "completion_token_ids": (2,)}


@pytest.mark.parametrize(
    ("feedback", "worth"),
    [
        # Nobody decided, and still it is a negative.
        ((BROKEN,), 0.0),
        ((BROKEN, did(Accepted(), 2.0)), 0.5),
        ((BROKEN, did(Rejected(), 2.0)), 0.0),
        # What is not the model's fault decides nothing, and what worked is no merit.
        ((did(ToolResult(tool="run", error_class=None), 1.0),), None),
        ((did(ToolResult(tool="run", error_class="unexpected_environment"), 1.0),), None),
        ((did(ToolResult(tool="run", error_class="provider_error"), 1.0),), None),
        ((did(ToolResult(tool="run", error_class=None), 1.0), did(Rejected(), 2.0)), 0.0),
    ],
)
def test_a_broken_call_is_a_negative_by_the_built_in_spec(
    feedback: tuple[Timed, ...], worth: float | None
) -> None:
    """It gives an answer that nobody decided on a reward of 0, and only ever lowers another one."""
    spec = load_spec(DEFAULT_SPEC)
    reward = spec.reward(episode(*feedback))
    assert (None if reward is None else reward.value) == worth
    assert Scorer(spec).decides(feedback[0].feedback.signal) == (feedback[0] is BROKEN)


def test_a_class_that_is_not_the_models_fault_cannot_be_named() -> None:
    """An outage decides nothing about an answer."""
    with pytest.raises(
        ValueError, match=r"\$\.decisive: 'tool_result:timeout' is no signal; known"
    ):
        Spec(name="x", parts={"accepted": 1.0}, decisive=("tool_result:timeout",))


def test_silence_has_its_value_where_a_part_says_so(tmp_path: Path) -> None:
    """Once its time is over: tau for an answer that says nothing, the spec's value for one that was
    shown and ignored, and by default nothing for that."""
    path = tmp_path / "spec.toml"
    path.write_text(
        'name = "tab"\n[parts]\n"show_or_silent@0.25" = 1.0\n[undecided]\nreply = 0.1\n'
    )
    spec = load_spec(path)
    scorer = Scorer(spec)
    assert scorer.values_undecided("default")
    silent = scorer.undecided(episode(**SILENT))
    assert silent is not None
    assert (silent.value, silent.undecided) == (0.25, True)
    assert spec.reward(episode(**SILENT)) is None, "not before its time"
    assert scorer.undecided(episode()) is None
    reply = (
        scorer.undecided(episode(segment="reply")),
        scorer.undecided(episode(segment="reply", **SILENT)),
    )
    assert [None if one is None else one.value for one in reply] == [0.1, 0.25]
    taken = scorer.undecided(episode(did(Accepted(), 1.0)))
    assert taken is not None
    assert taken.value == 1.0
