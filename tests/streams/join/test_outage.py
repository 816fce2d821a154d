"""A tool's outage keeps an answer out of training by name, and never hides a fault of the model's own."""

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback
from talks_by_hand import Talk, call, result

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted, ErrorClass, Rejected, ToolResult
from rlwd.streams.join.fate import JoinSettings
from rlwd.streams.join.joiner import Joiner

DOWN = "Error: HTTP 503 Service Unavailable"


@pytest.mark.parametrize("decision", [Accepted(), Rejected()])
@pytest.mark.parametrize("together", [True, False])
def test_an_outage_neither_punishes_nor_rewards(
    ledger: Ledger, decision: Accepted | Rejected, together: bool
) -> None:
    """The answer that called the tool, and the one that had to answer without it, are counted by name;
    those before and after it are trained on."""
    talk = Talk("a")
    raw = [
        talk.turn(0.0),
        talk.turn(1.0, calls=(call("c1", "search"),)),
        talk.turn(2.0, result("c1", DOWN)),
        talk.turn(3.0),
    ]
    said = [feedback(f"f-{name}", name, decision, 5.0) for name in talk.turns]
    if together:
        ledger.take(*raw, *said)
    else:
        for one in said:
            ledger.take(one, partition=FEEDBACK)
        for one in raw:
            ledger.take(one)
    assert ledger.fates() == {"excluded:tool_outage": 2, "waiting": 2}


@pytest.mark.parametrize(
    ("errors", "fates"),
    [
        (("provider_error",), {"excluded:tool_outage": 1}),
        ((None, "provider_error", "timeout"), {"excluded:tool_outage": 1}),
        (("provider_error", "invalid_arguments"), {"waiting": 1}),
        (("provider_error", "unexpected_environment"), {"waiting": 1}),
        (("timeout", "unknown", "user_aborted", None), {"waiting": 1}),
    ],
)
def test_only_an_outage_alone_excludes(
    ledger: Ledger, errors: tuple[ErrorClass | None, ...], fates: dict[str, int]
) -> None:
    """A broken call beside an outage counts, or a policy would learn to provoke one."""
    talk = Talk("a")
    ledger.take(talk.turn(0.0), feedback("f", "s.a0", Rejected(), 1.0))
    for at, error in enumerate(errors):
        told = ToolResult(tool="search", error_class=error)
        ledger.take(feedback(f"t{at}", "s.a0", told, 2.0 + at), partition=FEEDBACK)
    assert ledger.fates() == fates


def test_who_says_so_trains_on_them(ledger: Ledger) -> None:
    """`join.outage_answers = true` leaves them in."""
    settings = JoinSettings(outage_answers=True)
    ledger.joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, settings=settings)
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    told = ToolResult(tool="search", error_class="provider_error")
    ledger.take(Talk("a").turn(0.0), feedback("f", "s.a0", Rejected(), 1.0))
    ledger.take(feedback("t", "s.a0", told, 2.0), partition=FEEDBACK)
    assert ledger.fates() == {"waiting": 1}
