"""Turns find their parents at the join, by each rule, in whatever order they come."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ledger_by_hand import Ledger, generation, open_ledger
from talks_by_hand import Talk, call, held, links, person, record_of, result, signals

from rlwd.streams.events.input_message import answer_digest
from rlwd.streams.events.tool_use import OfferedTool
from rlwd.streams.join.fate import JoinSettings
from rlwd.streams.sessions.turns_table import TURNS_KEPT


def test_a_conversation_is_a_chain(ledger: Ledger) -> None:
    """Each turn goes on from the one before, and its prompt is given back as it came."""
    talk = Talk("a")
    raw = [talk.turn(float(n)) for n in range(6)]
    for one in raw:
        ledger.take(one)
    names = talk.turns
    assert links(ledger) == {
        names[0]: (None, "", ""),
        **{b: (a, "tokens", "") for a, b in pairwise(names)},
    }
    for name, one in zip(names, raw, strict=True):
        assert held(ledger, name) == record_of(one)


@pytest.mark.parametrize("together", [False, True])
def test_a_parent_that_comes_late_is_found(ledger: Ledger, together: bool) -> None:
    """Whichever comes first, links and derived signals are the same."""
    talk = Talk("a")
    raw = [talk.turn(float(n)) for n in range(3)]
    backwards = [raw[2], raw[0], raw[1]]
    if together:
        ledger.take(*backwards)
    else:
        for one in backwards:
            ledger.take(one)
    a, b, c = talk.turns
    assert links(ledger) == {a: (None, "", ""), b: (a, "tokens", ""), c: (b, "tokens", "")}
    assert signals(ledger) == [(a, "followed_up", b), (b, "followed_up", c)]
    assert [held(ledger, name) for name in talk.turns] == [record_of(one) for one in raw]


def test_branches_and_parallel_talks_stay_apart(ledger: Ledger) -> None:
    """Two talks of one session do not mix, and two continuations of one answer have one parent."""
    one, two = Talk("one"), Talk("two", tokens=list(range(500, 550)))
    for at in range(3):
        ledger.take(one.turn(float(at)), two.turn(at + 0.5))
    branch = Talk("branch", tokens=list(one.tokens), answers=3, said=one.said)
    branch.tokens += [9, 9, 9]
    ledger.take(branch.turn(9.0), one.turn(10.0))
    found = links(ledger)
    assert found["s.branch0"][:2] == ("s.one2", "tokens")
    assert found["s.one3"][:2] == ("s.one2", "tokens")
    assert found["s.two2"][:2] == ("s.two1", "tokens")


def test_what_the_product_names_is_believed(ledger: Ledger) -> None:
    """A named parent of the session wins over tokens; one of another session started a subagent."""
    talk = Talk("a")
    ledger.take(talk.turn(0.0), talk.turn(1.0))
    ledger.take(talk.turn(2.0, parent_id="s.a0"))
    agent = Talk("agent", session="other")
    ledger.take(agent.turn(3.0, parent_id="s.a1"))
    found = links(ledger)
    assert found["s.a2"][:2] == ("s.a0", "named")
    assert found["other.agent0"] == ("s.a1", "subagent", "")


@pytest.mark.parametrize(
    "more",
    [
        {"calls": (call("call-1", valid=False),), "text": ""},
        {"tools": (OfferedTool(name="add", digest="ab" * 32),), "text": '<tool_call>\n{"name": '},
        {"finish_reason": "abort"},
    ],
    ids=["invalid", "unread", "left"],
)
def test_an_answer_alone_in_its_session_speaks_for_itself(
    more: dict[str, Any], tmp_path: Path
) -> None:
    """What its own record says of it is told though no other turn ever comes."""
    ledger = open_ledger(tmp_path / "rlwd.db")
    ledger.joiner.settings = JoinSettings(leaving_interrupts=True)
    ledger.take(Talk("a").turn(0.0, **more))
    kind = "interrupted" if "finish_reason" in more else "tool_result"
    assert signals(ledger) == [("s.a0", kind, "s.a0")]
    ledger.store.close()


def test_a_named_parent_may_come_later(ledger: Ledger) -> None:
    """The link stands before the parent has come, and the signals follow once it has."""
    talk = Talk("a")
    first, second = talk.turn(0.0), talk.turn(1.0, parent_id="s.a0")
    ledger.take(second)
    assert links(ledger)["s.a1"][:2] == ("s.a0", "named")
    assert signals(ledger) == []
    ledger.take(first)
    assert signals(ledger) == [("s.a0", "followed_up", "s.a1")]


@pytest.mark.parametrize("late", [False, True])
def test_where_tokens_differ_calls_and_answers_tell(ledger: Ledger, late: bool) -> None:
    """A template that leaves thoughts out of the history breaks the tokens; a result names its
    call, and the last answer is told by what it said. What both begin with is kept once."""
    talk = Talk("a")
    first = talk.turn(0.0, calls=(call("call-1"),), text="")
    talk.tokens[41:] = [7]
    second = talk.turn(1.0, result("call-1", "3"))
    talk.tokens[-2:] = [8]
    third = talk.turn(2.0, person("thanks"))
    for one in (third, second, first) if late else (first, second, third):
        ledger.take(one)
    found = links(ledger)
    assert found["s.a1"] == ("s.a0", "tool_result", "")
    assert found["s.a2"] == ("s.a1", "answer", "")
    assert held(ledger, "s.a2") == record_of(third)
    assert signals(ledger) == [("s.a0", "tool_result", "s.a1"), ("s.a1", "followed_up", "s.a2")]


@pytest.mark.parametrize("late", [False, True])
def test_an_answer_that_reads_back_as_other_tokens_is_still_the_parent(
    ledger: Ledger, late: bool
) -> None:
    """The prompt continues the tokens of the turn before it alone; the last answer tells who is nearer."""
    talk = Talk("a")
    first, second = talk.turn(0.0), talk.turn(1.0, text="something else")
    talk.tokens[-2:] = [8]
    third = talk.turn(2.0, person("thanks"))
    for one in (third, second, first) if late else (first, second, third):
        ledger.take(one)
    found = links(ledger)
    assert found["s.a1"] == ("s.a0", "tokens", "")
    assert found["s.a2"] == ("s.a1", "answer", "")
    assert held(ledger, "s.a2") == record_of(third)


def test_a_call_that_reads_back_as_other_tokens_is_still_the_parent(ledger: Ledger) -> None:
    """Its result names it, though the prompt continues the tokens of the turn before it alone."""
    talk = Talk("a")
    first, second = talk.turn(0.0), talk.turn(1.0, calls=(call("call-1"),), text="")
    talk.tokens[-2:] = [8]
    ledger.take(first, second, talk.turn(2.0, result("call-1", "3")))
    assert links(ledger)["s.a2"] == ("s.a1", "tool_result", "")


def test_a_summary_is_where_the_conversation_goes_on(ledger: Ledger) -> None:
    """Compaction: a prompt that restarts from a text that the model wrote is linked to it."""
    talk, summary = Talk("a"), "They want sums. So far 1 + 2 was asked, and it is 3."
    ledger.take(talk.turn(0.0), talk.turn(1.0, person("Summarise."), text=summary))
    anew = Talk("anew", tokens=list(range(900, 950)))
    ledger.take(anew.turn(2.0, person(f"Go on from here:\n{summary}\nNow 2 + 2.")))
    assert links(ledger)["s.anew0"] == ("s.a1", "summary", "")
    # What it begins with is no word about the summary.
    assert signals(ledger) == [("s.a0", "followed_up", "s.a1")]


@pytest.mark.parametrize("named", [False, True])
def test_a_subagent_is_linked_to_the_call_that_started_it(ledger: Ledger, named: bool) -> None:
    """By the call's id in a header, or as the session's own name; only its first turn is."""
    talk = Talk("a")
    ledger.take(talk.turn(0.0, calls=(call("call-77", "task"),)))
    agent = Talk("agent", session="sub" if named else "call-77")
    more: dict[str, Any] = {"call_id": "call-77"} if named else {}
    ledger.take(agent.turn(1.0, **more), agent.turn(2.0, **more))
    found = links(ledger)
    assert found[agent.turns[0]] == ("s.a0", "subagent", "")
    assert found[agent.turns[1]] == (agent.turns[0], "tokens", "")


def test_names_of_other_tenants_lead_nowhere(ledger: Ledger) -> None:
    """One session name, and one call id, in two tenants are two."""
    mine, theirs = Talk("a"), Talk("b")
    ledger.take(mine.turn(0.0, calls=(call("call-1"),), tenant="t1"))
    theirs.tokens = list(mine.tokens)
    theirs.answers, theirs.said = 1, mine.said
    ledger.take(theirs.turn(1.0, result("call-1", "3"), tenant="t2"))
    assert links(ledger)["s.b0"] == (None, "", "foreign")
    assert signals(ledger) == []


def test_side_requests_and_mirrored_answers_are_no_turns(ledger: Ledger) -> None:
    """They go on from nothing, nothing goes on from them, and they say nothing of an answer."""
    talk = Talk("a")
    ledger.take(talk.turn(0.0))
    title = Talk("title", tokens=list(talk.tokens), answers=1, said=talk.said)
    mirrored = Talk("mirrored", tokens=list(talk.tokens), answers=1, said=talk.said)
    ledger.take(title.turn(1.0, side_request="title"), mirrored.turn(1.0, variant="shadow"))
    assert links(ledger)["s.title0"] == links(ledger)["s.mirrored0"] == (None, "", "")
    assert signals(ledger) == []


def test_a_switch_in_mid_chat_is_tagged(ledger: Ledger) -> None:
    """A turn whose history another version wrote says so, and so do all after it until the end."""
    talk = Talk("a")
    versions = ["v1", "v1", "v2", "v2"]
    for at, version in enumerate(versions):
        ledger.take(talk.turn(float(at), version=version))
    assert [links(ledger)[name][2] for name in talk.turns] == ["", "", "switched", "switched"]


def test_an_answer_that_nobody_here_gave_is_foreign(ledger: Ledger) -> None:
    """Another model wrote in it: at the beginning, or between two of our turns."""
    taken_over = Talk("b", session="s2", answers=3, said="as another model said")
    ledger.take(taken_over.turn(0.0), taken_over.turn(1.0))
    talk = Talk("a")
    ledger.take(talk.turn(0.0))
    talk.answers += 1
    talk.said = "as another model said"
    ledger.take(talk.turn(1.0))
    found = links(ledger)
    assert [found[name][2] for name in taken_over.turns] == ["foreign", "foreign"]
    assert found["s.a1"] == ("s.a0", "tokens", "foreign")
    # What the person said was about the other one's answer.
    assert signals(ledger) == [("s2.b0", "followed_up", "s2.b1")]


def test_history_is_put_right_by_a_late_parent(ledger: Ledger) -> None:
    """All that go on from the late one change with it."""
    talk = Talk("a")
    raw = [talk.turn(float(n), version="v1" if n else "v0") for n in range(4)]
    for one in (raw[1], raw[2], raw[3]):
        ledger.take(one)
    assert [links(ledger)[n][2] for n in talk.turns[1:]] == ["foreign"] * 3
    ledger.take(raw[0])
    assert [links(ledger)[n][2] for n in talk.turns] == ["", *["switched"] * 3]


def test_one_session_for_all_traffic_stays_bounded(ledger: Ledger) -> None:
    """A product that calls everything one session slows nothing down: the last turns are known."""
    for start in range(0, 400, 100):
        ledger.take(*[Talk(f"t{n}-").turn(float(n)) for n in range(start, start + 100)])
    talk = Talk("last")
    ledger.take(talk.turn(500.0))
    ledger.take(talk.turn(501.0))
    assert ledger.ask("SELECT COUNT(*) FROM turns")[0] <= TURNS_KEPT + 101
    assert links(ledger)["s.last1"][:2] == ("s.last0", "tokens")


def test_a_circle_that_a_product_names_ends(ledger: Ledger) -> None:
    """Two turns that name each other are kept whole, and read back."""
    one, two = Talk("a"), Talk("b")
    raw = one.turn(0.0, parent_id="s.b0"), two.turn(1.0, parent_id="s.a0")
    ledger.take(*raw)
    assert held(ledger, "s.a0") == record_of(raw[0])
    assert held(ledger, "s.b0") == record_of(raw[1])


def test_the_same_record_again_changes_nothing(ledger: Ledger) -> None:
    """Read again, alone or among others, it is a duplicate."""
    talk = Talk("a")
    raw = [talk.turn(float(n)) for n in range(3)]
    ledger.take(*raw)
    before = links(ledger), signals(ledger)
    assert ledger.take(*raw, raw[1]).counts.duplicate == 4
    assert (links(ledger), signals(ledger)) == before


def test_the_digest_forgives_white_space() -> None:
    """Clients trim what they send back."""
    assert answer_digest(" It is 3.\n") == answer_digest("It is 3.")
    assert answer_digest("\n") == ""


def test_a_signal_goes_where_its_turn_goes(ledger: Ledger) -> None:
    """Two answers say the same: a turn whose own parent is late is linked to the other one, until
    its parent comes; what it says is then of that, and of no other."""
    other, talk = Talk("other", tokens=list(range(700, 750))), Talk("a")
    ledger.take(other.turn(0.0, text="Done."))
    parent, child = talk.turn(1.0, text="Done."), talk.turn(2.0, person("thanks"))
    ledger.take(child)
    assert links(ledger)["s.a1"] == ("s.other0", "answer", "")
    assert signals(ledger) == [("s.other0", "followed_up", "s.a1")]
    ledger.take(parent)
    assert links(ledger)["s.a1"] == ("s.a0", "tokens", "")
    assert signals(ledger) == [("s.a0", "followed_up", "s.a1")]
    assert held(ledger, "s.a1") == record_of(child)


def test_two_records_of_one_name_are_the_first(ledger: Ledger) -> None:
    """In another session the second would be a turn whose record says that it is of the first's."""
    first, second = Talk("g", session="s"), Talk("g", session="t")
    early = first.turn(1.0)
    twin = json.loads(second.turn(1.0))
    twin["data"]["generation_id"] = "s.g0"
    twin["data"]["earlier_answers"] = 1
    ledger.take(early, json.dumps({**twin, "id": "twin"}).encode())
    assert ledger.ask("SELECT COUNT(*), MIN(session_id) FROM turns") == (1, "s")
    # It came before what it would go on from, so that it would be read again.
    ledger.take(generation("t.a", 0.5, session_id="t", session_found="named"))
    assert ledger.ask("SELECT COUNT(*) FROM episodes") == (2,)


