"""Kept in time: a measurement that decides, at its horizon or a longer one, and specs in which none could."""

import pytest
from episodes_by_hand import did, episode

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.shipped_specs import shipped_names, spec_path
from rlwd.rewards.spec.spec import DEFAULT_SPEC, Spec, load_spec, reward_spec
from rlwd.rewards.spec.term import PartTable
from rlwd.streams.events.episode import Timed
from rlwd.streams.events.signals import Kept

LONG = {"default": 6000.0}


def kept(fraction: float, horizon: float) -> Timed:
    return did(Kept(fraction=fraction, horizon_seconds=horizon), horizon + 10)


def spec(decisive: str = "kept@3600", **more: object) -> Spec:
    given = {"parts": {"kept": 1.0}, "decision": LONG, **more}
    return Spec(name="x", decisive=(decisive,), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("feedback", "worth"),
    [
        ((), None),
        ((kept(1.0, 300.0),), None),
        ((kept(1.0, 3599.0),), None),
        ((kept(1.0, 300.0), kept(0.25, 3600.0)), 0.25),
        ((kept(0.5, 5000.0),), 0.5),
        ((kept(0.0, 3600.0),), 0.0),
    ],
)
def test_a_measurement_decides_from_its_horizon_on(
    feedback: tuple[Timed, ...], worth: float | None
) -> None:
    """At a shorter horizon the answer stays open, whatever was measured; at a longer one it is decided."""
    reward = spec().reward(episode(*feedback))
    assert (None if reward is None else reward.value) == worth
    if feedback:
        decides = Scorer(spec()).decides(feedback[-1].feedback.signal)
        assert decides == (worth is not None)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"decision": {"default": 3600.0}}, r"\$\.decision\.default: .* 3600 s"),
        ({"decision": LONG | {"code": 60.0}}, r"\$\.decision\.code: .* 60 s"),
        ({"horizons": {"kept": 3600.0}}, r"\$\.horizons\.kept: is 3600 s"),
        (
            {"decisive": "kept@86400", "decision": {"default": 1e5}},
            r"\$\.horizons\.kept: is 86400 s",
        ),
        (
            {
                "parts": {"accepted": 1.0, "kept@3600": PartTable(weight=1.0, segments=("code",))},
                "decision": {"default": 60.0},
            },
            r"\$\.decision\.default: .* 60 s",
        ),
        # Where no part reads it, it decides everywhere.
        ({"parts": {"accepted": 1.0}, "decision": LONG | {"chat": 60.0}}, r"\$\.decision\.chat"),
    ],
)
def test_a_spec_in_which_none_could_come_in_time_is_refused(
    more: dict[str, object], path: str
) -> None:
    """The error names the key that is too short; without it every answer would end undecided."""
    with pytest.raises(ValueError, match=path):
        spec(**more)  # type: ignore[arg-type]


def test_segments_whose_reward_has_no_kept_need_not_wait() -> None:
    """A chat is given up after a minute, beside code that is measured."""
    parts = {"accepted": 1.0, "code": PartTable(weight=1.0, of="kept", segments=("code",))}
    made = spec(parts=parts, decision={"default": 60.0, "code": 6000.0})
    assert made.decision_seconds("chat") == 60.0
    assert made.reward(episode(kept(0.5, 3600.0), segment="code")) is not None


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("kept@soon",), r"\$\.decisive: 'kept@soon': 'soon' is no number of seconds above 0"),
        (("kept@0",), r"'0' is no number"),
        (("kept@nan",), r"'nan' is no number"),
        (("kept@inf",), r"'inf' is no number"),
        (("kept@",), r"'' is no number"),
        (("kept@300", "kept@3600"), r"both named; the shortest horizon decides"),
        (("kept", "kept@3600"), r"both named"),
        (("keep@300",), r"'keep@300' is no signal; known: .*kept@SECONDS"),
    ],
)
def test_what_is_no_horizon_is_refused(names: tuple[str, ...], why: str) -> None:
    """By the name that is wrong."""
    with pytest.raises(ValueError, match=why):
        Spec(name="x", parts={"kept": 1.0}, decision=LONG, decisive=names)


def test_plain_kept_still_decides_at_any_horizon() -> None:
    """A spec that names the kind reads as before, with the decision it had."""
    plain = Spec(name="x", parts={"kept": 1.0}, decisive=("kept",))
    assert plain.reward(episode(kept(0.75, 300.0))) is not None
    assert plain.reward(episode(kept(0.75, 5.0))) is not None


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_spec_is_named_without_a_path(name: str) -> None:
    """Wherever the config lies; nothing named is the default, and all else is a file beside it."""
    assert reward_spec(name).name == name
    assert load_spec(spec_path("")) == load_spec(DEFAULT_SPEC) == reward_spec("default")
