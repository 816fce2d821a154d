"""Signals that nobody has to post: what each record says of an answer."""

from typing import Any

import pytest
from ledger_by_hand import generation
from talks_by_hand import call, person, record_of, result

from rlwd.streams.derived.derivation import derive_from_answer, derive_from_next
from rlwd.streams.derived.tool_results import error_of
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import FollowedUp, Interrupted, Signal, ToolResult
from rlwd.streams.events.tool_use import OfferedTool


def answer(**more: object) -> Generation:
    return record_of(generation("s.g1", 1.0, **more))


def derived(*said: InputMessage, tools: dict[str, str] | None = None) -> list[Signal]:
    """What the next request of a session says of the answer before."""
    next_one = answer(input=said)
    return [
        one.feedback.signal
        for one in derive_from_next(next_one, "s.g0", tools or {"call-1": "add"})
    ]


def test_the_next_message_is_a_follow_up() -> None:
    """Several in a row are one; what the system says is none, and an empty one neither."""
    assert derived(person("No."), person("I meant 3.")) == [FollowedUp(text="No.\n\nI meant 3.")]
    assert derived(InputMessage(role="system", text="x"), person(" \n")) == []
    assert [
        len(one.text) for one in derived(person("x" * 50_000)) if isinstance(one, FollowedUp)
    ] == [10_000]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<system-reminder>\nThe to-do list is empty.\n</system-reminder>", None),
        ("<system-reminder>a</system-reminder>\n<system-reminder>b</system-reminder>", None),
        ("<environment_context>\n  <cwd>/x</cwd>\n</environment_context>", None),
        ("<local-command-stdout>ok</local-command-stdout>", None),
        ("[Request interrupted by user for tool use]", None),
        ("[Request interrupted by user]\nNo, x.", "No, x."),
        ("<system-reminder>a</system-reminder>\nNo, the other one.", "No, the other one."),
        ("Why does <system-reminder> show?", "Why does <system-reminder> show?"),
        ("use <b>bold</b> ", "use <b>bold</b> "),
    ],
)
def test_what_a_harness_writes_in_the_persons_place_is_no_message(
    text: str, said: str | None
) -> None:
    """A reminder beside a tool's result, in every step of a loop, is no complaint about the call."""
    came = [FollowedUp(text=said)] if said else []
    assert derived(result("call-1", "3"), person(text)) == [
        ToolResult(tool="add", error_class=None),
        *came,
    ]


def test_many_tags_cost_the_texts_length() -> None:
    """One that is never closed ends the search."""
    text = "<system-reminder>" * 10_000
    assert derived(person(text)) == [FollowedUp(text=text[:10_000])]


def test_tool_results_are_of_their_calls() -> None:
    """By the call's id; of a call that the answer did not make, nothing is said of it."""
    assert derived(result("call-1", "3"), result("call-9", "4")) == [
        ToolResult(tool="add", error_class=None)
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("3", None),
        ("", None),
        ("The error rate is 3 %.", None),
        ('{"error": null, "value": 3}', None),
        ('{"errors": []}', None),
        ("[1, 2]", None),
        ('{"broken"', None),
        ("Error: no such file", "unexpected_environment"),
        ("  error - exit code 1", "unknown"),
        ("Traceback (most recent call last):\n  File", "unknown"),
        ("An error occurred while running the tool. Please try again.", "unknown"),
        ("<tool_use_error>File has not been read yet", "unexpected_environment"),
        ('{"error": "no such order"}', "unexpected_environment"),
        ("ValidationError: limit must be an integer", "invalid_arguments"),
        ("KeyError is what it raises", None),
        ('{"error_class": "timeout"}', "timeout"),
        ('{"success": false}', "unknown"),
        ('{"isError": true, "content": []}', "unknown"),
        ("Error: the request timed out after 30 s", "timeout"),
        ("{" * 5000, None),
    ],
)
def test_a_result_tells_an_error_as_far_as_it_says(text: str, error: str | None) -> None:
    """What begins as errors begin, or is JSON with an error in it; nothing is guessed beyond."""
    assert error_of(InputMessage(role="tool", text=text)) == error


