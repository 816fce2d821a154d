"""Alpha spent, against simulated tests."""

import pytest

from rlwd.ops.looks.alpha_spent import alpha_spent
from rlwd.ops.statistics.look_settings import LookSettings
from rlwd.ops.statistics.passage import passage


@pytest.mark.parametrize("users", [60, 300, 3000])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_it_is_what_simulated_tests_without_an_effect_spend(users: int, alpha: float) -> None:
    """2,000 paths without an effect cross the bound for harm as often as is said."""
    simulated = passage(
        means=(1.0, 1.0),
        deviations=(1.0, 1.0),
        margin=-100.0,  # Nothing is promoted.
        most_users=float(users),
        alpha_harm=alpha,
        settings=LookSettings(),
    )
    spent = alpha_spent(users, 30, 300, alpha)
    error = (alpha * (1 - alpha) / 2000) ** 0.5
    assert spent == pytest.approx(simulated.harmed, abs=4 * error)


def test_it_only_grows_and_never_beyond_alpha() -> None:
    """Nothing is spent before the first look; in the end it is nearly all of alpha."""
    spent = [alpha_spent(users, 30, 300, 0.05) for users in (29, 30, 100, 1000, 100_000)]
    assert spent[0] == 0.0
    assert spent == sorted(spent)
    assert 0.035 < spent[-1] <= 0.05
