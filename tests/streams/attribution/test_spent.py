"""A cost over a chain is what all its answers took together, charged to each, whoever comes first."""

import json
from pathlib import Path
from typing import Any

import pytest
from chains_by_hand import SPENDING, on_session, rewards, with_spec
from ledger_by_hand import FEEDBACK, SPEC, Ledger, feedback
from talks_by_hand import Talk, call, person

from rlwd.rewards.costs.effort import length_penalty
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import load_spec
from rlwd.streams.attribution.spent import NOTHING, with_chains
from rlwd.streams.events.signals import Accepted, Outcome
from rlwd.streams.events.usage import ChainSpent
from rlwd.streams.join.episodes_table import load_episodes

SUMMARY = "The person wants a shop that sells bread, and the shop has a page for the bread by now."


@pytest.fixture
def spending(ledger: Ledger) -> Ledger:
    """A ledger whose spec takes two costs over the chain."""
    return with_spec(ledger, SPENDING)


def spent(ledger: Ledger) -> dict[str, ChainSpent | None]:
    """Return what each answer's chain took, as a reward sees it."""
    with ledger.store.reading() as view:
        rows = view.execute("SELECT generation_id FROM episodes WHERE received IS NOT NULL")
        found = load_episodes(view, "policy", sorted(name for (name,) in rows.fetchall()))
        amounts = Scorer(SPENDING).amounts
        return {
            one.id: one.chain for one in with_chains(view, "policy", found, amounts, keep=False)
        }


def costs(ledger: Ledger, name: str) -> dict[str, Any]:
    (parts,) = ledger.ask("SELECT parts FROM episodes WHERE generation_id = ?", name)
    return {key: value for key, value in json.loads(bytes(parts)).items() if value[1] < 0}


def test_every_answer_is_charged_what_all_took(spending: Ledger) -> None:
    """Three answers of three tokens, one with a call: the whole cost of each, and half of it a turn back."""
    talk = Talk("a")
    spending.take(talk.turn(1.0), talk.turn(2.0, calls=(call("c"),)), talk.turn(3.0))
    spending.take(on_session("f", Outcome(name="sold", value=1.0), 5.0), partition=FEEDBACK)
    whole = length_penalty(9.0 + 1.0, 0.1, 0.5) / 20.0
    for steps, name in enumerate(("s.a2", "s.a1", "s.a0")):
        assert costs(spending, name) == {
            "calls": [pytest.approx(whole), -0.5],
            "turns": [pytest.approx(3.0 / 8.0), -0.25 * 0.5**steps],
        }
    last = (1.0 - 0.5 * whole - 0.25 * 3.0 / 8.0 + 0.75) / 1.75
    assert rewards(spending)[2][0] == pytest.approx(last)