def test_what_the_harness_says_decides() -> None:
    """Its mark wins over the text."""
    assert error_of(InputMessage(role="tool", text="Error: none", is_error=False)) is None
    assert error_of(InputMessage(role="tool", text="fine", is_error=True)) == "unknown"


@pytest.mark.parametrize(
    "text",
    [
        "无效的参数: path",
        "Ungültiges Argument: path fehlt",
        "Erreur : argument invalide",
        "エラー: 無効な引数",
    ],
)
def test_a_refusal_in_another_language_needs_no_flag(text: str) -> None:
    """It begins as errors do there, and costs the model as it would in English."""
    assert error_of(InputMessage(role="tool", text=text)) == "invalid_arguments"
    assert error_of(InputMessage(role="tool", text=f"1 {text}")) is None


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "length", "abort"])
def test_an_invalid_call_is_told_whether_or_not_the_harness_says_so(finish: str) -> None:
    """Of a whole answer; where it was cut, the call is not as the model meant it."""
    calls = (call("call-1"), call("call-2", "sub", valid=False))
    found = list(
        derive_from_answer(answer(tool_calls=calls, finish_reason=finish), leaving_interrupts=True)
    )
    invalid = [ToolResult(tool="sub", error_class="invalid_arguments")]
    told = [one.feedback.signal for one in found if isinstance(one.feedback.signal, ToolResult)]
    assert told == (invalid if finish in ("stop", "tool_calls") else [])
    assert {one.origin for one in found} <= {"s.g1"}


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ('<tool_call>\n{"name": "add", "arguments": {"a": 1,\n</tool_call>', True),
        ("On it.\n<tool_call>add(1, 2)", True),
        ('[TOOL_CALLS] [{"name": "add", "arguments": {"a": }}]', True),
        ("<function=add>\n<parameter=a>1", True),
        ('{"name": "add", "parameters": {"a": 1', True),
        # Whole, so that the engine reads another form; talked about; of no tool that was offered.
        ('<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>', False),
        ("<function=add>\n<parameter=a>1</parameter>\n</function>", False),
        ("Write it as <tool_call>{ …", False),
        ("```\n<tool_call>{\n```", False),
        ('{"name": "Ana", "age": ', False),
        ("It is 3.", False),
    ],
)
def test_a_call_that_the_engine_could_not_read_is_invalid(text: str, broken: bool) -> None:
    """It stays in the text, where nobody runs it; only where tools were offered, and a whole answer."""
    offered = (OfferedTool(name="add", digest="0"),)

    def told(**more: Any) -> list[Signal]:
        made = answer(text=text, **{"tools": offered, "finish_reason": "stop", **more})
        return [one.feedback.signal for one in derive_from_answer(made, leaving_interrupts=False)]

    invalid = ToolResult(tool="unnamed", error_class="invalid_arguments")
    assert told() == ([invalid] if broken else [])
    assert told(tools=()) == told(finish_reason="length") == []


@pytest.mark.parametrize("setting", [False, True])
@pytest.mark.parametrize(
    ("more", "left"),
    [
        ({"finish_reason": "abort", "text": "Good"}, True),
        ({"finish_reason": "abort", "text": "", "status": 499}, False),
        ({"finish_reason": "stop"}, False),
        ({"finish_reason": "error"}, False),
    ],
)
def test_who_leaves_in_mid_stream_interrupts_by_setting(
    more: dict[str, object], left: bool, setting: bool
) -> None:
    """Not who left before anything was said, nor whom the engine failed."""
    found = [
        one.feedback.signal
        for one in derive_from_answer(answer(**more), leaving_interrupts=setting)
    ]
    assert found == ([Interrupted()] if left and setting else [])


def test_the_same_records_give_the_same_signals() -> None:
    """Ids and all, so that a replay changes nothing."""
    next_one = answer(input=(result("call-1", "3"), person("thanks")))
    once = list(derive_from_next(next_one, "s.g0", {"call-1": "add"}))
    assert once == list(derive_from_next(next_one, "s.g0", {"call-1": "add"}))
    assert len({one.feedback.feedback_id for one in once}) == 2
