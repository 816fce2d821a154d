"""`rlwd rewards explain`: how one answer's reward comes about."""

import json

import pytest
from ledger_by_hand import FEEDBACK, feedback
from reward_shop import RewardShop

from rlwd.streams.events.signals import Kept, Outcome, Signal, ToolResult

SPEC = """\
name = "sums"
range = [-0.2, 1.0]
[horizons]
kept = 30
[undecided]
title = 0.5
[parts]
accepted = 1.0
edit_similarity = { weight = 2.0, clip = [0.0, 0.6] }
[parts.stands]
of = "kept"
weight = 1.0
horizon = 3600
[costs.effort]
weight = 0.1
scale = 10.0
"""


def test_every_step_of_the_sum_is_shown(shop: RewardShop) -> None:
    """Signals with their horizons, parts with clip and weight, costs, range: it adds up to the reward."""
    spec = shop.spec("sums.toml", SPEC)
    told = json.loads(shop.rewards("explain", "r20", "--spec", spec, "--json").stdout)
    kept = next(one for one in told["signals"] if one["kind"] == "kept")
    assert (kept["counts"], kept["horizon_seconds"]) == (False, 30.0)
    assert kept["own_horizons"] == {"stands": True}
    parts = {one["name"]: (one["natural"], one["value"], one["weighs"]) for one in told["parts"]}
    assert parts == {
        "accepted": (1.0, 1.0, 1.0),
        "edit_similarity": (0.75, 0.6, 2.0),
        "stands": (0.5, 0.5, 1.0),
    }
    (cost,) = told["costs"]
    raw = (1.0 + 2 * 0.6 + 0.5) / 4 - 0.1 * cost["natural"] / 10
    assert told["raw"] == pytest.approx(raw)
    assert told["reward"] == pytest.approx((raw + 0.2) / 1.2)
    assert told["stored"]["spec"].startswith("test@"), "what the state has is by the daemon's spec"
    shown = shop.rewards("explain", "r20", "--spec", spec).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "no, late; stands: yes" in shown
    assert "edit_similarity, clipped to [0, 0.6]" in shown
    assert f"= {told['raw']:.3f}, on [-0.2, 1]: reward {told['reward']:.3f}" in shown


def test_an_answer_without_a_decision_says_what_stands_for_it(shop: RewardShop) -> None:
    """The spec's value once the decision is over; why there is no reward where it has none."""
    spec = shop.spec("sums.toml", SPEC)
    assert "undecided 0.500 - costs" in shop.rewards("explain", "t1", "--spec", spec).stdout
    none = shop.rewards("explain", "t1").stdout
    assert "nobody said anything of it" in none
    assert "no reward: nothing decisive came, and the spec has no value for that here" in none
    slow = shop.spec(
        "slow.toml", 'name = "s"\n[decision]\ndefault = 86400\n[parts]\naccepted = 1\n'
    )
    waits = shop.rewards("explain", "t1", "--spec", slow).stdout
    assert "nothing decisive came yet; its decision is over in 22.0 h" in waits


def test_what_was_forgotten_says_so(shop: RewardShop) -> None:
    """It cannot be worked out again: reward and spec of then are what is left."""
    with shop.ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET content = NULL WHERE generation_id = 'r1'")
    done = shop.rewards("explain", "r1")
    assert done.returncode == 0
    assert "Its content was forgotten" in done.stdout
    assert "stored: 1.000 by test@" in done.stdout
    told = json.loads(shop.rewards("explain", "r1", "--json").stdout)
    assert (told["held"], told["reward"], told["stored"]["reward"]) == (False, None, 1.0)


def test_a_late_reading_stands_beside_what_was_trained_on(shop: RewardShop) -> None:
    """Where comparisons read something else than the stored reward, both are shown."""
    with shop.ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET stage = 'closed', batch_id = 7 WHERE generation_id = 'r1'")
    at = shop.now - 7200.0
    late = feedback("r1.l", "r1", Kept(fraction=0.0, horizon_seconds=60.0), at)
    shop.ledger.take(late, partition=FEEDBACK, now=at)
    shown = shop.rewards("explain", "r1").stdout
    assert "stored: 1.000 by test@" in shown
    assert "in comparisons: 0.500 by test@" in shown


def test_a_signal_says_which_it_is(shop: RewardShop) -> None:
    """Of two outcomes, and of a tool that failed, an operator is to know which and how."""
    at = shop.now - 7000.0
    said: list[Signal] = [
        Outcome(name="merged", value=1.0),
        ToolResult(tool="grep", error_class="timeout"),
    ]
    shop.ledger.take(
        *[feedback(f"r1.{place}", "r1", one, at) for place, one in enumerate(said)],
        partition=FEEDBACK,
        now=at,
    )
    shown = shop.rewards("explain", "r1").stdout
    assert "outcome merged value=1" in shown
    assert "tool_result grep timeout" in shown


def test_an_unknown_answer_is_named(shop: RewardShop) -> None:
    """With status 2."""
    done = shop.rewards("explain", "nobody")
    assert (done.returncode, done.stderr.strip()) == (2, "rlwd: nobody: no such answer of 'policy'")
