"""Confounds of known size are found, and where there is none nothing is taken off."""

import math
import random
from statistics import fmean

import pytest

from rlwd.rewards.trust.confounds import Answered, fit_confounds

Users = dict[str, float]


def answers(
    seed: int,
    *,
    slow: float = 0.0,
    strict: Users | None = None,
    count: int = 4000,
    users: int = 100,
) -> list[Answered]:
    """Draw answers of ten batches, taken at a rate of a half at a latency of 1 s.

    The rate falls by `slow` for each e-fold of latency beyond what the length explains, and by a user's
    own `strict`. Longer answers take longer, are better, and the policy gets better and slower.
    """
    draw, made = random.Random(seed), []
    for number in range(count):
        batch = number * 10 // count
        tokens = draw.randrange(20, 400)
        own = draw.gauss(0.0, 0.6)
        latency = math.exp(0.5 * math.log(tokens / 90) + own + 0.05 * batch)
        user = f"user-{draw.randrange(users)}"
        chance = 0.35 + 0.03 * batch - slow * own - (strict or {}).get(user, 0.0)
        chance += 0.1 * math.log(tokens / 90)
        made.append(
            Answered(
                batch=batch,
                segment="mail",
                user=("t", user),
                latency=latency,
                tokens=tokens,
                reward=float(draw.random() < chance),
            )
        )
    return made


@pytest.mark.parametrize("slow", [0.1, 0.2, -0.15])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_latency_of_known_size_is_recovered(slow: float, seed: int) -> None:
    """Within 20 %, though length, the policy's progress and each answer's luck are in it too."""
    beta, with_length = fit_confounds(answers(seed, slow=slow)).slopes["mail"]
    assert beta == pytest.approx(-slow, rel=0.2)
    assert with_length == pytest.approx(0.5, abs=0.05)


def test_what_latency_adds_is_taken_off_new_answers() -> None:
    """The confound of answers that were not fitted on is the one they were made with, within 20 %."""
    found = fit_confounds(answers(1, slow=0.2))
    new = answers(9, slow=0.2, count=500)
    own = [
        math.log(one.latency) - 0.5 * math.log(one.tokens / 90) - 0.05 * one.batch for one in new
    ]
    taken = found.of(new)
    slope = sum(a * b for a, b in zip(own, taken, strict=True)) / sum(a * a for a in own)
    assert slope == pytest.approx(-0.2, rel=0.2)
    assert fmean(taken) == pytest.approx(0.0, abs=0.01)


def test_strict_users_of_known_size_are_recovered() -> None:
    """Half of the people take less by 0.2 than the others: their means lie 0.2 apart, within 20 %, where
    each has 200 answers; of people with fewer less is believed."""
    strict = {f"user-{i}": 0.2 if i % 2 else 0.0 for i in range(20)}
    found = fit_confounds(answers(1, strict=strict, users=20)).users
    by_kind = [
        fmean(value for (_, user), value in found.items() if bool(strict[user]) is kind)
        for kind in (False, True)
    ]
    assert by_kind[0] - by_kind[1] == pytest.approx(0.2, rel=0.2)


def test_no_confound_changes_nothing_beyond_noise() -> None:
    """Where neither latency nor user matters, nothing is taken off in four of five worlds of 600 answers,
    and less than a hundredth in the mean of all, beside a reward's own spread of a half."""
    sizes = []
    for seed in range(20):
        made = answers(seed, count=600)
        sizes.append(math.sqrt(fmean(value * value for value in fit_confounds(made).of(made))))
    assert sum(size == 0.0 for size in sizes) >= 15
    assert fmean(sizes) < 0.006


def test_few_answers_explain_nothing() -> None:
    """Below thirty of a segment, with latencies that are alike or not known, there is no slope."""
    assert fit_confounds(answers(1, slow=0.3, count=20)).slopes == {}
    assert fit_confounds([]).of([]) == []
    still = [
        Answered(batch=1, segment="s", user=None, latency=0.0, tokens=5, reward=float(i % 2))
        for i in range(100)
    ]
    assert fit_confounds(still).of(still) == [0.0] * 100
