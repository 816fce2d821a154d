"""Chain story: a conversation with all that a chain may go through, and what was said of it."""

from pathlib import Path
from typing import Any

import msgspec
from chains_by_hand import (
    RULED,
    SPENDING,
    SPREADING,
    on_session,
    on_ticket,
    reach,
    rewards,
    with_spec,
)
from ledger_by_hand import FEEDBACK, GENERATIONS, feedback, open_ledger
from talks_by_hand import Talk, call, person

from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.event import FeedbackEvent, decode_event
from rlwd.streams.events.signals import Accepted, Outcome, Rated, Rejected, Resolved

BOTH = msgspec.structs.replace(SPREADING, name="both", costs=SPENDING.costs, range=SPENDING.range)
SUMMARY = "The person wants a shop that sells bread, and the shop has a page for the bread by now."


def story() -> list[bytes]:
    """A conversation with a subagent, compacted once, about two tickets, and what was said of it."""
    one: dict[str, Any] = {"references": {"ticket": "T1"}}
    two: dict[str, Any] = {"references": {"ticket": "T1", "order": "8"}}
    main = Talk("a", session="s")
    agent = Talk("agent", session="sub", tokens=list(range(500, 540)))
    own = [
        main.turn(1.0, calls=(call("c1"),), **one),
        agent.turn(2.0, call_id="c1", **one),
        agent.turn(3.0),
        main.turn(5.0, **two),
        main.turn(7.0, text=SUMMARY),
    ]
    again = Talk("again", session="s", tokens=list(range(700, 740)))
    own += [again.turn(9.0, person(f"So far: {SUMMARY} Go on."), **two), again.turn(11.0)]
    said = [
        on_session("f1", Outcome(name="sold", value=1.0), 8.0),
        on_session("f2", Outcome(name="sold", value=0.0), 12.0, replaces="f1"),
        on_session("f3", Outcome(name="kept", value=0.5), 6.0),
        on_session("f4", Accepted(), 10.0),
        on_ticket("f5", Resolved(), 13.0),
        on_ticket("f6", Rejected(), 6.5, acted=4.0),
        on_session("f7", Outcome(name="done", value=1.0), 4.0, session="sub"),
    ]
    said += named()
    return own + said


def named() -> list[bytes]:
    """Return what was said of single answers: of a later one, taken back, of a subagent's, of another's."""
    merged = Outcome(name="merged", value=0.25)
    return [
        feedback("g1", "s.a2", merged, 14.0),
        feedback("g2", "s.again1", Rated(value=0.5), 14.0),
        feedback("g3", "s.again1", Rated(value=1.0), 15.0, replaces="g2"),
        feedback("g4", "sub.agent1", merged, 14.0),
        feedback("g5", "s.a1", Outcome(name="other", value=0.0), 14.0),
        feedback("g6", "s.again0", merged, 14.0, tenant="acme"),
    ]


Told = tuple[dict[str, list[tuple[str, float]]], list[float | None]]


def told(order: list[bytes], cuts: list[int], path: Path, spec: Spec = RULED) -> Told:
    """Return what the state says once all records came in this order, cut into polls."""
    ledger = with_spec(open_ledger(path), spec)
    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        for partition in (GENERATIONS, FEEDBACK):
            feedback = partition == FEEDBACK
            ledger.take(
                *(
                    r
                    for r in order[start:end]
                    if isinstance(decode_event(r), FeedbackEvent) == feedback
                ),
                partition=partition,
            )
    found = {name: sorted(each) for name, each in reach(ledger).items()}
    worth = [reward for reward, _ in rewards(ledger)]
    ledger.store.close()
    return found, worth
