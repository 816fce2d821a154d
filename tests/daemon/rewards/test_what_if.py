"""`rlwd rewards what-if`: what the answers of a state would be worth under another spec."""

import json
import math

import numpy as np
import pytest
from chains_by_hand import on_session
from hypothesis import given
from hypothesis import strategies as st
from ledger_by_hand import FEEDBACK
from reward_shop import RewardShop
from talks_by_hand import Talk

from rlwd.daemon.rewards.held_answers import since_of
from rlwd.daemon.rewards.rank_agreement import kendall, spearman
from rlwd.daemon.rewards.what_if import change
from rlwd.rewards.costs.effort import length_penalty
from rlwd.streams.events.signals import Rated

HARDER = """\
name = "harder"
range = [-0.3, 1.0]
[parts]
accepted = 1.0
kept = 3.0
[undecided]
title = 0.4
[costs.effort]
weight = 0.2
scale = 10.0
"""


def test_it_says_what_would_change_and_writes_nothing(shop: RewardShop) -> None:
    """By segment and part, as a table of 80 columns and as JSON; the state is byte for byte as it was."""
    database = shop.folder / "state" / "rlwd.db"
    with shop.ledger.store.transaction() as tx:
        tx.execute("SELECT 1")
    before = database.read_bytes(), sorted(path.name for path in database.parent.iterdir())
    new = shop.spec("new.toml", HARDER)
    shown = shop.rewards("what-if", new, "--since", "60d", "--picture", "change.svg")
    assert shown.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "<svg" in (shop.folder / "change.svg").read_text()
    told = json.loads(shop.rewards("what-if", new, "--since", "60d", "--json").stdout)
    after = database.read_bytes(), sorted(path.name for path in database.parent.iterdir())
    assert after == before
    reply, title = told["segments"]
    assert (reply["segment"], reply["decided"]) == ("reply", {"now": 60, "new": 60})
    assert (title["becomes_decided"], title["becomes_undecided"]) == (10, 0)
    # The record has no counts of tokens but its own: one token written, an effort just below 1.
    effort = next(one["new"]["mean"] for one in told["parts"] if one["part"] == "effort")
    assert title["reward"] == {
        "now": None,
        "new": pytest.approx((0.4 - 0.2 * effort + 0.3) / 1.3),
    }
    assert 0.0 < reply["signs"] < 1.0
    kept = next(one for one in told["parts"] if (one["segment"], one["part"]) == ("reply", "kept"))
    assert (kept["now"]["weight"], kept["new"]["weight"], kept["new"]["known"]) == (1.0, 3.0, 15)
    assert all(one["generation_id"] in shown.stdout for one in told["most_changed"])
    assert told["answers_per_second"] > 0


