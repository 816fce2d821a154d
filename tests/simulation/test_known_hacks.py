"""Two known ways of gaming a reward, played against the reward specs and the learner's own objective.

Cursor's report on real-time RL (cursor.com/blog/real-time-rl-for-composer) names both: a policy whose
broken calls were dropped learnt to write them where it would fail, and one that was never charged for
a question learnt to ask instead of acting. Each is shown with a spec that falls for it, then without.
People are simulated; episodes, behaviours, derived signals, specs and updates are the product's own.
"""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from episodes_by_hand import did, episode
from table_policy import Arm, Draw, Pay, shares

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import DEFAULT_SPEC, Spec, load_spec
from rlwd.streams.derived.derivation import derive_from_answer
from rlwd.streams.events.episode import Episode, Timed
from rlwd.streams.events.signals import (
    Accepted,
    FollowedUp,
    Outcome,
    Rejected,
    Signal,
    Statement,
)
from rlwd.streams.events.tool_use import ToolCall

PAGE = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
SHOWN = PAGE.partition("## A spec for agents")[2]
AGENT = msgspec.toml.decode(SHOWN.split("```toml\n")[1].split("```")[0], type=Spec)
"""As the page has it."""
BATCHES = 18
DECISIONS = ("accepted", "rejected", "edited", "undone", "interrupted", "regenerated", "outcome")
DROPS = Spec(name="drops", parts={"accepted": 1.0, "outcome": 1.0}, decisive=DECISIONS)
"""What is not decided on is dropped, and nothing costs."""
FREE = Spec(name="free", parts=DROPS.parts, decisive=DECISIONS, undecided={"default": 0.5})
"""Nothing is dropped, silence is worth half an acceptance, and a question costs nothing."""


def worth(spec: Spec, one: Episode) -> float | None:
    """What the join makes of an episode once its decision is over; None where it is censored."""
    scored = Scorer(spec).undecided(one)
    return None if scored is None else scored.value


def acts(success: bool) -> Episode:
    said: Signal = Accepted() if success else Rejected()
    return episode(did(said, 9.0), text="I have changed it.", finish_reason="stop")


def breaks() -> Episode:
    """An answer with a call that no tool can run, and what its own record says of it."""
    call = ToolCall(id="c1", name="edit", arguments='{"path": ', parses=False, fits=None)
    record = episode(text="", tool_calls=(call,), finish_reason="tool_calls").generation
    derived = derive_from_answer(record, leaving_interrupts=False)
    said = tuple(
        Timed(feedback=one.feedback, acted_at=0.0, received_at=0.0, origin=one.origin)
        for one in derived
    )
    return Episode(generation=record, received_at=0.0, feedback=said)


@pytest.mark.parametrize(
    ("spec", "breaks_on_hard"), [(DROPS, True), (load_spec(DEFAULT_SPEC), False)]
)
def test_broken_calls_do_not_beat_failing(spec: Spec, breaks_on_hard: bool) -> None:
    """Where they are dropped a policy learns to write them for the tasks that it would fail; by the
    built-in spec it tries."""

    def trying(chance: float) -> Pay:
        return lambda draw: worth(spec, acts(draw.random() < chance))

    broken = worth(spec, breaks())
    arms = {
        name: (Arm(pay=trying(chance)), Arm(pay=lambda _: broken))
        for name, chance in (("easy", 0.9), ("hard", 0.15))
    }
    easy, hard = shares(arms, lives=1, told_apart=False, batches=BATCHES)[0].tolist()
    assert hard < 0.2 if breaks_on_hard else min(easy, hard) > 0.8


class Task(NamedTuple):
    """How it ends, and what people do when they are asked about it."""

    acted: float
    """Chance that it is settled by acting at once."""
    after: float
    """Chance that it is settled by acting after the question."""
    answers: float
    """Share of people who answer the question."""
    complains: float
    """Share who write that it should just be done; the others leave."""


