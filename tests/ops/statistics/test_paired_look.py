"""Mirrored answers beside the champion's: what is shown against a candidate, and how rarely wrongly."""

import numpy as np
import pytest

from rlwd.ops.statistics.guardrail import GuardrailSettings
from rlwd.ops.statistics.paired_look import look_at_pairs
from rlwd.ops.statistics.verdict import VerdictKind
from rlwd.streams.answers.exposure import MirroredPair

GUARDS = GuardrailSettings()


def pair(user: str, ours: int | None = 50, theirs: int | None = 50, **more: int) -> MirroredPair:
    return MirroredPair(
        user=user,
        failed=more.get("failed", 0),
        cut=more.get("cut", 0),
        tokens=ours,
        champion_failed=more.get("champion_failed", 0),
        champion_cut=more.get("champion_cut", 0),
        champion_tokens=theirs,
    )


def drawn(
    generator: np.random.Generator, users: int, longer: float = 1.0, cut: float = 0.1
) -> list[MirroredPair]:
    """Three requests a user, whose lengths differ by far more than the two answers to each do."""
    pairs = []
    for user in range(users):
        for _ in range(3):
            base = generator.lognormal(4.0, 1.0)
            ours, theirs = (
                round(base * generator.lognormal(0.0, 0.3) * factor) + 1 for factor in (longer, 1.0)
            )
            cuts = generator.random(2) < (cut, 0.1)
            pairs.append(
                pair(f"u{user}", ours, theirs, cut=int(cuts[0]), champion_cut=int(cuts[1]))
            )
    return pairs


def shown(pairs: list[MirroredPair], every: int = 30) -> str:
    """What is shown at the first look that shows anything; empty where none does."""
    for end in range(every, len(pairs) + 1, every):
        look = look_at_pairs(pairs[:end], GUARDS, longer=0.5)
        if look.verdict.outcome is VerdictKind.FAIL:
            return look.verdict.reason
    return ""


def test_equal_answers_are_rarely_accused() -> None:
    """Over ten looks each, two hundred candidates: at most alpha of them, with room for chance."""
    found = [shown(drawn(np.random.default_rng(seed), 100)) for seed in range(200)]
    assert sum(map(bool, found)) <= 20


@pytest.mark.parametrize(
    ("longer", "cut", "says"),
    [(2.5, 0.1, "more than 50% longer"), (1.0, 0.5, "showed nothing or were cut off")],
)
def test_much_longer_and_cut_off_answers_are_found(longer: float, cut: float, says: str) -> None:
    """Within a hundred users, in nearly all candidates."""
    found = [shown(drawn(np.random.default_rng(seed), 100, longer, cut)) for seed in range(20)]
    assert sum(says in reason for reason in found) >= 18


def test_what_is_within_the_allowance_is_rarely_accused() -> None:
    """Answers longer by a third where half as long again is allowed."""
    found = [shown(drawn(np.random.default_rng(seed), 100, 1.33)) for seed in range(60)]
    assert sum(map(bool, found)) <= 7


def test_one_that_only_fails_is_found_by_its_last_answers() -> None:
    """Without a test, and not where the champion fails as well: the engine is down then."""
    bad = [pair(f"u{n % 3}", None, 50, failed=1) for n in range(8)]
    look = look_at_pairs(bad, GUARDS, longer=0.5)
    assert look.verdict.outcome is VerdictKind.FAIL
    assert "the last 8 answers of the candidate all failed" in look.verdict.reason
    down = [pair(f"u{n % 3}", None, None, failed=1, champion_failed=1) for n in range(8)]
    assert look_at_pairs(down, GUARDS, longer=0.5).verdict.outcome is VerdictKind.WAIT


def test_unnamed_users_are_no_users() -> None:
    """Their pairs count for nothing but the run of failures; without any pair there is no data."""
    look = look_at_pairs([pair(""), pair("ann"), pair("ann")], GUARDS, longer=0.5)
    assert (look.pairs, look.users) == (2, 1)
    assert look.verdict.numbers["shadow/tokens"] == 50
    assert look_at_pairs([], GUARDS, longer=0.5).verdict.outcome is VerdictKind.NODATA
