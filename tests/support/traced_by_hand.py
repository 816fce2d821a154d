"""Traced by hand: a session of an agent, joined from records, as the mirror finds it in the tables."""

from typing import Any

from ledger_by_hand import FEEDBACK, Ledger, feedback
from talks_by_hand import Talk, person, result

from rlwd.streams.events.generation import Sampling
from rlwd.streams.events.signals import Accepted, Rated, Rejected
from rlwd.streams.events.tool_use import ToolCall
from rlwd.streams.events.usage import Usage

VERSION = "policy@v000017-3fa9c2e1"
HERS = "a1" * 16


def serve_refund(ledger: Ledger, session: str, at: float, user: str = HERS) -> list[str]:
    """Serve two turns: a look-up that fails, and an answer that is turned down; return their ids."""
    told = Talk("t", session=session)
    more: dict[str, Any] = {
        "user_hash": user,
        "version": VERSION,
        "variant": "candidate",
        "segment": "support",
        "harness": "desk 4.2",
        "latency_seconds": 1.5,
        "usage": Usage(prompt_tokens=140, completion_tokens=3),
        "sampling": Sampling(temperature=0.7),
    }
    look_up = ToolCall(
        id=f"{session}-call-1",
        name="find_order",
        arguments='{"order": "4711", "with": ["items", "payments"]}',
        parses=True,
        fits=True,
    )
    first = told.turn(
        at,
        person("I want my money back for order 4711."),
        calls=(look_up,),
        text="Let me look that up.",
        reasoning="The order number is 4711; I need its payments first.",
        **more,
    )
    failed = result(look_up.id, "Error: the order service does not answer", is_error=True)
    second = told.turn(
        at + 5.0, failed, text="I cannot find your order. Please write to somebody else.", **more
    )
    ledger.take(first, second, now=at + 6.0)
    return told.turns


def turn_down(ledger: Ledger, name: str, at: float) -> None:
    """Turn an answer down."""
    said = feedback(f"{name}.no", name, Rejected(), at)
    ledger.take(said, partition=FEEDBACK, now=at)


def take_it(ledger: Ledger, name: str, at: float) -> None:
    """Take an answer as it is."""
    ledger.take(feedback(f"{name}.yes", name, Accepted(), at), partition=FEEDBACK, now=at)


def rate(ledger: Ledger, name: str, value: float, at: float) -> None:
    """Rate an answer."""
    ledger.take(feedback(f"{name}.rated", name, Rated(value=value), at), partition=FEEDBACK, now=at)
