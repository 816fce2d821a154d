"""One user's share of a batch: bounded, stable in order, and never a reason to learn nothing."""

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rlwd.learner.ledger.user_share import beyond_share

USERS = st.lists(st.sampled_from([None, "ann", "ben", "cas", "dan", "eve"]), max_size=60)
SHARES = st.floats(0.01, 1.0)


@settings(deadline=None)
@given(USERS, SHARES)
def test_nobody_has_more_than_the_share(users: list[str | None], share: float) -> None:
    """What stays holds at most the share of any named user, an equal part, or one answer."""
    kept = [user for user, out in zip(users, beyond_share(users, share), strict=True) if not out]
    named = Counter(user for user in kept if user is not None)
    allowed = max(share, 1.0 / max(len(named), 1)) * len(kept)
    assert all(count <= max(1, math.floor(allowed + 1e-6)) for count in named.values())


@settings(deadline=None)
@given(USERS, SHARES)
def test_the_first_answers_stay(users: list[str | None], share: float) -> None:
    """Of one user the earlier, wanted more, stay; nobody is shut out; the unnamed all stay."""
    beyond = beyond_share(users, share)
    for user in set(users):
        mine = [out for who, out in zip(users, beyond, strict=True) if who == user]
        assert mine == sorted(mine)
        assert mine[0] is False
        assert user is not None or not any(mine)


def test_one_heavy_user_is_cut_to_the_share() -> None:
    """Nine hundred answers to one and four each to a hundred: a tenth of the batch is the one's."""
    users = ["heavy"] * 900 + [f"user-{number}" for number in range(100)] * 4
    beyond = beyond_share(users, 0.1)
    assert beyond.count(False) == 444
    assert beyond[:44] == [False] * 44
    assert all(beyond[44:900])
