"""The reward spec: which parts count how much, for how long, under which version."""

from pathlib import Path
from typing import Any

import pytest
from episodes_by_hand import did, episode

from rlwd.rewards.spec.reward import Part, Reward
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec, load_spec
from rlwd.streams.events.signals import (
    Accepted,
    Copied,
    Edited,
    Interrupted,
    Kept,
    Outcome,
    Rated,
    Regenerated,
    Rejected,
    Resolved,
    Signal,
    ToolResult,
)

DEFAULT = Path(__file__).parents[3] / "rewards" / "spec" / "default.toml"


def make(**changes: Any) -> Spec:
    given = {"name": "test", "parts": {"accepted": 1.0, "kept": 1.0}, **changes}
    return Spec(**given)


def value_of(spec: Spec, *feedback: Any) -> float:
    reward = spec.reward(episode(*feedback))
    assert reward is not None
    return reward.value


def test_the_docstrings_example() -> None:
    """Accepted and half kept give 0.75; with kept still open the reward is 1.0, and says so."""
    spec = make()
    taken, half = did(Accepted(), 1.0), did(Kept(fraction=0.5, horizon_seconds=30.0), 31.0)
    both = spec.reward(episode(taken, half))
    assert both == Reward(
        value=0.75,
        parts=(
            Part(name="accepted", value=1.0, weight=1.0),
            Part(name="kept", value=0.5, weight=1.0),
        ),
        spec_version=spec.version,
    )
    early = spec.reward(episode(taken))
    assert early is not None
    assert (early.value, early.open) == (1.0, ("kept",))


def test_weights_weigh() -> None:
    """The reward is the weighted mean of the parts that are known."""
    spec = make(parts={"accepted": 3.0, "rated": 1.0, "kept": 5.0})
    assert value_of(spec, did(Rejected(), 1.0), did(Rated(value=1.0), 2.0)) == 0.25


def test_nothing_decisive_is_no_reward() -> None:
    """A copy, or a measurement alone, decides nothing: None, and not 0."""
    spec = make()
    assert spec.reward(episode()) is None
    assert spec.reward(episode(did(Copied(), 1.0))) is None
    assert spec.reward(episode(did(Kept(fraction=1.0, horizon_seconds=30.0), 31.0))) is None


def test_decisive_without_a_part_is_no_reward() -> None:
    """An edit decides, but a spec without a part for edits makes nothing of it."""
    assert make().reward(episode(did(Edited(final_text="x"), 1.0))) is None


def test_a_signal_counts_within_its_horizon_by_receipt() -> None:
    """Received at the horizon it counts, a moment later it does not, whenever it was done."""
    spec = make(horizons={"accepted": 10.0})
    assert value_of(spec, did(Accepted(), 10.0)) == 1.0
    assert spec.reward(episode(did(Accepted(), 1.0, received=10.1))) is None
    assert value_of(spec, did(Rejected(), 86400.0)) == 0.0, "a day where none is given"
    assert spec.reward(episode(did(Rejected(), 86400.1))) is None


def test_a_part_may_name_its_horizon() -> None:
    """`kept@300` is kept at 300 s, beside kept at another."""
    spec = make(parts={"accepted": 1.0, "kept@30": 1.0, "kept@300": 2.0})
    reward = spec.reward(
        episode(did(Accepted(), 1.0), did(Kept(fraction=0.5, horizon_seconds=300.0), 301.0))
    )
    assert reward is not None
    assert reward.open == ("kept@30",)
    assert reward.value == pytest.approx((1.0 + 2 * 0.5) / 3)


def test_the_version_is_of_the_content() -> None:
    """The same numbers have the same version for ever; any other number has another."""
    assert make().version == "test@8a933d00e37a"
    changed = [
        make(parts={"accepted": 1.0, "kept": 2.0}),
        make(horizons={"kept": 60.0}),
        make(ready={"default": 60.0}),
        make(decision={"default": 60.0}),
        make(decisive=("accepted",)),
        make(name="other"),
    ]
    assert len({spec.version for spec in (make(), *changed)}) == 7


