"""`[attribution]` of a spec: which answers feedback on a session reaches, and what it is worth to each."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import DEFAULT_SPEC, Spec, load_spec
from rlwd.streams.events.episode import Attribution, AttributionRule, Episode, Timed
from rlwd.streams.events.event import Feedback
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.signals import Accepted, Edited, Outcome, Rated, Rejected, Resolved, Signal
from rlwd.streams.events.usage import Amounts, ChainSpent

ROOT = Path(__file__).parents[3]
SPEC = Spec(
    name="chains",
    parts={"accepted": 1.0, "outcome": 1.0},
    decisive=("accepted", "rejected", "outcome"),
)


def written(tmp_path: Path, section: str) -> Spec:
    path = tmp_path / "spec.toml"
    path.write_text(f'name = "x"\n[parts]\naccepted = 1.0\n{section}')
    return load_spec(path)


def episode(*said: tuple[Signal, float | None]) -> Episode:
    """An episode with these signals; a weight is of one on its chain, None of its own."""
    return Episode(
        generation=Generation(generation_id="s.g", session_id="s"),
        received_at=0.0,
        feedback=tuple(
            Timed(
                feedback=Feedback(feedback_id=str(n), session_id="s", signal=signal),
                acted_at=float(n),
                received_at=float(n),
                attribution=None if w is None else Attribution(rule="discount", weight=w, steps=1),
            )
            for n, (signal, w) in enumerate(said)
        ),
    )


def test_the_three_rules_are_read(tmp_path: Path) -> None:
    """The last answer is the rule of a kind that is not named."""
    spec = written(
        tmp_path,
        '[attribution]\nresolved = "chain"\noutcome = { discount = 0.9 }\nrated = "last"\n',
    )
    scorer = Scorer(spec)
    assert scorer.attribution(Resolved()) == AttributionRule("chain")
    assert scorer.attribution(Outcome(name="x", value=1.0)) == AttributionRule("discount", 0.9)
    assert scorer.attribution(Accepted()) == AttributionRule("last")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('resolved = "all"', r"\$\.attribution\.resolved"),
        ("resolved = { discount = 1.5 }", r"\$\.attribution\.resolved\.discount"),
        ("resolved = { gamma = 0.5 }", r"\$\.attribution\.resolved"),
        ('solved = "last"', r"\$\.attribution: 'solved' is no signal"),
        ('edited = "chain"', r"\$\.attribution\.edited: is about one answer"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(
    tmp_path: Path, section: str, words: str
) -> None:
    """The start stops with the path of the key."""
    with pytest.raises(ValueError, match=words):
        written(tmp_path, f"[attribution]\n{section}\n")


def test_what_names_an_answer_spreads_where_the_spec_says_so(tmp_path: Path) -> None:
    """By kind, or by the name of an outcome, which goes before its kind; nothing where not given."""
    spec = written(tmp_path, '[spread]\nrated = "chain"\n"outcome@merged" = { discount = 0.9 }\n')
    scorer = Scorer(spec)
    assert scorer.spread(Rated(value=1.0)) == AttributionRule("chain")
    assert scorer.spread(Outcome(name="merged", value=1.0)) == AttributionRule("discount", 0.9)
    assert scorer.spread(Outcome(name="sold", value=1.0)) is None
    assert spec.version != written(tmp_path, "").version
    assert (scorer.spreads, Scorer(written(tmp_path, "")).spreads) == (True, False)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('rated = "last"', r"\$\.spread\.rated"),
        ('solved = "chain"', r"\$\.spread: 'solved' is no signal"),
        ('edited = "chain"', r"\$\.spread\.edited: is about one answer"),
        ('"rated@x" = "chain"', r"\$\.spread: 'rated@x' is no signal"),
        ('"outcome@" = "chain"', r"\$\.spread\.outcome@: '' names no outcome"),
        ('"outcome@ " = "chain"', r"\$\.spread\.outcome@ : ' ' names no outcome"),
    ],
)
def test_what_cannot_spread_is_refused_by_its_key(tmp_path: Path, section: str, words: str) -> None:
    """As in `[attribution]`."""
    with pytest.raises(ValueError, match=words):
        written(tmp_path, f"[spread]\n{section}\n")


def test_a_spec_without_rules_keeps_its_version(tmp_path: Path) -> None:
    """And any rule makes another one."""
    plain = written(tmp_path, "")
    assert written(tmp_path, "[attribution]\n").version == plain.version
    assert written(tmp_path, '[attribution]\nresolved = "chain"\n').version != plain.version
    assert not load_spec(DEFAULT_SPEC).attribution


def test_the_worked_example_of_the_page() -> None:
    """A turn of its own 1 beside a chain's 0 that reaches it by a quarter is worth 0.8."""
    spec = Spec(
        name="page", parts={"accepted": 1.0, "resolved": 1.0}, decisive=("accepted", "escalated")
    )
    said = episode((Accepted(), None))
    reward = spec.reward(said)
    assert reward is not None
    assert reward.value == 1.0
    both = spec.reward(episode((Accepted(), None), (Outcome(name="x", value=0.0), None)))
    assert both == reward
    mixed = SPEC.reward(episode((Accepted(), None), (Outcome(name="x", value=0.0), 0.25)))
    assert mixed is not None
    assert mixed.value == pytest.approx(0.8)


