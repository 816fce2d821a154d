"""Caps: nobody weighs more than a share, by no more than needed, and never the small for the large."""

from collections import defaultdict
from collections.abc import Hashable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlwd.rewards.trust.caps import Standing, capped, user_caps

GROUPS = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=60)
SHARES = st.floats(0.01, 1.0)


def shares(groups: list[str], factors: list[float]) -> dict[str, float]:
    sums = defaultdict[str, float](float)
    for group, factor in zip(groups, factors, strict=True):
        sums[group] += factor
    return {group: value / sum(sums.values()) for group, value in sums.items()}


@settings(deadline=None)
@given(GROUPS, SHARES)
def test_nobody_has_more_than_the_share(groups: list[str], share: float) -> None:
    """What is left holds at most the share of any group, or twice an equal part; others keep all."""
    factors = capped(groups, [1.0] * len(groups), share)
    allowed = max(share, min(1.0, 2.0 / len(set(groups))))
    left = shares(groups, factors)
    assert max(left.values()) <= allowed + 1e-9
    assert all(0.0 < factor <= 1.0 for factor in factors)
    for group, factor in zip(groups, factors, strict=True):
        if factor < 1.0:  # Only who is at the cap was cut.
            assert left[group] == pytest.approx(allowed)


def test_a_flood_is_held_to_the_share() -> None:
    """Ten users with sixty answers each beside four hundred with one: a fiftieth of the batch each."""
    users = [f"loud-{i % 10}" for i in range(600)] + [f"user-{i}" for i in range(400)]
    factors = user_caps(users, [1.0] * 1000, share=0.02, times=0.0, unnamed_share=0.5)
    left = shares(users, factors)
    assert left["loud-0"] == pytest.approx(0.02)
    assert factors[600:] == [1.0] * 400


def test_a_crowd_of_accounts_is_held_to_what_is_usual() -> None:
    """A hundred accounts with six answers each, all below the share: as much as the median user at first,
    four times that once they are remembered for as long as anything is, and all where they are believed."""
    users = [f"loud-{i % 100}" for i in range(600)] + [f"user-{i}" for i in range(400)]

    def first(**standing: Any) -> float:
        known = {f"loud-{i}": Standing(**standing) for i in range(100)}
        factors = user_caps(
            users,
            [1.0] * 1000,
            share=0.02,
            times=4.0,
            unnamed_share=0.5,
            standing=known,
            batches=21,
        )
        assert factors[600:] == [1.0] * 400
        return factors[0]

    assert first() == pytest.approx(1 / 6)
    assert first(since=20) == pytest.approx(4 / 6)
    assert first(since=10, spent=1.0) == pytest.approx(1.5 / 6)
    assert first(belief=0.5) == pytest.approx(3.5 / 6)
    assert first(belief=1.0) == 1.0


def test_one_answer_of_somebody_new_is_whole() -> None:
    """However little the median user's weighs: nobody is heavy by one."""
    weights = [1.0] * 40 + [0.2] * 60
    users = [f"user-{i}" for i in range(100)]
    assert user_caps(users, weights, share=0.02, times=4.0, unnamed_share=0.5) == [1.0] * 100


def test_the_unnamed_are_one() -> None:
    """They have their share of the rest together, and are never cut below a half for it."""
    named = [f"user-{i}" for i in range(40)]

    def pool(count: int) -> list[float]:
        users = [*named, *[None] * count]
        return user_caps(users, [1.0] * len(users), share=0.02, times=4.0, unnamed_share=0.5)[40:]

    assert pool(30) == [1.0] * 30
    assert pool(60) == pytest.approx([40 / 60] * 60)
    assert pool(400) == [0.5] * 400
    assert user_caps([None] * 5, [1.0] * 5, share=0.02, times=4.0, unnamed_share=0.5) == [1.0] * 5


def test_a_lone_name_gains_nothing_beside_the_unnamed() -> None:
    """One user with a fifth of a batch whose others are not named has a few answers' weight, and not
    half of it."""
    users = ["loud"] * 200 + [None] * 800
    factors = user_caps(users, [1.0] * 1000, share=0.02, times=4.0, unnamed_share=0.5)
    left = sum(factors[:200])
    assert left / (left + sum(factors[200:])) < 0.05


def test_a_small_tenant_gains_little_from_a_large_ones_cap() -> None:
    """No cap but a user's leaves less than a quarter: three tenants of a thousandth each gain thrice."""
    tenants = ["big"] * 997 + ["a", "b", "c"]
    factors = capped(tenants, [1.0] * 1000, 0.5, least=0.25)
    assert shares(tenants, factors)["a"] < 4 / 1000
    assert capped(["big"] * 99 + ["small"], [1.0] * 100, 0.5, least=0.25) == [1.0] * 100


def test_what_was_spent_before_counts() -> None:
    """Over five batches an account with ten answers in each has what the median user has, and by and by
    four times that: not the same again in every batch."""
    known = dict[Hashable, Standing]()
    weighed = []
    for batch in range(5):
        users = ["loud"] * 10 + [f"user-{60 * batch + i}" for i in range(60)]
        factors = user_caps(
            users,
            [1.0] * 70,
            share=0.5,
            times=4.0,
            unnamed_share=0.5,
            standing=known,
            batches=5,
        )
        weighed.append(sum(factors[:10]))
        assert factors[10:] == [1.0] * 60
        for user, factor in zip(users, factors, strict=True):
            was = known.get(user, Standing())
            known[user] = was._replace(spent=was.spent + factor)
        known = {user: one._replace(since=one.since + 1) for user, one in known.items()}
    assert weighed == pytest.approx([1.0, 0.75, 0.75, 0.75, 0.8])
    assert sum(weighed) == pytest.approx(4.05)
