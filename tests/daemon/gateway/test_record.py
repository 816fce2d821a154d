"""The record of an agent's answer: what it thought, called and was told, as the gateway captures it."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, stream

from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage, answer_digest
from rlwd.streams.events.tool_use import ToolCall

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "required": ["a", "b"]},
    },
}
TURN = {
    "model": "rlwd",
    "tools": [ADD],
    "messages": [
        {"role": "user", "content": "What is 1 + 2?"},
        {"role": "assistant", "content": "Let me see."},
        {"role": "user", "content": "Do."},
    ],
}


def ask(gateway: GatewayRig, streamed: bool, body: Any = TURN, **headers: str) -> Generation:
    """Ask once; return what the log was told."""
    gateway.set_flags()
    client = gateway.open()
    if streamed:
        stream(client, CHAT, body, headers=headers)
    else:
        assert client.post(CHAT, json=body, headers=headers).status_code == 200
    # A streamed answer has an admission, which is not sent where its end follows.
    return gateway.sink.generations(1)[-1]


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_calls_tools_and_input(gateway: GatewayRig, streamed: bool) -> None:
    """A whole answer and a streamed one give the same record."""
    gateway.engine.reasoning = "They want a sum."
    found = ask(gateway, streamed)
    assert found.reasoning == "They want a sum."
    called = ToolCall(id="call-1", name="add", arguments='{"a": 1, "b": 2}', parses=True, fits=True)
    assert found.tool_calls == (called,)
    assert found.tool_call_count == 1
    assert [tool.name for tool in found.tools] == ["add"]
    assert found.input == (InputMessage(role="user", text="Do."),)
    assert (found.earlier_answers, found.last_answer) == (1, answer_digest("Let me see."))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_broken_call_is_told(gateway: GatewayRig, streamed: bool) -> None:
    """What the model wrote stays as it was written."""
    gateway.engine.arguments = '{"a": 1, "b"'
    (call,) = ask(gateway, streamed).tool_calls
    assert call == ToolCall(
        id="call-1", name="add", arguments='{"a": 1, "b"', parses=False, fits=False
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_without_consent_only_counts_are_kept(gateway: GatewayRig, streamed: bool) -> None:
    """No text, no call, no thought, no input; how many calls there were is a count."""
    gateway.engine.reasoning = "They want a sum."
    found = ask(gateway, streamed, **{"X-Rlwd-Consent": "false"})
    assert (found.reasoning, found.tool_calls, found.tools, found.input) == ("", (), (), ())
    assert (found.last_answer, found.text, found.prompt_token_ids) == ("", "", None)
    assert (found.tool_call_count, found.earlier_answers) == (1, 1)


def test_reasoning_that_the_client_does_not_want_is_recorded(gateway: GatewayRig) -> None:
    """`include_reasoning` is about what the client reads."""
    gateway.engine.reasoning = "They want a sum."
    assert (
        ask(gateway, False, {**HELLO, "include_reasoning": False}).reasoning == "They want a sum."
    )


def npy(array: np.ndarray[Any, Any]) -> str:
    """Write an array as vLLM 0.32 does."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(("dtype", "most"), [("uint8", 255), ("uint16", 511)])
def test_the_experts_of_an_answer(gateway: GatewayRig, dtype: str, most: int) -> None:
    """The record has a row for each token but the last; the client is told nothing of them."""
    told = (np.arange(6 * 4 * 2).reshape(6, 4, 2) + most - 47).astype(dtype)
    gateway.engine.routed = npy(told)
    gateway.set_flags()
    answer = gateway.open().post(CHAT, json={**HELLO, "routed_experts_prompt_start": 2})
    assert "routed_experts" not in answer.text
    assert "routed_experts_prompt_start" not in gateway.engine.asked[0]
    found = gateway.sink.generations(1)[-1].routed_experts
    assert found is not None
    assert (found.rows, found.layers, found.k, found.wide) == (6, 4, 2, most > 255)
    held = np.frombuffer(found.experts, "<u2" if found.wide else "u1").reshape(told.shape)
    assert (held == told).all()


def claimed(shape: str) -> str:
    """Write a header of an array alone, with nothing behind it."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}\n".encode()
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
    return base64.b64encode(head + text).decode()


@pytest.mark.parametrize(
    "told",
    [
        *("no base64!", base64.b64encode(b"no array").decode()),
        *(npy(np.zeros((3, 2))), npy(np.ones(4)), npy(np.zeros((2, 2000, 2), dtype="u1"))),
        *(base64.b64encode(b"PK\x03\x04 no zip").decode(), claimed("999999999, 9999, 2")),
        *(claimed("2, 2, 2"), claimed("((2, 2, 2"), claimed("9" * 5000)),
    ],
)
def test_experts_that_cannot_be_read(gateway: GatewayRig, told: str) -> None:
    """The answer goes out, and nothing of its tokens is believed, by name."""
    gateway.engine.routed = told
    found = ask(gateway, streamed=False)
    assert (found.routed_experts, found.completion_token_ids) == (None, None)
    assert found.capture_problem.startswith("routed_experts: ")