def test_an_own_decision_is_not_overruled_by_the_sessions() -> None:
    """Within one part both count, the turn's own the more; a later one of the chain does not replace it."""
    reward = SPEC.reward(episode((Accepted(), None), (Rejected(), 0.5)))
    assert reward is not None
    assert reward.value == pytest.approx(1.0 / 1.5)


def test_the_share_is_what_the_distance_leaves() -> None:
    """Of an outcome alone; 1 where a signal of its own gives the reward."""
    scorer = Scorer(SPEC)
    far = (Outcome(name="x", value=1.0), 0.25)
    assert scorer.share(episode(far)) == 0.25
    assert scorer.share(episode(far, (Accepted(), None))) == 1.0
    assert scorer.share(episode(far, (Edited(final_text="x"), None))) == 0.25
    assert scorer.share(episode((Accepted(), None))) == 1.0


@given(
    own=st.sampled_from([None, 0.0, 1.0]),
    value=st.floats(0, 1),
    weight=st.floats(0.001, 1.0),
    more=st.floats(0, 1),
)
def test_rewards_are_bounded_and_monotone(
    own: float | None, value: float, weight: float, more: float
) -> None:
    """In [0, 1], no lower for a better outcome, and nearer to the outcome the more of it is the answer's."""
    mine = [] if own is None else [(Accepted() if own else Rejected(), None)]

    def worth(outcome: float, by: float) -> float:
        reward = SPEC.reward(episode(*mine, (Outcome(name="x", value=outcome), by)))
        assert reward is not None
        return reward.value

    low, high = sorted((value, more))
    assert 0.0 <= worth(low, weight) <= worth(high, weight) + 1e-12 <= 1.0 + 2e-12
    assert abs(worth(value, 1.0) - value) <= abs(worth(value, weight) - value) + 1e-12


def test_the_pages_examples_of_chains_run(tmp_path: Path) -> None:
    """Its three sections make one spec, and the cost over a chain is what the page works out."""
    page = (ROOT / "docs" / "rewards.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    named = ("[attribution]", "[spread]", "[costs.task]")
    sections = [next(one for one in blocks if one.startswith(name)) for name in named]
    scorer = Scorer(written(tmp_path, "\n".join(sections)))
    assert scorer.attribution(Resolved()) == AttributionRule("chain")
    assert scorer.spread(Outcome(name="merged", value=1.0)) == AttributionRule("discount", 0.9)
    assert scorer.over_chain
    amounts = Amounts(0.0, 0.0, 0.0, answer=2000.0, calls=4.0, turns=3.0)
    one = msgspec.structs.replace(
        episode((Accepted(), None)), chain=ChainSpent(amounts, uncounted=0, steps=2)
    )
    reward = scorer.spec.reward(one)
    assert reward is not None
    assert 1.0 - reward.value == pytest.approx(0.025, abs=5e-4)