def test_segments_have_their_own_times() -> None:
    """A segment that is not named takes the default's."""
    spec = make(ready={"default": 5.0, "code": 300.0}, decision={"default": 60.0, "mail": 86400.0})
    assert (spec.ready_seconds("code"), spec.ready_seconds("mail")) == (300.0, 5.0)
    assert (spec.decision_seconds("code"), spec.decision_seconds("mail")) == (60.0, 86400.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[parts]\nacepted = 1", r"no such part; known: accepted.*kept@HORIZON_SECONDS"),
        ('[parts]\n"kept@soon" = 1', r"\$\.parts\.kept@soon: no such part"),
        ("[parts]\naccepted = 0", r"Expected `float` >= 1e-09.*parts"),
        ("[parts]\naccepted = 1e308\nrated = 1e308", r"Expected `float` <= 1.*accepted"),
        ("[parts]\naccepted = 5e-324", r"Expected `float` >= 1e-09.*accepted"),
        ('[parts]\n"show_or_silent@7" = 1', r"\$\.parts\.show_or_silent@7: no such part"),
        (
            "[parts.show_or_silent]\nweight = 1\noptions = { tau = 7 }",
            r"tau: Expected `float` <= 1",
        ),
        ('[parts]\n"kept@-1" = 1', r"\$\.parts\.kept@-1: no such part"),
        ("range = [-1e308, 1e308]\n[parts]\naccepted = 1", r"\$\.range: .* beyond"),
        ("range = [0, 1e-320]\n[parts]\naccepted = 1", r"\$\.range: .* too narrow"),
        ("decisive = []\n[parts]\naccepted = 1", r"\$\.decisive: is empty"),
        (
            "[parts]\naccepted = 1\n[costs.effort]\nweight = 1\noptions = { k = 1e308 }",
            r"options\.k: Expected `float` <= 1",
        ),
        ("[parts]", r"\$\.parts: a spec needs at least one part"),
        (
            "part = 1\n[parts]\naccepted = 1",
            r"unknown field `part` - at `\$`; known: name, parts, decisive, .*costs.*spread",
        ),
        ('[parts]\n"outcome@ " = 1', r"\$\.parts\.outcome@ \.options\.name: ' ' names nothing"),
        ('[parts]\n"marked@\t" = 1', r"options\.rubric: '\\t' names nothing"),
        ("[ready]\ncode = 1\n[parts]\naccepted = 1", r"\$\.ready\.default: is missing"),
        ("[horizons]\naccept = 1\n[parts]\naccepted = 1", r"\$\.horizons: 'accept' is no signal"),
        ('decisive = ["taken"]\n[parts]\naccepted = 1', r"\$\.decisive: 'taken' is no signal"),
        ("[horizons]\nkept = -1\n[parts]\naccepted = 1", r"Expected `float` >= 0"),
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """A misspelt part, signal or key is named, with the file."""
    path = tmp_path / "spec.toml"
    path.write_text(f'name = "x"\n{text}\n')
    with pytest.raises(ValueError, match=says) as refused:
        load_spec(path)
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["", "  ", "a\nb"])
def test_a_name_that_no_version_can_show_is_refused(name: str) -> None:
    """It begins the version that logs, tables and pages show."""
    with pytest.raises(ValueError, match=r"\$\.name: "):
        make(name=name)


def test_the_built_in_spec_loads() -> None:
    """What is used where the config names none has every part, and keeps its version in pace."""
    spec = load_spec(DEFAULT)
    assert list(spec.parts) == ["accepted", "edit_similarity", "kept", "rated", "valid_calls"]
    assert spec.version.startswith("default@")


@pytest.mark.parametrize(
    ("signal", "worth"),
    [(Interrupted(), 0.0), (Regenerated(), 0.0), (Resolved(), None), (Accepted(), 1.0)],
)
def test_the_built_in_spec_takes_turning_down_for_an_answer(
    signal: Signal, worth: float | None
) -> None:
    """Stopping an answer or asking for another decides; a closed case is for specs that say so."""
    reward = load_spec(DEFAULT).reward(episode(did(signal, 1.0)))
    assert (reward and reward.value) == worth


def test_a_spec_may_count_tools_and_outcomes() -> None:
    """One outcome can be named; a provider's outage alone decides nothing and rewards nothing."""
    spec = make(
        parts={"tool_ok": 1.0, "outcome@merged": 1.0, "resolved": 2.0},
        decisive=("tool_result", "outcome", "resolved"),
    )
    outage = did(ToolResult(tool="search", error_class="provider_error"), 1.0)
    assert spec.reward(episode(outage)) is None
    other = did(Outcome(name="sold", value=1.0), 1.0)
    assert spec.reward(episode(outage, other)) is None
    broken = did(ToolResult(tool="search", error_class="invalid_arguments"), 2.0)
    assert value_of(spec, outage, broken) == 0.0
    merged = did(Outcome(name="merged", value=1.0), 3.0)
    assert value_of(spec, outage, broken, merged, did(Resolved(), 4.0)) == 0.75


def test_the_scorer_keeps_every_part() -> None:
    """What the join stores holds value and weight of each part, open ones as null."""
    scored = Scorer(make())(episode(did(Accepted(), 1.0)))
    assert scored is not None
    assert (scored.value, scored.parts) == (1.0, b'{"accepted":[1.0,1.0],"kept":[null,1.0]}')
    assert scored.ready_at == 0.0, "at once, at the first decisive signal"


def test_a_named_horizon_makes_ready() -> None:
    """With a wait in the spec the episode is ready so long after the answer was received."""
    late = Scorer(make(ready={"default": 0.0, "code": 300.0}))
    scored = late(episode(did(Accepted(), 1.0), segment="code"))
    assert scored is not None
    assert scored.ready_at == 300.0
    assert late(episode()) is None
