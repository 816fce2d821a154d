"""Agreement with others: who has it is bound by no multiple of the median user, and nobody is silenced."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, pstdev

import msgspec
import pytest
from evidence_by_hand import evidence

from rlwd.rewards.trust import agreement
from rlwd.rewards.trust.agreement import Agreed, _features, _salt, agreements
from rlwd.rewards.trust.evidence import Evidence
from rlwd.rewards.trust.settings import TrustSettings
from rlwd.rewards.trust.weighing import Past, PastUser, weigh

SETTINGS = TrustSettings(confounds=False)
STYLES = 5
BATCHES = 8
EACH = 8
"""Answers of a heavy user in a batch."""
People = Sequence[tuple[str, str, int]]
"""Of each answer in a batch its user, segment, and the style which that user wants."""


def answers(people: People, draw: random.Random) -> list[Evidence]:
    """Draw an answer for each: a style that shows in its tokens, about something, an hour from others."""
    found = []
    for number, (user, segment, wanted) in enumerate(people):
        style = draw.randrange(STYLES)
        taken = style == wanted and draw.random() < 0.88
        found.append(
            evidence(
                number,
                user=("t", user),
                segment=segment,
                reward=float(taken),
                acted_at=3600.0 * number + draw.uniform(0.0, 1800.0),
                completion=(900 + style, *(draw.randrange(300) for _ in range(5)), 950 + style),
            )
        )
    return found


def lives(heavy: People) -> dict[str, list[float]]:
    """Return what each heavy user's answers weigh in each batch, beside 400 people with one answer each."""
    draw, weighed = random.Random(1), defaultdict[str, list[float]](list)
    users = dict[tuple[str, str], PastUser]()
    for number in range(BATCHES):
        crowd = [(f"user-{number}-{i}", "mail", 0) for i in range(400)]
        batch = answers([*crowd, *heavy], draw)
        now = defaultdict[str, float](float)
        for one, told in zip(batch, weigh(batch, SETTINGS, Past(users=users)), strict=True):
            assert one.user is not None
            now[one.user[1]] += told.weight
            was = users.get(one.user) or PastUser(spent=0.0, decided=0, since=0, agreed=Agreed())
            users[one.user] = PastUser(
                spent=was.spent + told.weight,
                decided=was.decided + 1,
                since=was.since,
                agreed=was.agreed.with_more(told.agreed),
            )
        for user, before in users.items():
            users[user] = msgspec.structs.replace(before, since=before.since + 1)
        for name in {name for name, _, _ in heavy}:
            weighed[name].append(now[name])
    return weighed


def test_who_wants_what_others_want_weighs_what_he_says() -> None:
    """Eight answers in each batch, beside people with one: all eight count, from the third batch on."""
    (own,) = lives([("heavy", "mail", 0)] * EACH).values()
    assert own[0] >= 1.0
    assert own[2:] == [float(EACH)] * (BATCHES - 2)


def test_a_team_of_another_taste_is_not_silenced() -> None:
    """Ten people who want another style, with eight answers in each batch: each weighs as an ordinary
    user at once, and more with every batch; but not as eight, which would be a sixth of all."""
    weighed = lives([(f"team-{i % 10}", "mail", 1) for i in range(10 * EACH)])
    for own in weighed.values():
        assert own[0] >= 1.0
        assert 1.5 < sum(own) < EACH
        assert all(one > 0.1 for one in own)


def test_a_team_in_a_segment_of_its_own_agrees_with_itself() -> None:
    """What they want is what others of the segment want, so that all of it counts."""
    weighed = lives([(f"team-{i % 10}", "code", 1) for i in range(10 * EACH)])
    assert min(own[-1] for own in weighed.values()) == EACH


def test_decisions_without_regard_to_the_answer_have_no_agreement() -> None:
    """Over many such users z has mean 0 and standard deviation 1, however much they take."""
    draw, strict = random.Random(2), 0.2
    crowd = answers([(f"u{i}", "mail", 0) for i in range(400)], draw)
    deaf = [
        evidence(1000 + i, user=("t", f"deaf-{i}"), reward=float(draw.random() < strict))
        for i in range(400)
    ]
    mixed = [
        evidence(
            i,
            user=one.user,
            reward=one.reward,
            completion=crowd[i % 400].completion,
        )
        for i, one in enumerate([*crowd, *deaf])
    ]
    told = agreements(mixed, {})
    z = [one.sureness for one in told[400:] if one.sureness is not None]
    assert abs(fmean(z)) < 3.0 / len(z) ** 0.5
    assert 0.6 < pstdev(z) < 1.4
    honest = [one.sureness for one in told[:400] if one.sureness is not None]
    assert fmean(honest) > 0.3