@pytest.mark.parametrize("named", [True, False])
def test_a_subagent_whose_call_comes_late_is_found(ledger: Ledger, named: bool) -> None:
    """Sessions stand on partitions of their own: the call may be read after what it started."""
    about: dict[str, Any] = {} if named else {"call_id": "call-77"}
    agent = Talk("agent", session="call-77" if named else "sub")
    first, second = agent.turn(2.0, **about), agent.turn(3.0, **about)
    ledger.take(first)
    ledger.take(second)
    ledger.take(Talk("a").turn(1.0, calls=(call("call-77"),)))
    found = links(ledger)
    assert found[agent.turns[0]][:2] == ("s.a0", "subagent")
    assert found[agent.turns[1]][:2] == (agent.turns[0], "tokens")


SUMMARY = "The person wants a shop for bread. " * 8


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("user", ["ada", "eve"])
def test_a_session_that_goes_on_from_a_summary_of_another_one(
    ledger: Ledger, order: tuple[int, ...], user: str
) -> None:
    """Of the same named person, whichever is read first; whoever else tells the same began by himself."""
    old, new = Talk("a"), Talk("b", session="t", tokens=list(range(900, 940)))
    raw = [
        old.turn(1.0, user_hash="ada"),
        old.turn(2.0, user_hash="ada", text=SUMMARY, version="policy@v000001-1"),
        new.turn(3.0, person(f"So far: {SUMMARY} Go on."), user_hash=user),
    ]
    for place in order:
        ledger.take(raw[place])
    found = links(ledger)
    assert found["t.b0"][:2] == (("s.a1", "summary") if user == "ada" else (None, ""))
    assert held(ledger, "t.b0") == record_of(raw[2])


@pytest.mark.parametrize("late", [False, True])
def test_a_summary_is_retold_without_its_last_lines_end(ledger: Ledger, late: bool) -> None:
    """A request that holds the summary and nothing else is shorter by that."""
    new = Talk("b", session="t", tokens=list(range(900, 940)))
    raw = [
        Talk("a").turn(1.0, user_hash="ada", text=SUMMARY + "\n\n"),
        new.turn(3.0, person(SUMMARY.strip()), user_hash="ada"),
    ]
    for record in reversed(raw) if late else raw:
        ledger.take(record)
    assert links(ledger)["t.b0"][:2] == ("s.a0", "summary")


def test_a_summary_that_is_not_the_persons_own_words_links_nothing(ledger: Ledger) -> None:
    """An unnamed person has no other session, and a short text is nobody's summary."""
    old = Talk("a")
    ledger.take(old.turn(1.0, user_hash="x", user_named=False, text=SUMMARY))
    new = Talk("b", session="t", tokens=list(range(900, 940)))
    ledger.take(new.turn(3.0, person(SUMMARY), user_hash="x", user_named=False))
    assert links(ledger)["t.b0"][:2] == (None, "")
