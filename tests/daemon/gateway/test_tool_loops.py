"""Tool loops on a real vLLM: real agents call a tool through every door, and their sessions are learned from."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from door_talks import ADD, ANTHROPICS, anthropic_client, by_tool_runner, openai_client
from gateway_rig import GatewayRig
from joined_by_hand import join
from real_clients import CLIENTS, RealClient
from taught_tools import AFTER_RESULT, ANSWERS, written

from rlwd.streams.events.generation import Generation
from rlwd.streams.join.fate import exclusion_from_training

# The first test makes the policy and starts its server.
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
RESULT = '{"kind":"tool_result","tool":"add","error_class":null}'
THANKS = '{"kind":"followed_up","text":"thanks","statement":null}'
AGENTS = [one for one in CLIENTS if one.script in ("agents", "aisdk")]


@pytest.fixture
def client(gateway: GatewayRig, tool_engine: str) -> httpx.Client:
    """A client of a gateway whose champion was taught to call tools."""
    gateway.set_flags()
    return gateway.open(engines=(tool_engine,))


def held_tokens(one: Generation) -> tuple[int, ...]:
    """Return what was read and written."""
    assert one.prompt_token_ids is not None
    assert one.completion_token_ids is not None
    return one.prompt_token_ids + one.completion_token_ids


def is_a_whole_session(told: list[Generation], *, strict: bool) -> None:
    """Hold the records of a call, of what followed its result, and of what followed the thanks."""
    calls, answers, last = told
    (call,) = calls.tool_calls
    assert (call.name, call.arguments, call.parses, call.fits) == (
        "add",
        '{"a": 1, "b": 2}',
        True,
        True,
    )
    assert [one.finish_reason for one in told] == ["tool_calls", "stop", "stop"]
    assert [one.text for one in told] == ["", AFTER_RESULT, ANSWERS["thanks"]]
    assert [(said.role, said.tool_call_id, said.text) for said in answers.input] == [
        ("tool", call.id, "3")
    ]
    assert [(said.role, said.text) for said in last.input] == [("user", "thanks")]
    assert [[tool.name for tool in one.tools] for one in told] == [["add"]] * 3
    assert {one.session_id for one in told} == {calls.session_id}
    assert {one.session_found for one in told} == {"beginning"}
    assert {one.capture_problem for one in told} == {""}
    for one, said in zip(told, (written(a=1, b=2), AFTER_RESULT, ANSWERS["thanks"]), strict=True):
        ids = one.completion_token_ids or ()
        assert len(ids) == len(one.logprobs or ()) == one.usage.completion_tokens
        # A token for each byte, and one for the end.
        assert len(ids) == len(said.encode()) + 1
        assert sum(one.logprobs or ()) > -3.0
        assert one.sampling.constrained is strict
    for before, after in ((calls, answers), (answers, last)):
        tokens = held_tokens(before)
        assert (after.prompt_token_ids or ())[: len(tokens)] == tokens


def is_learned_from(gateway: GatewayRig, place: Path, *, strict: bool) -> None:
    """Hold what the join makes of two such sessions: parents by tokens, signals that nobody posted."""
    told = gateway.sink.generations(6)
    for first in (0, 3):
        is_a_whole_session(told[first : first + 3], strict=strict)
    joined = join(gateway.sink.flushed, place)
    assert [(one.parent, one.link) for one in joined] == [
        (None, ""),
        (0, "tokens"),
        (1, "tokens"),
        (None, ""),
        (3, "tokens"),
        (4, "tokens"),
    ]
    assert [one.signals for one in joined] == [[RESULT], [THANKS], []] * 2
    assert [one.reward for one in joined] == [1.0, None, None] * 2
    assert {one.history for one in joined} == {""}
    kept_out = "excluded:constrained" if strict else None
    assert {exclusion_from_training(one) for one in told} == {kept_out}
    # Fates of what nobody has decided on are still to come.
    assert [one.fate for one in joined] == [kept_out or "waiting", "waiting", "waiting"] * 2


@pytest.mark.parametrize("real", AGENTS, ids=lambda real: real.name)
def test_an_agents_tool_loop_is_learned_from(
    real: RealClient, client: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """Whole and streamed, at the client's defaults; the Agents SDK's tools are strict, which is named."""
    told = real.talk(str(client.base_url).rstrip("/"), ["whole:loop", "stream:loop"])
    assert [one.text for one in told] == [ANSWERS["thanks"]] * 2
    is_learned_from(gateway, tmp_path / "state", strict=real.script == "agents")


def test_anthropics_tool_loop_is_learned_from(
    client: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """Anthropic's own tool runner, whole and streamed: ids are the records'."""
    ids = by_tool_runner(client, stream=False) + by_tool_runner(client, stream=True)
    assert [one.generation_id for one in gateway.sink.generations(6)] == ids
    is_learned_from(gateway, tmp_path / "state", strict=False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", ["chat", "responses", "messages"])
def test_what_else_comes_of_calls(
    door: str, stream: bool, client: httpx.Client, gateway: GatewayRig, tmp_path: Path
) -> None:
    """Two calls in one answer, one that does not fit its schema, one that was cut, one that was forced,
    one that the model did not end: the record has what it wrote, and what no tool could run is held
    against it."""
    ask(door, client, "both", stream)
    ask(door, client, "wrong", stream)
    ask(door, client, "hello there", stream, longest=45)
    ask(door, client, "hello there", stream, forced=True)
    ask(door, client, "hello there", stream, stop='"b"')
    two, wrong, cut, forced, half = gateway.sink.generations(5)
    assert [call.arguments for call in two.tool_calls] == ['{"a": 3, "b": 4}', '{"a": 1, "b": 2}']
    assert len({call.id for call in two.tool_calls}) == 2
    assert [(call.parses, call.fits) for call in wrong.tool_calls] == [(True, False)]
    assert (wrong.text, wrong.finish_reason) == ("Hm.\n", "tool_calls")
    assert cut.finish_reason == "length"
    # A whole answer with half a call is a text to vLLM's parser.
    assert (cut.text[:11], len(cut.tool_calls)) == (("", 1) if stream else ("<tool_call>", 0))
    assert [len(one.logprobs or ()) for one in (two, wrong, cut)] == [144, 72, 45]
    assert [one.sampling.constrained for one in (two, wrong, cut, forced)] == [False] * 3 + [True]
    assert [call.fits for call in forced.tool_calls] == [True]
    joined = join(gateway.sink.flushed, tmp_path / "state")
    invalid = RESULT.replace("null", '"invalid_arguments"')
    # So is what ended in half a call, though nobody cut it.
    assert half.finish_reason == ("tool_calls" if stream else "stop")
    unread = invalid if stream else invalid.replace('"add"', '"unnamed"')
    assert [one.signals for one in joined] == [[], [invalid], [], [], [unread]]
    assert [one.reward for one in joined] == [None, 0.0, None, None, 0.0]


def ask(
    door: str,
    client: httpx.Client,
    said: str,
    stream: bool,
    *,
    longest: int = 200,
    forced: bool = False,
    stop: str = "",
) -> None:
    """Ask by the door's SDK, and read all of the answer."""
    messages: Any = [{"role": "user", "content": said}]
    asked: dict[str, Any] = {"model": "rlwd"}
    if door == "messages":
        asked |= {"messages": messages, "max_tokens": longest, "tools": [ANTHROPICS]}
        asked |= {"tool_choice": {"type": "tool", "name": "add"}} if forced else {}
        asked |= {"stop_sequences": [stop]} if stop else {}
        with anthropic_client(client) as claude:
            if stream:
                with claude.messages.stream(**asked) as streaming:
                    streaming.get_final_message()
            else:
                claude.messages.create(**asked)
        return
    asked |= {"tool_choice": "required"} if forced else {}
    asked |= {"extra_body": {"stop": [stop]}} if stop else {}
    with openai_client(client) as api:
        if door == "responses":
            asked |= {"input": messages, "max_output_tokens": longest, "stream": stream}
            asked["tools"] = [{"type": "function", "strict": False, **ADD}]
            list(api.responses.create(**asked))
        else:
            asked |= {"messages": messages, "max_tokens": longest, "stream": stream}
            asked["tools"] = [{"type": "function", "function": ADD}]
            list(api.chat.completions.create(**asked))


def test_tokens_are_counted_as_they_are_read(client: httpx.Client, gateway: GatewayRig) -> None:
    """With tools, by the chat template: the count is the length of the recorded prompt."""
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "thanks"}]}
    asked |= {"model": "rlwd", "tools": [ANTHROPICS], "system": "be brief"}
    api = anthropic_client(client).messages
    counted = api.count_tokens(**asked).input_tokens
    api.create(max_tokens=1, **asked)
    assert len(gateway.sink.generations(1)[0].prompt_token_ids or ()) == counted