def test_a_turn_that_comes_later_is_charged_to_those_before(spending: Ledger) -> None:
    """What waits is revised; a batch keeps what was sealed, and a comparison reads the new value."""
    talk = Talk("a")
    spending.take(talk.turn(1.0), talk.turn(2.0))
    said = [feedback(f"f{n}", f"s.a{n}", Accepted(), 2.5) for n in range(2)]
    spending.take(*said, partition=FEEDBACK)
    before = rewards(spending)
    with spending.store.transaction() as tx:
        tx.execute(
            "UPDATE episodes SET stage = 'sealed', batch_id = 1 WHERE generation_id = 's.a0'"
        )
    spending.take(talk.turn(3.0))
    after = rewards(spending)
    assert after[0] == before[0], "in its batch"
    assert after[1][0] is not None
    assert before[1][0] is not None
    assert after[1][0] < before[1][0], "a longer chain, and one step back"
    (late,) = spending.ask("SELECT late_reward FROM episodes WHERE generation_id = 's.a0'")
    assert late < before[0][0]
    assert spending.ask("SELECT SUM(late) FROM episodes") == (0,), "nobody said anything late"


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 2, 4, 1, 0, 3)])
def test_subagents_and_restarts_are_counted_once(spending: Ledger, order: tuple[int, ...]) -> None:
    """A call's subagent, and the session that went on from a summary, are of one piece of work."""
    main, agent = Talk("a"), Talk("agent", session="sub", tokens=list(range(500, 540)))
    again = Talk("b", session="t", tokens=list(range(900, 940)))
    summary = SUMMARY * 3
    raw = [
        main.turn(1.0, calls=(call("c1"),), user_hash="ada"),
        agent.turn(2.0, call_id="c1", user_hash="ada"),
        agent.turn(3.0, user_hash="ada"),
        main.turn(4.0, text=summary, user_hash="ada"),
        again.turn(5.0, person(f"So far: {summary}"), user_hash="ada"),
        main.turn(6.0, user_hash="bob"),
    ]
    for place in order:
        spending.take(raw[place])
    found = spent(spending)
    assert {name: one.steps for name, one in found.items() if one is not None} == {
        "s.a0": 2,
        "sub.agent0": 2,
        "sub.agent1": 2,
        "s.a1": 1,
        "t.b0": 0,
        "s.a2": 0,
    }
    bobs = found.pop("s.a2")
    assert bobs is not None
    assert bobs.amounts.turns == 1.0, "another person's work under the same name"
    assert {one.amounts[4:] for one in found.values() if one is not None} == {(1.0, 5.0)}
    tokens = {sum(one.amounts[:4]) for one in found.values() if one is not None}
    assert [*tokens] == [pytest.approx(15.0)]
    assert len({one.amounts for one in found.values() if one is not None}) == 1


def test_what_nobody_counted_is_a_turn_and_no_tokens(spending: Ledger) -> None:
    """An answer without tokens in its record adds its turn; alone it has no cost at all."""
    talk = Talk("a")
    bare: dict[str, Any] = {"completion_token_ids": None, "logprobs": None}
    spending.take(talk.turn(1.0, **bare))
    assert spent(spending)["s.a0"] == ChainSpent(NOTHING._replace(turns=1.0), 1, 0)
    spending.take(feedback("f", "s.a0", Accepted(), 2.5), partition=FEEDBACK)
    assert [value for value, _ in costs(spending, "s.a0").values()] == [None, None]
    spending.take(talk.turn(3.0))
    assert [costs(spending, "s.a0")[key][0] is None for key in ("calls", "turns")] == [False] * 2


def test_a_state_from_before_counts_what_it_holds(ledger: Ledger) -> None:
    """Answers that no spec asked this of are counted once one does."""
    talk = Talk("a")
    ledger.take(talk.turn(1.0), talk.turn(2.0))
    assert ledger.ask("SELECT COUNT(amounts) FROM episodes") == (0,)
    with_spec(ledger, SPENDING)
    ledger.take(feedback("f", "s.a1", Accepted(), 2.5), partition=FEEDBACK)
    assert ledger.ask("SELECT COUNT(amounts) FROM episodes") == (2,)
    assert costs(ledger, "s.a1")["turns"][0] == pytest.approx(2 / 8.0)


def test_only_effort_is_taken_over_a_chain(tmp_path: Path) -> None:
    """Another cost is refused by its key; the key changes the version, and is left out where it says nothing."""
    path = tmp_path / "spec.toml"
    head = 'name = "x"\n[parts]\naccepted = 1.0\n'
    path.write_text(head + '[costs.asking]\nweight = 0.1\nover = "chain"\n')
    with pytest.raises(ValueError, match=r"\$\.costs\.asking\.over: asking is of one answer"):
        load_spec(path)
    path.write_text(head + '[costs.effort]\nweight = 0.1\nover = "last"\n')
    with pytest.raises(ValueError, match=r"\$\.costs\.effort\.over"):
        load_spec(path)
    versions = set()
    for over in ("", 'over = "chain"', "over = { discount = 0.9 }"):
        path.write_text(head + f"[costs.effort]\nweight = 0.1\n{over}\n")
        versions.add(load_spec(path).version)
    assert len(versions) == 3
    assert not Scorer(SPEC).over_chain
