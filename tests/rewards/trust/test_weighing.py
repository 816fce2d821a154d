"""A batch is weighed: each factor by its name, and weights that are their product."""

import math

import pytest
from evidence_by_hand import evidence

from rlwd.rewards.spec.verification import Verification
from rlwd.rewards.trust.confounds import Confounds
from rlwd.rewards.trust.settings import TrustSettings
from rlwd.rewards.trust.weighing import Past, weigh

SETTINGS = TrustSettings()


def test_a_crowd_like_any_other_weighs_one_each() -> None:
    """Nothing is changed where there is nothing to say."""
    for one in weigh([evidence(i) for i in range(40)], SETTINGS, Past()):
        assert (one.weight, one.confound, one.factors) == (1.0, 0.0, {})


def test_a_low_veracity_signal_is_weighed_down() -> None:
    """Half of the answers are known by a signal that is wrong in three of ten cases: they count less,
    and are freed of its bias; one that is a coin counts nothing."""
    plain = [evidence(i, reward=float(i % 5 == 0)) for i in range(100)]
    doubtful = [
        evidence(100 + i, reward=float(i % 50 < 19), verification=Verification(flip=0.3))
        for i in range(100)
    ]
    coins = [evidence(300 + i, verification=Verification(flip=0.5)) for i in range(4)]
    found = weigh(plain + doubtful + coins, SETTINGS, Past())
    assert all(one.weight == 1.0 for one in found[:100])
    # (1 - 2e) (1 - p) / (1 - q): 0.4 * 0.8 / (1 - 0.38).
    assert found[100].weight == pytest.approx(0.516, abs=0.02)
    assert found[100].factors == {"noise": found[100].weight}
    noisy = sum(one.reward for one in found[100:200]) / 100
    assert noisy == pytest.approx(0.2, abs=0.01)
    assert [one.weight for one in found[200:]] == [0.0] * 4


def test_rare_and_dear_judges_weigh_more() -> None:
    """An expert's word weighs four times a user's; who was asked one time in two stands for two."""
    expert = evidence(0, verification=Verification(asymmetry=4.0))
    asked = evidence(1, asked=0.5)
    found = weigh([expert, asked, *[evidence(i) for i in range(2, 60)]], SETTINGS, Past())
    assert found[0].weight / found[2].weight == pytest.approx(4.0)
    assert found[1].weight / found[2].weight == pytest.approx(2.0)
    assert sum(one.factors["answered"] for one in found) == pytest.approx(60.0)
    off = weigh([expert, asked], TrustSettings(responses="off"), Past())
    assert off[1].weight == 1.0


def test_factors_multiply_and_caps_come_last() -> None:
    """One user's burst is halved, and what is left of it held to four times the median user's weight."""
    loud = [evidence(900 + i, user=("t", "loud"), acted_at=1e6 + 0.1 * i) for i in range(40)]
    found = weigh([*[evidence(i) for i in range(120)], *loud], SETTINGS, Past())
    for one in found[120:]:
        assert one.factors["burst"] == 0.5
        assert one.weight == pytest.approx(math.prod(one.factors.values()))
    assert sum(one.weight for one in found[120:]) <= 0.02 * sum(one.weight for one in found) + 1e-9


def test_tenants_and_prompts_have_caps() -> None:
    """One tenant's 80 of 100 are held to half; 80 of the same prompt, from a user each, to a quarter."""
    tenants = [evidence(i, tenant="big" if i < 80 else f"t{i}") for i in range(100)]
    found = weigh(tenants, SETTINGS, Past())
    assert found[0].factors == {"tenant": 0.25}
    assert found[99].weight == 1.0
    prompts = [evidence(i, prompt=tuple(range(30))) if i < 40 else evidence(i) for i in range(100)]
    found = weigh(prompts, SETTINGS, Past())
    assert found[0].factors["prompt"] == pytest.approx(0.5)
    assert sum(one.weight for one in found[:40]) == pytest.approx(20.0)


def test_confounds_are_set_apart_from_the_reward() -> None:
    """What a slow answer lost by its slowness is written beside its reward, which stays."""
    past = Past(confounds=Confounds(slopes={"mail": (-0.1, 0.0)}, users={("t", "user-3"): -0.2}))
    batch = [evidence(i, latency=math.exp(i % 2)) for i in range(4)]
    found = weigh(batch, SETTINGS, past)
    assert [one.confound for one in found] == pytest.approx([0.05, -0.05, 0.05, -0.25])
    assert [one.reward for one in found] == [0.0, 1.0, 0.0, 1.0]
    off = weigh(batch, TrustSettings(confounds=False), past)
    assert {one.confound for one in off} == {0.0}
