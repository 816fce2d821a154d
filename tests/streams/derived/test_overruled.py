"""Posted signals win over derived ones, and nothing counts twice."""

from ledger_by_hand import generation
from talks_by_hand import call, person, record_of, result

from rlwd.streams.derived.derivation import derive_from_answer, derive_from_next
from rlwd.streams.derived.overruled import without_overruled
from rlwd.streams.events.episode import Timed
from rlwd.streams.events.event import Feedback
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import Accepted, ErrorClass, FollowedUp, Signal, ToolResult

ANSWER = record_of(
    generation(
        "s.g0",
        0.0,
        finish_reason="tool_calls",
        tool_calls=(call("call-1"), call("call-2", valid=False)),
    )
)


def posted(signal: Signal, name: str = "f") -> Timed:
    said = Feedback(feedback_id=name, generation_id="s.g0", session_id="s", signal=signal)
    return Timed(feedback=said, acted_at=2.0, received_at=2.0)


def derived(*said: InputMessage, by: str = "s.g1", at: float = 1.0) -> list[Timed]:
    """What the answer and its next request say."""
    following = record_of(generation(by, at, input=said))
    tools = {"call-1": "add", "call-2": "add"}
    return [
        Timed(feedback=one.feedback, acted_at=at, received_at=at, origin=one.origin)
        for one in (
            *derive_from_answer(ANSWER, leaving_interrupts=False),
            *derive_from_next(following, "s.g0", tools),
        )
    ]


def counted(*feedback: Timed, answer: Generation = ANSWER) -> list[Signal]:
    return [one.feedback.signal for one in without_overruled(answer, feedback)]


def came(error: ErrorClass | None) -> ToolResult:
    return ToolResult(tool="add", error_class=error)


INVALID = came("invalid_arguments")


def test_without_posted_ones_the_derived_count() -> None:
    """Of an invalid call no result counts beside it, whatever a tool made of it."""
    said = derived(result("call-1", "3"), result("call-2", "4"), person("thanks"))
    assert counted(*said) == [INVALID, came(None), FollowedUp(text="thanks")]


def test_a_posted_follow_up_wins() -> None:
    """The product knows more of it than its next request."""
    mine = FollowedUp(text="thanks", statement="satisfied")
    assert counted(*derived(person("thanks")), posted(mine)) == [INVALID, mine]


def test_posted_results_win_and_an_invalid_call_stays() -> None:
    """A harness that posts what came back is silent about the call that it could not run."""
    said = derived(result("call-1", "3"))
    assert counted(*said, posted(came("unknown"), "r1")) == [came("unknown")]
    assert counted(*said, posted(came(None), "r1")) == [INVALID, came(None)]


def test_an_invalid_call_that_was_posted_counts_once() -> None:
    """By the same tool's error."""
    said = derived()
    assert counted(*said, posted(came(None), "r1"), posted(INVALID, "r2")) == [came(None), INVALID]


def test_no_posted_success_is_about_an_invalid_call() -> None:
    """A harness that runs broken calls as it can says nothing of what the model wrote."""
    said = derived()
    assert counted(*said, posted(came(None), "result-call-2"), posted(Accepted(), "a")) == [
        INVALID,
        Accepted(),
    ]


def test_two_requests_that_go_on_from_one_answer_say_it_once() -> None:
    """A harness asks again, a person tries another way: the first is what came next."""
    first = derived(result("call-1", "3"), person("one"), by="s.g1", at=1.0)
    again = derived(result("call-1", "Error: x"), person("two"), by="s.g2", at=2.0)[1:]
    assert counted(*again, *first) == [INVALID, came(None), FollowedUp(text="one")]


def test_what_nobody_derived_stays_as_it_is() -> None:
    """Posted results of several calls of one tool all count."""
    three = [posted(came(None), f"r{n}") for n in range(3)]
    assert counted(*three) == [came(None)] * 3
