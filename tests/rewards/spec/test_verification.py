"""How far a signal is believed: profiles in a spec, and what is left of a noisy reward."""

import random
from pathlib import Path

import msgspec
import pytest
from episodes_by_hand import did, episode
from hypothesis import given
from hypothesis import strategies as st

from rlwd.rewards.spec.spec import Spec, load_spec
from rlwd.rewards.spec.term import PartTable
from rlwd.rewards.spec.verification import FULL, TrustProfile, Verification, corrected
from rlwd.streams.events.signals import Accepted, Outcome, Rated, Rejected

PLAIN = Spec(name="plain", parts={"accepted": 1.0, "rated": 1.0}, decisive=("accepted", "rated"))
NOISY = Spec(
    name="plain",
    parts={"accepted": 1.0, "rated": 1.0},
    decisive=("accepted", "rated"),
    trust={"rated": TrustProfile(veracity=0.75, proliferation=0.1, asymmetry=4.0)},
)


def test_a_low_veracity_signal_weighs_less_in_the_reward() -> None:
    """Accepted, and rated 0: a mean of a half, unless ratings are only right in three of four cases."""
    both = episode(did(Accepted(), 1.0), did(Rated(value=0.0), 2.0))
    plain, noisy = PLAIN.reward(both), NOISY.reward(both)
    assert plain is not None
    assert noisy is not None
    assert plain.value == 0.5
    # A rating tells (1 - 2 * 0.25)^2 = 0.25 of what an acceptance tells.
    assert noisy.value == pytest.approx(1.0 / 1.25)
    assert [part.weight for part in noisy.parts] == [1.0, 0.25]


def test_an_episode_has_the_profile_of_what_was_said_of_it() -> None:
    """By the parts that are known and what they weigh; full trust where the spec has no profile."""
    rated = episode(did(Rated(value=0.0), 2.0))
    assert NOISY.verification(rated) == Verification(flip=0.25, proliferation=0.1, asymmetry=4.0)
    both = NOISY.verification(episode(did(Accepted(), 1.0), did(Rated(value=0.0), 2.0)))
    assert both.flip == pytest.approx(0.25 * 0.25 / 1.25)
    assert both.asymmetry == pytest.approx((1.0 + 0.25 * 4.0) / 1.25)
    assert NOISY.verification(episode(did(Accepted(), 1.0))) == FULL
    assert PLAIN.verification(rated) == FULL


def test_the_last_decision_has_the_profile() -> None:
    """An acceptance after a rejection is an acceptance, and believed as one."""
    spec = Spec(name="s", parts={"accepted": 1.0}, trust={"accepted": TrustProfile(veracity=0.9)})
    turned = episode(did(Accepted(), 1.0), did(Rejected(), 2.0))
    assert spec.verification(turned) == FULL
    taken = episode(did(Rejected(), 1.0), did(Accepted(), 2.0))
    assert spec.verification(taken).flip == pytest.approx(0.1)


def test_a_part_is_believed_by_the_signals_within_its_own_horizon() -> None:
    """An outcome that counts for a week has its profile though its kind counts for a day; and back."""
    trust = {"outcome": TrustProfile(veracity=0.75), "rejected": TrustProfile(veracity=0.6)}
    weeks = Spec(
        name="s",
        parts={
            "accepted": 1.0,
            "outcome@merged": PartTable(weight=1.0, horizon=7 * 86400.0),
            "soon": PartTable(weight=1.0, of="accepted", horizon=60.0),
        },
        trust=trust,
    )
    late = did(Outcome(name="merged", value=0.0), 2 * 86400.0)
    reward = weeks.reward(episode(did(Accepted(), 1.0), late))
    assert reward is not None
    # The acceptance twice, and a quarter of the outcome: 2 / 2.25.
    assert [part.weight for part in reward.parts] == pytest.approx([1.0, 0.25, 1.0])
    assert reward.value == pytest.approx(2.0 / 2.25)
    # A rejection that came after a minute has no say in what "soon" is worth, nor in its profile.
    turned = weeks.reward(episode(did(Accepted(), 1.0), did(Rejected(), 90.0)))
    assert turned is not None
    assert [part.weight for part in turned.parts] == pytest.approx([0.04, 1.0, 1.0])


