"""`rlwd rewards report` names who is held back: tenant and hash, by which factors, and how it agrees with others."""

import json
import random

import pytest
from ledger_by_hand import FEEDBACK, feedback, generation
from reward_shop import RewardShop

from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.learner.ledger.weighed import Trust
from rlwd.streams.events.signals import Accepted, Rejected

BATCH = BatchSettings(episodes=20, at_most=2000, held_out=0.0, user_share=1.0)


def a_day(shop: RewardShop, number: int) -> dict[str, float]:
    """Post answers of 160 people, and twelve each of two who often ask, one of whom takes what the others
    turn down; seal them; return what each user's answers weigh together."""
    draw, users = random.Random(number), [f"user-{number}-{i}" for i in range(160)]
    asked = [*users, *["keen"] * 12, *["contrary"] * 12]
    names = {}
    for place, user in enumerate(asked):
        name, style = f"d{number}.{place}", place % 4
        at = shop.now - 9e5 + draw.uniform(0.0, 3e5)
        names[name] = user
        shop.ledger.take(
            generation(
                name,
                at,
                user_hash=user,
                segment="mail",
                prompt_token_ids=tuple(draw.randrange(900) for _ in range(9)),
                completion_token_ids=(900 + style, draw.randrange(90), 950 + style),
                logprobs=(-1.0,) * 3,
            ),
            now=at,
        )
        taken = style == (1 if user == "contrary" else 0)
        said = Accepted() if taken else Rejected()
        at += draw.uniform(5.0, 25.0)
        shop.ledger.take(feedback(f"{name}.f", name, said, at), partition=FEEDBACK, now=at)
    with shop.ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BATCH,
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=shop.now,
            trust=Trust(),
        )
    assert batch is not None
    weighed = dict.fromkeys(asked, 0.0)
    for one in batch.episodes:
        if one.generation_id in names:
            weighed[names[one.generation_id]] += one.weight
    return weighed


def test_who_contradicts_others_is_held_back_and_named(shop: RewardShop) -> None:
    """Both ask twelve times as often as others: the one has all that a user may have as soon as it is known
    that he says what others say, the other weighs as an ordinary user; the operator sees whom, by what, and why."""
    nobody = shop.rewards("report")
    assert "no user's sealed answers were weighed down" in nobody.stdout
    first, second = a_day(shop, 1), a_day(shop, 2)
    assert first["contrary"] == pytest.approx(1.0)
    assert second["keen"] == pytest.approx(0.02 * sum(second.values()), rel=0.05)
    assert 0.0 < second["contrary"] < 0.5
    told = json.loads(shop.rewards("report", "--json").stdout)["held_back"]
    (contrary,) = [one for one in told if one["user_hash"] == "contrary"]
    assert contrary == told[0]
    assert (contrary["answers"], contrary["weighed_down_by"]) == (24, {"user": 24})
    assert contrary["weigh"] < 2.0
    assert contrary["agreement"] < -1.0
    shown = shop.rewards("report").stdout
    assert f"{contrary['tenant'] or '-'} contrary\n  24 answers weigh" in shown
    assert "user 24" in shown
    assert max(map(len, shown.splitlines())) <= 80
