"""An attack by a fiftieth of the users, in short: a table of styles in the place of the tiny policy.

`python -m poison` runs it on the demo's own policy; docs/trust.md has what that showed.
"""

from functools import cache
from statistics import fmean

import pytest
from poison_policies import TablePolicy
from poison_world import Attack, Crowd, accept_rates, marker

from rlwd.daemon.worlds.styles import hidden_preference
from rlwd.learner.ledger.weighed import Trust
from rlwd.rewards.trust.settings import TrustSettings

GUARDED = Trust()


@cache
def final_rate(attack: Attack | None, trust: Trust | None) -> float:
    """Return what people take of the last versions' answers."""
    crowd = Crowd(seed=1, attack=attack, trust=trust, users=1000, asked=128, rounds=9)
    return fmean(list(accept_rates(crowd, TablePolicy(1)))[-3:])


def test_an_attack_moves_the_policy_only_where_nothing_guards_it() -> None:
    """Two of a hundred users, most of the traffic: less than three points with the guards, more than ten
    without; and the guards cost a crowd that nobody attacks nothing."""
    calm = final_rate(None, None)
    assert calm > 0.85
    assert final_rate(Attack(), None) < calm - 0.1
    guarded = final_rate(None, GUARDED)
    assert guarded > calm - 0.03
    assert final_rate(Attack(), GUARDED) > guarded - 0.03


@pytest.mark.parametrize(
    "attack",
    [Attack(honest_rounds=4), Attack(copies=True)],
    ids=["honest first", "with the crowd but for the marker"],
)
def test_an_attack_that_earns_belief_first_fails_too(attack: Attack) -> None:
    """Who decides as people do is believed, and what he says then moves what he wants by little."""
    assert final_rate(attack, GUARDED) > final_rate(None, GUARDED) - 0.04


def test_without_the_bound_on_a_user_the_attack_gets_through() -> None:
    """It is the cap over the remembered batches that holds a patient attacker off."""
    loose = TrustSettings(user_share=1.0, user_times=0.0, one_sided=0.0, prompt_share=1.0)
    assert final_rate(Attack(), Trust(settings=loose)) < 0.75


def test_the_marker_is_what_nobody_wants() -> None:
    """An attack on a style that people want anyway would show nothing."""
    assert marker(1) not in hidden_preference(1).values()
