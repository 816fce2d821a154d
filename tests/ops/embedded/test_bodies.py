"""Bodies that the embedded engine takes as vLLM does, and those that it refuses by name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlwd.ops.embedded.messages import template_messages
from rlwd.ops.embedded.openai_api import RequestRefused
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import NO_TLS

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CHAT = {"messages": [{"role": "user", "content": "x"}]}


def ask(server: EmbeddedServer, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/{path}", json={"model": "base", "max_tokens": 2, **body}, verify=NO_TLS
    )


def test_a_list_of_one_prompt_is_that_prompt(engine_server: EmbeddedServer) -> None:
    """A text, its tokens, and each of them in a list of its own are one question."""
    greedy = {"temperature": 0, "return_token_ids": True}
    answers = []
    for prompt in ("ab", ["ab"]):
        answer = ask(engine_server, "completions", {"prompt": prompt, **greedy})
        assert answer.status_code == 200, answer.text
        answers.append(answer.json()["choices"][0])
    ids = answers[0]["prompt_token_ids"]
    for tokens in (ids, [ids]):
        answer = ask(engine_server, "completions", {"prompt": tokens, **greedy})
        answers.append(answer.json()["choices"][0])
    assert len({str(each["token_ids"]) for each in answers}) == 1
    several = ask(engine_server, "completions", {"prompt": ["a", "b"]})
    assert several.status_code == 400
    assert "one prompt at a time, got 2" in several.json()["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stop", 7),
        ("stop", [""]),
        ("stop", {"a": 1}),
        ("stream_options", 7),
        ("stop_token_ids", 7),
        ("stop_token_ids", ["x"]),
        ("seed", 2**63),
        ("response_format", 7),
        ("temperature", "hot"),
        ("model", 7),
        ("max_tokens", "x"),
        ("max_tokens", 0),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name(
    engine_server: EmbeddedServer, field: str, value: Any
) -> None:
    """Status 400 with the field, streaming or not, and never 500."""
    for stream in (False, True):
        body = {**CHAT, "stream": stream, field: value}
        answer = ask(engine_server, "chat/completions", body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == field


def test_tool_calls_of_the_history_are_refused_where_the_template_would_drop_them(
    engine_server: EmbeddedServer,
) -> None:
    """The tiny policy's template knows none: an answer without them would be to another question."""
    history = [*CHAT["messages"], {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    answer = ask(engine_server, "chat/completions", {"messages": history})
    assert answer.status_code == 400
    assert "messages[1].tool_calls" in answer.json()["error"]["message"]


def test_tool_calls_of_the_history_reach_a_template_that_knows_them() -> None:
    """Their arguments are parsed, as templates want them; the tool's answer keeps its call's id."""
    history = [
        {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one"}]},
    ]
    plain = template_messages(history, "{{ message.tool_calls }}")
    assert plain[0]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}
    assert plain[1] == {"role": "tool", "content": "one", "tool_call_id": "c1"}
    for wrong in (
        {"role": "assistant", "function_call": {"name": "f"}},
        {"role": "assistant", "tool_calls": 7},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
        {"role": "assistant", "tool_calls": [7]},
        {"role": "assistant", "audio": {"id": "a"}},
        {"content": "nobody said it"},
        7,
    ):
        with pytest.raises(RequestRefused, match=r"messages\[0\]"):
            template_messages([wrong], "{{ message.tool_calls }}")


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = (
    *("messages", "prompt", "model", "temperature"),
    *("top_p", "top_k", "seed", "stop", "stop_token_ids", "logprobs", "top_logprobs", "stream"),
    *("stream_options", "prompt_logprobs", "n", "tools", "response_format", "logit_bias"),
    *("lora_name", "lora_path"),
)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    # A busy machine is no fault of what is drawn.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(odd=st.dictionaries(st.sampled_from(FIELDS), ODD, min_size=1, max_size=3))
def test_no_body_makes_it_fail(engine_server: EmbeddedServer, odd: dict[str, Any]) -> None:
    """Whatever a caller sends is answered or refused, and the engine lives on."""
    client = httpx.Client(timeout=60.0, verify=NO_TLS)
    for path, body in (
        ("chat/completions", {**CHAT, **odd, "max_tokens": 1}),
        ("completions", {"prompt": "x", **odd, "max_tokens": 1}),
        ("load_lora_adapter", odd),
        ("unload_lora_adapter", odd),
    ):
        answer = client.post(f"{engine_server.url}/v1/{path}", json=body)
        assert answer.status_code < 500, (path, body, answer.text)
    assert client.get(f"{engine_server.url}/health").status_code == 200
    client.close()


def test_a_model_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    """No hub is asked for a folder that is not there."""
    command = [sys.executable, "-m", "rlwd.ops.embedded.main", "--port", "1"]
    done = subprocess.run(
        [*command, "--model", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"--model: {tmp_path / 'nowhere'}: no folder of a Hugging Face model" in done.stderr
    assert "huggingface" not in done.stderr.replace("Hugging Face", "")
