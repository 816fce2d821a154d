"""A tool's outage keeps an answer out of training by name, and never hides a fault of the model's own."""

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback
from talks_by_hand import Talk, call, result

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted, ErrorClass, Rejected, ToolResult
from rlwd.streams.events.tool_use import ToolCall
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


ECHO = ToolCall(
    id="c1", name="bash", arguments='{"command": "echo HTTP 503"}', parses=True, fits=True
)


def echoing(talk: Talk, said: str, called: ToolCall) -> list[bytes]:
    """Return a talk whose second answer calls a tool, and whose third has to go on from what came back."""
    return [
        talk.turn(0.0),
        talk.turn(1.0, calls=(called,)),
        talk.turn(2.0, result("c1", said)),
        talk.turn(3.0),
    ]


@pytest.mark.parametrize("how", ["together", "one by one", "from the back"])
def test_an_outage_that_the_model_wrote_excuses_nobody(ledger: Ledger, how: str) -> None:
    """Neither the answer that wrote it nor the one after it, in whatever order they came."""
    talk = Talk("a")
    raw = echoing(talk, DOWN, ECHO)
    said = [feedback(f"f-{name}", name, Rejected(), 5.0) for name in talk.turns]
    if how == "together":
        ledger.take(*raw, *said)
    else:
        for one in said:
            ledger.take(one, partition=FEEDBACK)
        for one in raw if how == "one by one" else reversed(raw):
            ledger.take(one)
    assert ledger.fates() == {"waiting": 4}
    told = ledger.ask("SELECT payload FROM feedback WHERE kind = 'tool_result'")
    assert b'"error_class":"unknown"' in bytes(told[0])


def test_a_file_that_the_model_wrote_before_is_no_outage(ledger: Ledger) -> None:
    """It writes the error, and prints it turns later; the first look at a real one is an outage."""
    talk = Talk("a")
    wrote = ToolCall(
        id="c0",
        name="write",
        arguments='{"path": "a", "text": "HTTP 503 Service Unavailable"}',
        parses=True,
        fits=True,
    )
    ledger.take(talk.turn(0.0, calls=(wrote,)), talk.turn(0.1, result("c0", "ok")))
    ledger.take(talk.turn(0.5))
    for raw in (
        talk.turn(1.0, calls=(call("c1", "read"),)),
        talk.turn(2.0, result("c1", DOWN), calls=(call("c2", "search"),)),
        talk.turn(3.0, result("c2", "Error: HTTP 429 Too Many Requests")),
    ):
        ledger.take(raw)
    ledger.take(
        *[feedback(f"f-{name}", name, Rejected(), 5.0) for name in talk.turns], partition=FEEDBACK
    )
    assert ledger.fates() == {"excluded:tool_outage": 2, "waiting": 4}


def test_a_posted_outage_is_not_believed_of_a_call_that_wrote_it(ledger: Ledger) -> None:
    """A harness that classes texts by itself is told the same as we are."""
    talks = {"echo": ECHO, "search": call("c1", "bash"), "renamed": ECHO}
    for name, made in talks.items():
        talk = Talk(name)
        tool = "shell" if name == "renamed" else "bash"
        told = ToolResult(tool=tool, error_class="provider_error")
        answer = talk.turn(0.0, calls=(made,))
        (at,) = talk.turns
        ledger.take(answer, feedback(f"f-{name}", at, Rejected(), 1.0))
        ledger.take(feedback(f"t-{name}", at, told, 2.0), partition=FEEDBACK)
    assert ledger.fates() == {"excluded:tool_outage": 1, "waiting": 2}


def test_what_an_agent_of_its_own_said_is_no_outage(ledger: Ledger) -> None:
    """The call that started it comes back with its answer; other words are an outage of that tool."""
    for name, said in (("a", DOWN), ("b", "Error: HTTP 502 Bad Gateway")):
        talk = Talk(name, session=f"main-{name}")
        started = call(f"task-{name}", "task")
        agent = Talk("x", session=started.id)
        ledger.take(talk.turn(0.0, calls=(started,)))
        ledger.take(agent.turn(0.5), agent.turn(0.6, text=DOWN))
        ledger.take(talk.turn(1.0, result(started.id, said)))
        ledger.take(
            *[feedback(f"f-{one}", one, Rejected(), 5.0) for one in talk.turns], partition=FEEDBACK
        )
    assert ledger.fates() == {"excluded:tool_outage": 2, "waiting": 6}


def test_an_answer_that_loses_an_outage_counts(ledger: Ledger) -> None:
    """What came back turns out to be about another answer, whose turn comes late: the first counts again."""
    talk = Talk("a")
    first = talk.turn(0.0, calls=(call("c1", "search"),))
    second = talk.turn(1.0, calls=(call("c1", "search"),))
    third = talk.turn(2.0, result("c1", DOWN))
    said = [feedback(f"f-{name}", name, Rejected(), 5.0) for name in talk.turns]
    ledger.take(*said, partition=FEEDBACK)
    for raw in (first, third):
        ledger.take(raw)
    ledger.take(second)
    assert ledger.fates() == {"excluded:tool_outage": 2, "waiting": 1}
