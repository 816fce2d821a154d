"""Variant: the hash is pinned by golden vectors, and shares give equal, nested groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlwd.ops.flags.assignment import (
    BUCKETS,
    ServedVersion,
    Shares,
    Variant,
    bucket,
    hash_user,
    holdout_salt,
)


@pytest.mark.parametrize(
    ("salt", "user", "expected"),
    [
        ("s1", "u1", 5501),
        ("", "", 3192),
        ("policy-000017", "0b8a", 6062),
        ("salz", "größe", 7730),
        ("policy@v000001", "7f5869472f7937382ee449fa11667e1d", 4564),
        (holdout_salt("policy"), "7f5869472f7937382ee449fa11667e1d", 1589),
    ],
)
def test_bucket_is_pinned(salt: str, user: str, expected: int) -> None:
    """A bucket is the same in every build; a changed vector reshuffles people in mid-experiment."""
    assert bucket(salt, user) == expected


def test_hash_of_a_user_is_pinned_and_keyed() -> None:
    """A user's hash depends on the key, is 32 hex digits, and does not show the user."""
    hashed = hash_user("alice@example.com", b"key")
    assert hashed == "7f5869472f7937382ee449fa11667e1d"
    assert hash_user("alice@example.com", b"other") != hashed


def test_salt_with_a_nul_is_refused() -> None:
    """A NUL in the salt would let two pairs of salt and user be one."""
    with pytest.raises(ValueError, match="salt"):
        bucket("a\0b", "u")


def test_buckets_are_even_and_independent_between_salts() -> None:
    """Each tenth of the buckets has a tenth of the users, and a new salt deals them anew."""
    users = [hash_user(str(i), b"k") for i in range(20_000)]
    first = [bucket("one", user) for user in users]
    tenths = [sum(b // 1000 == t for b in first) for t in range(10)]
    assert max(abs(count - 2000) for count in tenths) < 200  # 4.7 standard deviations
    both = sum(a < 1000 and bucket("two", u) < 1000 for a, u in zip(first, users, strict=True))
    assert abs(both - 200) < 70


SHARES = st.builds(Shares, candidate=st.integers(0, BUCKETS // 2), anchor=st.integers(0, BUCKETS))
NUMBERS = st.integers(0, BUCKETS - 1)


@given(first=SHARES, second=SHARES, number=NUMBERS, held_out=NUMBERS)
def test_growing_shares_keep_their_users(
    first: Shares, second: Shares, number: int, held_out: int
) -> None:
    """A ramp takes nobody out of candidate or control, and nobody in or out of the holdout."""
    small, large = sorted((first, second), key=lambda shares: shares.candidate)
    after = Shares(candidate=large.candidate, anchor=small.anchor).of(
        number, holdout_bucket=held_out
    )
    before = small.of(number, holdout_bucket=held_out)
    assert after is before or before is Variant.CHAMPION
    assert (after is Variant.ANCHOR) == (before is Variant.ANCHOR)


@given(first=SHARES, second=SHARES, number=NUMBERS, held_out=NUMBERS)
def test_holdout_grows_and_shrinks_at_its_edges(
    first: Shares, second: Shares, number: int, held_out: int
) -> None:
    """Whoever a smaller holdout has, a larger one has too, whatever the experiment's buckets."""
    small, large = sorted((first, second), key=lambda shares: shares.anchor)
    if small.of(number, holdout_bucket=held_out) is Variant.ANCHOR:
        assert large.of(number, holdout_bucket=held_out) is Variant.ANCHOR
    middle = BUCKETS // 2
    assert small.anchor == 0 or small.of(0, holdout_bucket=middle) is Variant.ANCHOR


@given(shares=SHARES, held_out=NUMBERS)
def test_control_is_as_large_as_the_candidate(shares: Shares, held_out: int) -> None:
    """Outside the holdout, of exactly its size, control and candidate have as many buckets."""
    dealt = [shares.of(number, holdout_bucket=held_out) for number in range(BUCKETS)]
    apart = held_out in shares.held_out
    assert dealt.count(Variant.ANCHOR) == (BUCKETS if apart else 0)
    expected = 0 if apart else shares.candidate
    assert dealt.count(Variant.CANDIDATE) == expected == dealt.count(Variant.CONTROL)
    assert len(shares.held_out) == shares.anchor


def test_shares_that_do_not_fit_are_refused() -> None:
    """Candidate and control have 10,000 buckets together, and the holdout 10,000 of its own."""
    assert Shares(candidate=5000, anchor=BUCKETS).anchor == BUCKETS
    for wrong in ({"candidate": 5001}, {"anchor": BUCKETS + 1}, {"candidate": -1}):
        with pytest.raises(ValueError, match="shares"):
            Shares(**wrong)


def test_version_carries_its_digest() -> None:
    """A name whose tail is not the digest's is refused, as is a digest that is none."""
    digest = "ab" * 32
    assert ServedVersion(version="policy@v000001-abababab", digest=digest).digest == digest
    with pytest.raises(ValueError, match="first 8 digits"):
        ServedVersion(version="policy@v000001-00000000", digest=digest)
