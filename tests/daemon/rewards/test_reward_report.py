"""`rlwd rewards report`: coverage, agreement and drift of the signals behind rewards."""

import json

from ledger_by_hand import FEEDBACK, feedback, generation
from reward_shop import WEEK, RewardShop

from rlwd.streams.events.signals import Accepted, Rejected


def test_it_counts_what_the_state_holds(shop: RewardShop) -> None:
    """Each signal's share by segment, which parts agree how often, weeks, and the specs of readings."""
    shown = shop.rewards("report")
    assert shown.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    told = json.loads(shop.rewards("report", "--json").stdout)
    assert told["coverage"] == {
        "accepted": 40,
        "rejected": 20,
        "kept": 15,
        "edited": 12,
        "copied": 1,
    }
    assert told["segments"]["title"]["coverage"] == {"copied": 1}
    assert told["segments"]["reply"]["decided"] == 60
    agree = {tuple(one["parts"]): (one["answers"], one["agree"]) for one in told["agreement"]}
    # Half kept speaks for an answer; of every fourth answer a third was turned down.
    assert agree["accepted", "kept"] == (15, 10 / 15)
    assert [one["answers"] for one in told["weeks"]] == [20, 50]
    assert told["specs"] == [{"spec": told["specs"][0]["spec"], "answers": 60, "forgotten": 0}]


def test_a_week_that_drifts_is_named(shop: RewardShop) -> None:
    """By more than three standard errors from the weeks before it; a week like the others is not."""
    for week, rejected in ((3, 3), (2, 1)):
        for number in range(60):
            at, name = shop.now - week * WEEK - number, f"w{week}.{number}"
            said = Accepted() if number % 3 < rejected % 3 or number % 3 == 2 else Rejected()
            said = Rejected() if week == 2 else said
            shop.ledger.take(generation(name, at, segment="reply"), now=at)
            shop.ledger.take(feedback(f"{name}.d", name, said, at + 5), partition=FEEDBACK, now=at)
    weeks = json.loads(shop.rewards("report", "--json").stdout)["weeks"]
    assert "reward" in weeks[2]["drifted"]
    assert "accepted" in weeks[2]["drifted"]


def test_more_of_what_is_turned_down_more_often_is_no_drift(shop: RewardShop) -> None:
    """Half of a week's answers are hard and then nine tenths: each segment is taken as before."""
    for week, hard in ((3, 100), (2, 180)):
        for number in range(200):
            at, name = shop.now - week * WEEK - number, f"w{week}.{number}"
            kind, takes = ("hard", 5) if number < hard else ("easy", 1)
            said = Rejected() if number % takes else Accepted()
            shop.ledger.take(generation(name, at, segment=kind), now=at)
            shop.ledger.take(feedback(f"{name}.d", name, said, at + 5), partition=FEEDBACK, now=at)
    weeks = json.loads(shop.rewards("report", "--json").stdout)["weeks"]
    assert [one["reward"] for one in weeks[1:3]] == [0.6, 0.28]
    assert weeks[2]["drifted"] == []


def test_bad_input_is_named(shop: RewardShop) -> None:
    """An option that means nothing, and a state that is not there."""
    assert "--since: 'x' is not" in shop.rewards("report", "--since", "x").stderr
    (shop.folder / "rlwd.toml").write_text(
        'policy = "policy"\nstate = "other"\n[learner]\nmodel = "model"\n'
    )
    gone = shop.rewards("report")
    assert gone.returncode == 2
    assert "there is no state database; `rlwd run` makes it" in gone.stderr