def test_of_two_acts_of_one_moment_the_one_that_counts_has_the_profile() -> None:
    """By their ids, in whatever order they came."""
    spec = Spec(name="s", parts={"accepted": 1.0}, trust={"accepted": TrustProfile(veracity=0.9)})
    took, turned = did(Accepted(), 1.0), did(Rejected(), 1.0)
    later = msgspec.structs.replace(
        turned, feedback=msgspec.structs.replace(turned.feedback, feedback_id="f2")
    )
    for both in ((took, later), (later, took)):
        one = episode(*both)
        reward = spec.reward(one)
        assert reward is not None
        assert reward.value == 0.0
        assert spec.verification(one) == FULL


def test_a_silence_has_a_profile_of_its_own() -> None:
    """The value of an undecided answer is a guess, and the spec says how good a one."""
    spec = Spec(
        name="s",
        parts={"accepted": 1.0},
        undecided={"default": 0.5},
        trust={"undecided": TrustProfile(veracity=0.6)},
    )
    assert spec.verification(episode()).flip == pytest.approx(0.4)


def test_a_coin_says_nothing() -> None:
    """A signal of veracity a half leaves a reward, of no weight."""
    spec = Spec(name="s", parts={"accepted": 1.0}, trust={"accepted": TrustProfile(veracity=0.5)})
    taken = episode(did(Accepted(), 1.0))
    reward = spec.reward(taken)
    assert reward is not None
    assert corrected(reward.value, spec.verification(taken).flip, 0.3) == (0.3, 0.0)


def test_profiles_are_part_of_the_version(tmp_path: Path) -> None:
    """A spec without profiles keeps its version; what is no signal or out of bounds is named."""
    assert Spec(name="plain", parts=PLAIN.parts, decisive=PLAIN.decisive).version == PLAIN.version
    assert NOISY.version != PLAIN.version
    file = tmp_path / "spec.toml"
    for text, complaint in (
        ("[trust.liked]\nveracity = 0.9", "'liked' is no signal"),
        (
            "[trust.rated]\nveracity = 0.4",
            r"Expected `float` >= 0.5 - at `\$.trust.rated.veracity`",
        ),
        ("[trust.rated]\nverity = 0.9", r"unknown field `verity` - at `\$.trust.rated`"),
    ):
        file.write_text(f'name = "x"\n[parts]\naccepted = 1.0\n{text}\n')
        with pytest.raises(ValueError, match=complaint):
            load_spec(file)


@given(st.floats(0.0, 0.49), st.floats(0.02, 0.98), st.floats(0.0, 1.0))
def test_corrected_rewards_are_rewards(flip: float, base: float, reward: float) -> None:
    """They stay in [0, 1], rise with the reward, and weigh at most as one without noise."""
    low, weight = corrected(reward, flip, base)
    high, same = corrected(1.0, flip, base)
    assert 0.0 <= low <= high <= 1.0
    assert weight == same
    assert 0.0 < weight <= 1.0 + 1e-12


def test_the_bias_of_a_noisy_signal_is_gone() -> None:
    """Rejections and acceptances that are wrong in a third of the cases: the weighted mean of a clear
    and a noisy crowd is the base rate, and the noisy one has the weight of its precision."""
    draw, base, flip = random.Random(5), 0.2, 1 / 3
    total = weights = naive = 0.0
    for number in range(40_000):
        good = draw.random() < base
        noise = flip if number % 2 else 0.0
        said = float(good != (draw.random() < noise))
        reward, weight = corrected(said, noise, base)
        total, weights, naive = total + weight * reward, weights + weight, naive + said / 40_000
    assert total / weights == pytest.approx(base, abs=0.01)
    assert naive > 0.28
    _, weight = corrected(1.0, flip, base)
    assert weight == pytest.approx((1 / 3) * 0.8 / 0.6)
