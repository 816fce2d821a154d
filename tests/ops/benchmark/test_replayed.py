"""What a replayed answer is measured by: its text's calls, its limit, its worth without anybody."""

from pathlib import Path

import msgspec
import pytest

from rlwd.ops.benchmark.benchmark_file import (
    Benchmark,
    BenchmarkManifest,
    BenchmarkRequest,
    DamagedBenchmark,
    newest,
    path_of,
    read_benchmark,
    remove_benchmark,
    write_benchmark,
)
from rlwd.ops.benchmark.replayed import ReplayedAnswer, replayed
from rlwd.ops.engine.port import EngineAnswer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.tool_use import OfferedTool

REQUEST = BenchmarkRequest(
    generation_id="s.g1",
    person=1,
    segment="default",
    prompt_token_ids=(1, 2),
    input=(InputMessage(role="user", text="read the file"),),
    tools=(OfferedTool(name="read", digest=""), OfferedTool(name="write", digest="")),
)
SOUND = '<tool_call>{"name": "read", "arguments": {}}</tool_call>'
COSTLY = msgspec.convert(
    {"name": "costly", "parts": {"accepted": 1.0}, "costs": {"broken_calls": {"weight": 0.5}}}, Spec
)


def answer(
    text: str, *, finish: str = "stop", ours: bool = False, spec: Spec = COSTLY
) -> ReplayedAnswer:
    told = EngineAnswer(text=text, calls=(), finish_reason=finish, tokens=7)
    return replayed(
        REQUEST, told, ours=ours, seconds=0.5, spec=spec, taken=None, measured=("invalid_calls",)
    )


@pytest.mark.parametrize(
    ("text", "invalid"),
    [
        ('<tool_call>\n{"name": "read", "arguments": {"path": "a"}}\n</tool_call>', 0.0),
        ('I read.\n<tool_call>{"name": "read", "arguments": {"path": "a"}', 1.0),
        ('<tool_call>{"name": "erase", "arguments": {}}</tool_call>', 1.0),
        ('<tool_call>{"name": "read", "arguments": "a"}</tool_call>', 1.0),
        (
            f'{SOUND}\n<tool_call>{{"name": "write", "arguments": {{</tool_call>',
            1.0,
        ),
        ("I cannot read it.", None),
    ],
    ids=["sound", "cut", "not offered", "no object", "one of two, so that none is read", "none"],
)
def test_calls_are_read_in_the_text(text: str, invalid: float | None) -> None:
    """A call that cannot be read, or of a tool that was not offered, is invalid, and costs what the spec says."""
    found = answer(text)
    assert found.behaviours.get("invalid_calls") == invalid
    assert found.worth == (None if invalid is None else -0.5 * invalid)
    assert not found.empty


def test_our_own_limit_is_no_habit() -> None:
    """Cut by the replay's limit an answer is as long as that; cut by production's it broke off, too."""
    ours, theirs = (answer("and then", finish="length", ours=one) for one in (True, False))
    assert (ours.tokens, "breaks_off" in ours.behaviours) == (7, False)
    assert (theirs.tokens, theirs.behaviours["breaks_off"]) == (7, 1.0)
    assert answer("").empty


def test_a_file_that_is_not_what_was_written_is_refused(tmp_path: Path) -> None:
    """One bit, another policy, another's name: each is said, with the file; a removed one is gone."""
    manifest = BenchmarkManifest(
        name="shop",
        number=3,
        policy="policy",
        spec_version="s",
        built_at=1.0,
        since=1.0,
        until=1.0,
        expires_at=2.0,
        people=1,
        seen_people=1,
        learned_of=0,
        segments={"default": 1},
        production={"default": 1.0},
        refused={},
        overlap={},
        shared={},
        settings={},
    )
    name = write_benchmark(tmp_path, Benchmark(manifest=manifest, requests=(REQUEST,)))
    assert read_benchmark(tmp_path, name, "policy").requests == (REQUEST,)
    with pytest.raises(ValueError, match=r"is of the policy policy, and not of other"):
        read_benchmark(tmp_path, name, "other")
    path = path_of(tmp_path, name)
    path.write_bytes(path.read_bytes().replace(b"read the file", b"read the fine"))
    with pytest.raises(DamagedBenchmark, match=rf"{name.version}\.json: is damaged"):
        read_benchmark(tmp_path, name, "policy")
    remove_benchmark(tmp_path, name)
    remove_benchmark(tmp_path, name)
    assert newest(tmp_path, "shop") is None
