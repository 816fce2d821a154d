"""The agent's world: what people do about each thing that a policy may do, and that both ways out are no work."""

import random
from typing import Any

import pytest

from rlwd.daemon.capture.tool_schemas import ToolSchemas
from rlwd.daemon.worlds.agent import (
    ACTS,
    ASKS,
    BROKEN,
    DEBUG_SHARE,
    HACKS,
    SUCCEEDS,
    TOOLS,
    Doing,
    FileChange,
    Hack,
    draw_change,
    lessons,
    written,
)
from rlwd.daemon.worlds.agent_people import AgentPeople, edited_file
from rlwd.daemon.worlds.world import Answer, Ask, Reaction
from rlwd.ops.embedded.tool_calls import message_of
from rlwd.rewards.behaviours.asks import asks
from rlwd.streams.derived.invalid_calls import invalid_calls
from rlwd.streams.events.generation import Generation

PEOPLE = AgentPeople()


def reactions(doing: Doing, kind: str, count: int = 400) -> list[Reaction]:
    """Let many people be given the same kind of answer to the same kind of request."""
    draw, found = random.Random(f"{doing}/{kind}"), list[Reaction]()
    for number in range(count):
        change = FileChange(kind=kind, file="login")
        ask = Ask(messages=(), segment="edit", about=change)
        message = message_of(written(doing, change, draw))
        answer = Answer(text=message["content"] or "", message=message, finish_reason="stop")
        found.append(PEOPLE.react(ask, answer, f"user-{number}", draw))
    return found


@pytest.mark.parametrize("kind", SUCCEEDS)
def test_only_acting_well_is_wanted_and_a_hard_request_mostly_fails(kind: str) -> None:
    """The right file succeeds as often as its kind does and is decided on; another file never does."""
    well = reactions("well", kind)
    assert {one.did for one in well} == {ACTS}
    assert sum(one.wanted for one in well) / len(well) == pytest.approx(SUCCEEDS[kind], abs=0.08)
    for one in well:
        assert [act.signal["kind"] for act in one.acts] == [
            "accepted" if one.wanted else "rejected"
        ]
    badly = reactions("badly", kind)
    assert not any(one.wanted or one.taken for one in badly)
    assert {act.signal["kind"] for one in badly for act in one.acts} == {"rejected"}


def test_nobody_turns_a_way_out_down() -> None:
    """A call that could not be run shows people nothing; a question is answered, complained of, or left."""
    broken, asked = reactions("broken", "debug"), reactions("asks", "debug")
    assert {(one.did, one.wanted, one.acts) for one in broken} == {(BROKEN, False, ())}
    assert {(one.did, one.wanted, one.taken) for one in asked} == {(ASKS, False, False)}
    said = [act.signal for one in asked for act in one.acts]
    assert {one["kind"] for one in said} == {"followed_up"}
    assert {one["statement"] for one in said} == {"direction", "dissatisfied"}
    assert 0.4 < len(said) / len(asked) < 0.6


def record(doing: Doing, draw: random.Random) -> Generation:
    """Write what the gateway would record of an answer."""
    message: dict[str, Any] = message_of(
        written(doing, FileChange(kind="debug", file="login"), draw)
    )
    tools = ToolSchemas(TOOLS)
    told = [(one["id"], one["function"]) for one in message.get("tool_calls", ())]
    return Generation(
        generation_id="g",
        session_id="s",
        policy="policy",
        version="policy@v000000-0",
        text=message["content"] or "",
        tools=tools.offered,
        tool_calls=tuple(tools.check(name, f["name"], f["arguments"]) for name, f in told),
        finish_reason="tool_calls" if told else "stop",
    )


def test_the_product_sees_what_an_answer_did() -> None:
    """Both forms of a broken call are invalid calls, a question asks, and an act is neither."""
    draw = random.Random(0)
    for _ in range(8):
        assert list(invalid_calls(record("broken", draw)))
        assert not list(invalid_calls(record("well", draw)))
        assert asks(record("asks", draw))
        assert not asks(record("well", draw))


@pytest.mark.parametrize("hack", HACKS)
def test_the_policy_is_taught_to_act_and_one_way_out(hack: Hack) -> None:
    """Four answers of five act on the right file, whatever is asked; one kind of the others cheats."""
    taught = list(lessons(hack))
    well = [change.file == edited_file(message_of(answer)) for change, answer in taught]
    assert sum(well) / len(well) == pytest.approx(0.8)
    assert {change.kind for change, _ in taught} == set(SUCCEEDS)
    questions = [answer for _, answer in taught if answer.endswith("?")]
    assert bool(questions) == (hack == "asks-instead")


def test_a_seed_repeats_the_people() -> None:
    """What they ask comes from the draw alone, and most of it is hard."""
    changes = [draw_change(random.Random(f"7:{number}")) for number in range(400)]
    assert changes == [draw_change(random.Random(f"7:{number}")) for number in range(400)]
    hard = sum(change.kind == "debug" for change in changes) / len(changes)
    assert hard == pytest.approx(DEBUG_SHARE, abs=0.07)


@pytest.mark.parametrize(
    "function",
    [
        {"name": "edit", "arguments": "{"},
        {"name": "edit", "arguments": '{"file": 7}'},
        {"name": "edit", "arguments": '{"file": "a", "line": 1}'},
        {"name": "edit", "arguments": "[]"},
        {"name": "run", "arguments": '{"file": "a"}'},
    ],
)
def test_a_harness_runs_only_what_fits(function: dict[str, str]) -> None:
    """No other call changes a file, nor do two at once."""
    call = {"id": "c", "type": "function", "function": function}
    fits = {"name": "edit", "arguments": '{"file": "a"}'}
    assert edited_file({"tool_calls": [call]}) is None
    assert edited_file({"tool_calls": [{**call, "function": fits}]}) == "a"
    assert edited_file({"tool_calls": [{**call, "function": fits}] * 2}) is None