def test_the_same_spec_changes_nothing(shop: RewardShop) -> None:
    """Every rank and sign stays, and it says so in words."""
    text = 'name = "x"\n[parts]\naccepted = 1.0\n'
    path = shop.spec("same.toml", text)
    config = shop.folder / "rlwd.toml"
    config.write_text('reward_spec = "same.toml"\n' + config.read_text())
    done = shop.rewards("what-if", path)
    assert "no answer that is decided under both would be worth anything else" in done.stdout
    told = json.loads(shop.rewards("what-if", path, "--json").stdout)
    assert told["answers"] == 50, "of the last week alone"
    assert told["segments"][0]["rank"] == pytest.approx(1.0)
    assert (told["segments"][0]["signs"], told["segments"][0]["changed"]) == (0.0, 0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.toml"], "nowhere.toml: No such file"),
        (["broken.toml"], r"broken.toml: $.parts.acepted: no such part; known: accepted"),
        (["good.toml", "--since", "soon"], "--since: 'soon' is not a number with s, m, h, d or w"),
        (["good.toml", "--since", "1s"], "holds no answer since 1s"),
        (["good.toml", "--picture", "no/x.svg"], "--picture: no is no folder"),
        (["good.toml", "--picture", "x.gif"], "--picture: x.gif ends in none of .svg, .png"),
        (["good.toml", "-c", "other.toml"], "other.toml"),
    ],
)
def test_bad_input_is_named(shop: RewardShop, arguments: list[str], says: str) -> None:
    """File, key or option, in one line, with status 2."""
    shop.spec("broken.toml", 'name = "x"\n[parts]\nacepted = 1\n')
    shop.spec("good.toml", 'name = "x"\n[parts]\naccepted = 1\n')
    done = shop.rewards("what-if", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_ranks_and_signs_by_hand() -> None:
    """Spearman with ties at their mean rank; a sign turns where an answer changes sides of the mean."""
    nan = math.nan
    now, new = np.array([0.0, 0.5, 1.0, nan, 1.0]), np.array([1.0, 0.5, 0.0, 1.0, nan])
    found = change(now, new)
    assert found["rank"] == pytest.approx(-1.0)
    assert found["signs"] == pytest.approx(2 / 3), "the one at the mean stays there"
    assert (found["becomes_decided"], found["becomes_undecided"], found["changed"]) == (1, 1, 2)
    ties = spearman(np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert ties == pytest.approx(3 * math.sqrt(10) / 10)
    assert spearman(np.array([1.0, 1.0]), np.array([0.0, 1.0])) is None


def test_since_is_a_duration_or_a_date() -> None:
    """From now backwards, or since a day in UTC."""
    assert since_of("2d", 200_000.0) == 200_000.0 - 172_800.0
    assert since_of("1970-01-02", 0.0) == 86_400.0
    assert since_of("", 5.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40))
def test_kendalls_tau_is_what_its_definition_says(pairs: list[tuple[int, int]]) -> None:
    """Over all pairs, one by one, ties on either side and both among them."""
    a, b = (np.array([pair[side] for pair in pairs], float) for side in (0, 1))
    one, two = (np.sign(each[:, None] - each[None, :]) for each in (a, b))
    spread = math.sqrt((one**2).sum() * (two**2).sum())
    expected = (one * two).sum() / spread if spread else None
    assert kendall(a, b) == (None if expected is None else pytest.approx(expected))


def test_it_says_what_the_learner_would_see(shop: RewardShop) -> None:
    """Weights by the profile of a signal, credit by the share of an edit's parts, and whose sign turns."""
    noisy = 'name = "noisy"\n[parts]\naccepted = 1\nedit_similarity = 3\n'
    noisy += "[trust.rejected]\nveracity = 0.75\n[trust.accepted]\nveracity = 0.75\n"
    new = shop.spec("noisy.toml", noisy)
    told = json.loads(shop.rewards("what-if", new, "--since", "60d", "--json").stdout)
    reply = next(one for one in told["segments"] if one["segment"] == "reply")
    seen = reply["learner"]
    # Of accepted (1), edited (1) and kept (1) an edit is a half or a third; of the new spec nearly all:
    # an acceptance tells (2 x 0.75 - 1)^2 of its weight.
    assert 1 / 3 <= seen["credit"]["now"] <= 1 / 2
    assert seen["credit"]["new"] == pytest.approx(3 / 3.25)
    assert seen["credited"]["now"] == seen["credited"]["new"] == 12
    assert seen["weight"]["new"] < seen["weight"]["now"]
    assert 0.0 <= seen["signs"] <= 1.0
    edits = next(
        one
        for one in told["parts"]
        if (one["segment"], one["part"]) == ("reply", "edit_similarity")
    )
    assert edits["tau"] == pytest.approx(1.0), "the part itself says the same under both"
    assert -1.0 <= reply["tau"] < 1.0
    shown = shop.rewards("what-if", new, "--since", "60d").stdout
    assert "As the learner sees it" in shown
    assert "left out: what is fitted on earlier batches" in shown
    assert "latency and user" in told["left_out"]
    assert max(map(len, shown.splitlines())) <= 80


def test_feedback_on_chains_is_attributed_as_each_spec_says(shop: RewardShop) -> None:
    """What reaches the last answer now would reach all three, and a cost over the chain would be one."""
    talk, at = Talk("a", session="chat"), shop.now - 7200.0
    shop.ledger.take(
        *(talk.turn(at + n, segment="chat", user_hash="ada") for n in range(3)), now=at
    )
    said = on_session("f", Rated(value=0.5), at + 5, session="chat")
    shop.ledger.take(said, partition=FEEDBACK, now=at + 5)
    text = 'name = "chain"\n[attribution]\nrated = "chain"\n[parts]\nrated = 1\n'
    text += 'range = [-1.0, 1.0]\n[costs.effort]\nover = "chain"\nweight = 0.1\nscale = 9.0\n'
    new = shop.spec("chain.toml", text.replace("range = [-1.0, 1.0]\n", ""))
    told = json.loads(shop.rewards("what-if", new, "--json").stdout)
    chat = next(one for one in told["segments"] if one["segment"] == "chat")
    assert (chat["decided"], chat["becomes_decided"]) == ({"now": 1, "new": 3}, 2)
    cost = next(one["new"] for one in told["parts"] if one["part"] == "effort")
    assert cost["mean"] == pytest.approx(length_penalty(9.0, 0.001, 0.5) / 9.0)
    assert chat["reward"]["new"] == pytest.approx(0.5 - 0.1 * cost["mean"])
    shown = shop.rewards("explain", "chat.a0", "--spec", new).stdout
    assert "(of its chain, 2 answers later, by 1)" in " ".join(shown.split())
    assert "over the 3 answers of its chain, 9 tokens and 0 calls, with 2 answers after it" in (
        " ".join(shown.split())
    )
    assert max(map(len, shown.splitlines())) <= 80
    assert "no reward" in shop.rewards("explain", "chat.a0").stdout