def test_a_user_has_one_vote() -> None:
    """One who decides three hundred times on what others decide on once does not turn what they want."""
    draw = random.Random(3)
    people = [(f"user-{i}", "mail", 0) for i in range(200)]
    batch = answers([*people, *[("loud", "mail", 1)] * 300], draw)
    told = agreements(batch, {})
    loud = Agreed()
    for one in told[200:]:
        loud = loud.with_more(one)
    assert loud.sureness is not None
    assert loud.sureness < -2.0
    assert sum(one.score for one in told[:200]) > 0.0


def test_little_is_known_of_a_small_segment() -> None:
    """Below thirty answers, or where all are equal, nobody agrees or disagrees."""
    draw = random.Random(4)
    few = answers([(f"user-{i}", "mail", 0) for i in range(29)], draw)
    assert agreements(few, {}) == [Agreed()] * 29
    alike = [evidence(i, reward=1.0) for i in range(60)]
    assert agreements(alike, {}) == [Agreed()] * 60
    assert Agreed().belief(3.0) == 0.0
    assert agreements([], {}) == []


def test_a_segment_of_thirty_is_looked_at() -> None:
    """Thirty answers predict, one fewer do not."""
    draw = random.Random(5)
    batch = answers([(f"user-{i}", "mail", 0) for i in range(30)], draw)
    assert any(one.variance > 0.0 for one in agreements(batch, {}))
    assert agreements(batch[:29], {}) == [Agreed()] * 29


def test_two_tenants_users_of_one_name_are_two() -> None:
    """What one of them decides predicts the other's decisions, and neither shares the other's vote."""
    draw = random.Random(6)
    people = [(f"user-{i}", "mail", 0) for i in range(200)]
    batch = answers([*people, *[("loud", "mail", 1)] * 100], draw)
    assert agreements(batch, {("other", "loud"): 500}) == agreements(batch, {})
    assert agreements(batch, {("t", "loud"): 500}) != agreements(batch, {})
    split = [*batch[:200], *[replace(one, user=("other", "loud")) for one in batch[200:250]]]
    apart = agreements([*split, *batch[250:]], {})
    # The other tenant's fifty decisions are one vote more against what the two hundred want.
    assert apart != agreements(batch, {})


def test_the_order_of_a_batch_changes_nothing() -> None:
    """The same answers sealed in another order agree as they did."""
    draw = random.Random(7)
    batch = answers([(f"user-{i % 70}", "mail", i % 2) for i in range(300)], draw)
    order = draw.sample(range(300), 300)
    told, again = agreements(batch, {}), agreements([batch[at] for at in order], {})
    for at, one in zip(order, again, strict=True):
        assert abs(told[at].score - one.score) < 1e-9
        assert abs(told[at].variance - one.variance) < 1e-9


def test_nobody_can_write_what_falls_together_with_what_people_like() -> None:
    """Two tokens that share a bucket in one batch are apart in the next: its receipts decide."""
    draw = random.Random(8)
    batch = answers([(f"user-{i}", "mail", 0) for i in range(40)], draw)
    later = [replace(one, answered_at=one.answered_at + 1e-3) for one in batch]
    looks = [_features([(token,) for token in range(2000)], _salt(one)) for one in (batch, later)]
    buckets = [one.argmax(axis=1) for one in looks]
    first = buckets[0] == buckets[0][0]
    assert first.sum() > 2
    assert (buckets[1][first] == buckets[1][0]).sum() < first.sum()
    assert agreements(batch, {}) == agreements(batch, {})


def test_a_great_batch_is_fitted_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held at once is bounded, and says what one piece says."""
    draw = random.Random(9)
    batch = answers([(f"user-{i % 90}", "mail", 0) for i in range(400)], draw)
    whole = agreements(batch, {})
    monkeypatch.setattr(agreement, "AT_ONCE", 64)
    for one, other in zip(agreements(batch, {}), whole, strict=True):
        assert abs(one.score - other.score) < 1e-9
        assert abs(one.variance - other.variance) < 1e-9
