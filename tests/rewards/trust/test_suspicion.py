"""The rules of suspicion: each weighs down what it is for, and leaves people alone."""

import random
from dataclasses import replace

import pytest
from episodes_by_hand import episode
from evidence_by_hand import evidence

from rlwd.rewards.spec.verification import FULL
from rlwd.rewards.trust.evidence import Evidence, evidence_of
from rlwd.rewards.trust.settings import TrustSettings
from rlwd.rewards.trust.suspicion import RULES, burst, copies, machine, one_sided, pace
from rlwd.streams.events.tool_use import ToolCall

SETTINGS = TrustSettings()
LOUD = ("t", "loud")


def crowd(count: int = 60) -> list[Evidence]:
    """People with one or two answers each, hours apart."""
    return [evidence(i, user=("t", f"user-{i // 2}")) for i in range(count)]


def loud(count: int, seconds: float, **more: object) -> list[Evidence]:
    """One user's decisions, so many seconds apart."""
    return [evidence(1000 + i, user=LOUD, acted_at=1e6 + seconds * i, **more) for i in range(count)]


@pytest.mark.parametrize("name", RULES)
def test_people_are_left_alone(name: str) -> None:
    """A crowd that reads what it judges weighs what it weighs."""
    assert RULES[name](crowd(), SETTINGS) == [1.0] * 60


def test_nobody_reads_reasoning_and_calls() -> None:
    """Of ten thousand tokens a person was shown forty; and bytes are no tokens where nobody counted."""
    ids = tuple(range(10_000))
    thought = {"text": "x" * 40, "reasoning": "x" * 9_960, "completion_token_ids": ids}
    called = ToolCall(
        id="c", name="write", arguments='{"text": "' + "x" * 9_000 + '"}', parses=True, fits=True
    )
    for written, tokens in (
        (thought, 40.0),
        ({"text": "", "tool_calls": (called,), "completion_token_ids": ids}, 0.0),
        ({"text": "x" * 4_000}, 1_000.0),
        ({"text": "", "completion_token_ids": ids}, None),
    ):
        told = evidence_of(episode(**written), 1.0, FULL)
        assert told.to_read == tokens
        batch = [
            replace(told, user=LOUD, acted_at=1e6 + 10.0 * number, prompt=(number,))
            for number in range(3)
        ]
        fast = pace(batch, SETTINGS)
        assert fast == ([3000 / 30_000] * 3 if tokens is None else [1.0] * 3)


def test_faster_than_anybody_reads() -> None:
    """Nine answers of a thousand tokens within a minute: three thousand could be read."""
    batch = [*crowd(), *loud(9, 6.0, completion=tuple(range(1000)))]
    assert pace(batch, SETTINGS)[60:] == pytest.approx(
        [3000 / 6000, 3000 / 7000, 3000 / 8000, *[3000 / 9000] * 3, 3000 / 8000, 3000 / 7000, 0.5]
    )
    assert pace([*crowd(), *loud(9, 60.0, completion=tuple(range(1000)))], SETTINGS) == [1.0] * 69
    # One long answer, taken at a glance, is nobody's flood.
    assert pace(loud(2, 1.0, completion=tuple(range(9000))), SETTINGS) == [1.0] * 2
    assert pace(batch, TrustSettings(reading_speed=0.0)) == [1.0] * 69


def test_many_answers_in_seconds() -> None:
    """Forty decisions in four seconds weigh as twenty; one a second is a person at work."""
    assert burst(loud(40, 0.1), SETTINGS) == [0.5] * 40
    assert burst(loud(40, 1.0), SETTINGS) == [1.0] * 40


def test_what_is_said_again_counts_once() -> None:
    """One user's same request with the same answer, and one text under many names."""
    again = [evidence(i, user=LOUD, prompt=(1, 2), completion=(3,)) for i in range(4)]
    assert copies([*crowd(), *again], SETTINGS)[60:] == [0.25] * 4
    text = "this is not at all what I had asked for"
    paid = [evidence(i, said=(text,)) for i in range(5)]
    assert copies([*crowd(), *paid], SETTINGS)[60:] == [0.2] * 5
    same_answer = [evidence(i, prompt=(1, 2), completion=(3,)) for i in range(4)]
    assert copies(same_answer, SETTINGS) == [1.0] * 4
    assert copies(again, TrustSettings(copies=False)) == [1.0] * 4


def test_a_user_whose_every_decision_is_equal() -> None:
    """Forty times yes where every second answer is taken weighs as 13, of which 2^-13 is a ten-thousandth;
    where nearly all are taken it is what people do."""
    batch = [*crowd(200), *loud(40, 3600.0, reward=1.0)]
    assert one_sided(batch, SETTINGS)[200:] == pytest.approx([13.288 / 40] * 40, rel=0.02)
    pleased = [evidence(i, reward=float(i % 20 > 0)) for i in range(200)]
    assert one_sided([*pleased, *loud(40, 3600.0, reward=1.0)], SETTINGS) == [1.0] * 240
    mixed = [*loud(39, 3600.0, reward=1.0), evidence(7, user=LOUD, reward=0.0)]
    assert one_sided([*crowd(200), *mixed], SETTINGS) == [1.0] * 240
    assert one_sided(batch, TrustSettings(one_sided=0.0)) == [1.0] * 240


def test_an_even_beat_is_a_machine() -> None:
    """Thirty decisions every seven seconds weigh a tenth; the same at a person's times do not."""
    assert machine(loud(30, 7.0), SETTINGS) == [0.1] * 30
    draw, at, human = random.Random(1), 0.0, []
    for number in range(30):
        at += draw.expovariate(1 / 7.0)
        human.append(evidence(number, user=LOUD, acted_at=at))
    assert machine(human, SETTINGS) == [1.0] * 30


@pytest.mark.parametrize("name", RULES)
def test_nobody_in_particular_is_no_user(name: str) -> None:
    """Answers to people who are not named are never taken for one person's."""
    unnamed = [evidence(i, user=None, acted_at=7.0 * i, reward=1.0) for i in range(60)]
    assert RULES[name]([*crowd(), *unnamed], SETTINGS) == [1.0] * 120
