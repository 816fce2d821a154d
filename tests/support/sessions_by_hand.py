"""Sessions by hand: answers as the state would export them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rlwd.streams.events.event import Feedback, FeedbackEvent, GenerationEvent
from rlwd.streams.events.generation import Generation, Sampling
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import Accepted, Signal, ToolResult
from rlwd.streams.events.tool_use import ToolCall
from rlwd.streams.events.usage import Usage
from rlwd.streams.writers.exported import ExportedAnswer, ExportedSession

BEGUN = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
VERSION = "policy@v000003-0123abcd"


def answered(name: str, second: float, session: str = "s", **data: Any) -> GenerationEvent:
    """Return the event of an answer that came so many seconds after the beginning."""
    at = BEGUN + timedelta(seconds=second)
    return GenerationEvent(
        id=name,
        source="/gateway/a",
        specversion="1.0",
        time=at,
        receivedtime=at + timedelta(seconds=1),
        data=Generation(
            generation_id=name,
            session_id=session,
            **{"purposes": ("count", "train", "share"), **data},
        ),
    )


def told(about: GenerationEvent, name: str, signal: Signal, second: float) -> FeedbackEvent:
    """Return the event of feedback on an answer."""
    at = BEGUN + timedelta(seconds=second)
    return FeedbackEvent(
        id=name,
        source="/feedback/default",
        specversion="1.0",
        time=at,
        receivedtime=at,
        data=Feedback(
            feedback_id=name,
            generation_id=about.data.generation_id,
            session_id=about.data.session_id,
            signal=signal,
        ),
    )


def two_ways() -> ExportedSession:
    """Return a session whose person went back once: g1 calls a tool, g2 and g3 both go on from it."""
    first = answered(
        "g1",
        0.0,
        user_hash="ada",
        version=VERSION,
        digest="ff",
        harness="bot 7",
        reasoning="Look it up.",
        text="One moment.",
        tool_calls=(
            ToolCall(id="c1", name="find", arguments='{"q": "x"}', parses=True, fits=True),
            ToolCall(id="c2", name="find", arguments='{"q": ', parses=False, fits=False),
        ),
        tool_call_count=2,
        input=(
            InputMessage(role="system", text="Be brief."),
            InputMessage(role="user", text="Find x", attachments=1),
        ),
        prompt_token_ids=(1, 2, 3),
        completion_token_ids=(4, 5),
        logprobs=(-0.5, -0.25),
        sampling=Sampling(temperature=0.7, max_tokens=64),
        finish_reason="tool_calls",
        usage=Usage(prompt_tokens=3, completion_tokens=2, cached_prompt_tokens=1),
        latency_seconds=0.75,
    )
    results = (
        InputMessage(role="tool", text="found", tool_call_id="c1", name="find"),
        InputMessage(role="tool", text="bad JSON", tool_call_id="c2", is_error=True),
    )
    second = answered(
        "g2",
        5.0,
        version=VERSION,
        harness="bot 7",
        text="Here it is.",
        input=results,
        earlier_answers=1,
        finish_reason="stop",
        segment="reply",
    )
    third = answered(
        "g3",
        9.0,
        version=VERSION,
        harness="bot 7",
        text="No x here.",
        input=(*results, InputMessage(role="user", text="Try again")),
        earlier_answers=1,
        finish_reason="stop",
    )
    failed = ToolResult(tool="find", error_class="invalid_arguments")
    return ExportedSession(
        "s",
        (
            ExportedAnswer(
                first,
                feedback=(told(first, "f1", failed, 2.0),),
                derived=({"signal": {"kind": "followed_up", "text": "Try again"}, "from": "g3"},),
            ),
            ExportedAnswer(
                second,
                "g1",
                (told(second, "f2", Accepted(), 7.0),),
                reward={
                    "value": 1.0,
                    "parts": {"accepted": 1.0},
                    "spec": "default@0123456789ab",
                    "fate": "trained",
                },
            ),
            ExportedAnswer(third, "g1"),
        ),
    )
