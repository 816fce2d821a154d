"""Variant: the hash is pinned by golden vectors, and shares give equal, nested groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlwd.ops.flags.assignment import BUCKETS, ServedVersion, Shares, Variant, bucket, hash_user


@pytest.mark.parametrize(
    ("salt", "user", "expected"),
    [
        ("s1", "u1", 5501),
        ("", "", 3192),
        ("policy-000017", "0b8a", 6062),
        ("salz", "größe", 7730),
        ("policy@v000001", "7f5869472f7937382ee449fa11667e1d", 4564),
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


@given(
    candidate=st.integers(0, 5000),
    anchor=st.integers(0, BUCKETS),
    more=st.integers(0, 5000),
    number=st.integers(0, BUCKETS - 1),
)
def test_growing_shares_keep_their_users(
    candidate: int, anchor: int, more: int, number: int
) -> None:
    """A ramp takes nobody out of candidate or control."""
    if 2 * candidate + anchor > BUCKETS or 2 * (candidate + more) + anchor > BUCKETS:
        return
    before = Shares(candidate=candidate, anchor=anchor).of(number)
    after = Shares(candidate=candidate + more, anchor=anchor).of(number)
    if before in (Variant.CANDIDATE, Variant.CONTROL):
        assert after is before


@given(candidate=st.integers(0, 5000), anchor=st.integers(0, BUCKETS))
def test_control_is_as_large_as_the_candidate(candidate: int, anchor: int) -> None:
    """Every bucket is one variant's, the control's count is the candidate's, the anchor's its own."""
    if 2 * candidate + anchor > BUCKETS:
        with pytest.raises(ValueError, match="shares"):
            Shares(candidate=candidate, anchor=anchor)
        return
    shares = Shares(candidate=candidate, anchor=anchor)
    dealt = [shares.of(number) for number in range(BUCKETS)]
    assert dealt.count(Variant.CANDIDATE) == candidate == dealt.count(Variant.CONTROL)
    assert dealt.count(Variant.ANCHOR) == anchor


def test_version_carries_its_digest() -> None:
    """A name whose tail is not the digest's is refused, as is a digest that is none."""
    digest = "ab" * 32
    assert ServedVersion(version="policy@v000001-abababab", digest=digest).digest == digest
    with pytest.raises(ValueError, match="first 8 digits"):
        ServedVersion(version="policy@v000001-00000000", digest=digest)