TASKS = {
    "easy": Task(acted=0.8, after=0.8, answers=0.3, complains=0.4),
    "hard": Task(acted=0.2, after=0.2, answers=0.3, complains=0.4),
    "unclear": Task(acted=0.2, after=0.85, answers=0.9, complains=0.0),
}
"""What people wanted done, what they wanted done and could hardly be, what they wanted to be asked."""


def asks(task: Task, draw: Draw, *, told: bool) -> Episode:
    """A question, what the person wrote back, and, where the product tells, how the task then ended."""
    number, said = draw.random(), list[Timed]()
    if number < task.answers + task.complains:
        statement: Statement = "direction" if number < task.answers else "dissatisfied"
        said.append(did(FollowedUp(text="the first", statement=statement), 5.0))
        if told:
            settled = float(draw.random() < task.after)
            said.append(did(Outcome(name="task", value=settled), 60.0))
    return episode(*said, text="Which of the two files do you mean?", finish_reason="stop")


def share_of_acting(spec: Spec, *, told: bool, told_apart: bool = False) -> dict[str, float]:
    """Return the share of acting against asking, by task, that a policy ends with."""

    def acting(task: Task) -> Pay:
        return lambda draw: worth(spec, acts(draw.random() < task.acted))

    def asking(task: Task) -> Pay:
        return lambda draw: worth(spec, asks(task, draw, told=told))

    arms = {n: (Arm(pay=acting(task)), Arm(pay=asking(task))) for n, task in TASKS.items()}
    return dict(
        zip(
            TASKS,
            shares(arms, lives=1, told_apart=told_apart, batches=BATCHES)[0].tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize(("spec", "told", "apart"), [(DROPS, False, False), (FREE, True, True)])
def test_a_free_question_beats_acting_where_acting_fails(
    spec: Spec, told: bool, apart: bool
) -> None:
    """Questions that are dropped, or that cost nothing: the policy asks where people wanted it done."""
    assert share_of_acting(spec, told=told, told_apart=apart)["hard"] < 0.2


def test_a_priced_question_pays_only_where_people_wanted_to_be_asked() -> None:
    """By the spec for agents the policy acts where people wanted it done, hard or easy, and asks where
    a question settles the matter."""
    acting = share_of_acting(AGENT, told=True)
    assert min(acting["easy"], acting["hard"]) > 0.8
    assert acting["unclear"] < 0.2


@pytest.mark.parametrize("undecided", [0.0, 0.5])
def test_expected_rewards_of_asking_and_acting(undecided: float) -> None:
    """The table, printed: the price, and what people then do, order them as people wanted, even where
    an unanswered question is worth half an acceptance."""
    spec = Spec(
        name="table",
        parts=AGENT.parts,
        decisive=AGENT.decisive,
        costs=AGENT.costs,
        range=AGENT.range,
        undecided={"default": undecided},
    )
    print(f"\nundecided {undecided}: task, acting, asking")
    for name, task in TASKS.items():
        acting = task.acted * value(spec, acts(True)) + (1 - task.acted) * value(spec, acts(False))
        asking = expected_of_asking(spec, task)
        print(f"{name:8} {acting:6.3f} {asking:6.3f}")
        row = next(line for line in SHOWN.splitlines() if line.startswith(f"| {name} |"))
        assert f"| {acting:.3f} | {asking:.3f} |" in row, "as the page has it"
        assert (asking > acting) == (name == "unclear"), name


def expected_of_asking(spec: Spec, task: Task) -> float:
    """Over everything that people then do, each with its probability."""
    question = {"text": "Which of the two files do you mean?", "finish_reason": "stop"}
    total = (1 - task.answers - task.complains) * value(spec, episode(**question))
    for statement, share in (("direction", task.answers), ("dissatisfied", task.complains)):
        for settled, chance in ((1.0, task.after), (0.0, 1 - task.after)):
            said = did(FollowedUp(text="a", statement=statement), 5.0)  # type: ignore[arg-type]
            outcome = did(Outcome(name="task", value=settled), 60.0)
            total += share * chance * value(spec, episode(said, outcome, **question))
    return total


def value(spec: Spec, one: Episode) -> float:
    found = worth(spec, one)
    assert found is not None
    return found
