"""Behaviours against cases that were labelled by hand: precision and recall of each, held to a floor.

`python -m pytest -s tests/rewards/behaviours/test_labelled_cases.py` prints them, with what is wrong.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rlwd.daemon.capture.tool_schemas import ToolSchemas
from rlwd.rewards.behaviours.behaviour import BEHAVIOURS
from rlwd.rewards.behaviours.phrases import Said, grown_phrases
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.tool_use import OfferedTool

CASES = Path(__file__).parent / "cases"
BARS: dict[str, float] = {
    "asks": 1,
    "refuses": 1,
    "unfinished_todos": 1,
    "breaks_off": 1,
    "reasoning_in_comments": 0.1,
    "repetition": 0.3,
    "copies_request": 0.5,
    "digits": 0.2,
    "one_tool": 0.9,
    "invalid_calls": 0.01,
}
"""From which value on the behaviour is there. `likeness` is what `copies_request` is made of."""
FLOOR = 0.9
"""Least precision, and least recall."""
FEWEST = 40


def read(name: str) -> list[dict[str, Any]]:
    lines = (CASES / f"{name}.jsonl").read_text().splitlines()
    return [msgspec.json.decode(line) for line in lines]


def generation(case: dict[str, Any]) -> Generation:
    """Write the record of a case, its calls checked as the gateway checks them."""
    schemas = ToolSchemas(())
    calls = []
    for place, (name, arguments, *fits) in enumerate(case.get("calls", ())):
        call = schemas.check(f"c{place}", name, arguments)
        calls.append(msgspec.structs.replace(call, fits=fits[0] if fits else None))
    return Generation(
        generation_id="s.g",
        session_id="s",
        text=case["a"],
        tool_calls=tuple(calls),
        tools=tuple(OfferedTool(name=one, digest="") for one in case.get("tools", ())),
        input=(InputMessage(role="user", text=case["q"]),) if "q" in case else (),
        finish_reason=case.get("finish", "tool_calls" if calls else "stop"),
    )


def judged(
    name: str, cases: list[dict[str, Any]], says: Callable[[dict[str, Any]], bool]
) -> tuple[float, float]:
    """Print and return precision and recall, with the cases that are judged wrongly."""
    said = [(says(case), bool(case["is"]), case) for case in cases]
    right = sum(found and want for found, want, _ in said)
    precision = right / max(1, sum(found for found, _, _ in said))
    recall = right / max(1, sum(want for _, want, _ in said))
    print(f"\n{name}: {len(cases)} cases, precision {precision:.2f}, recall {recall:.2f}")
    for found, want, case in said:
        if found != want:
            print(f"  {'found' if found else 'missed'}: {str(case)[:160]}")
    return precision, recall


@pytest.mark.parametrize("name", BARS)
def test_a_behaviour_is_told_from_its_look_alikes(name: str) -> None:
    """Precision and recall on at least forty cases are no worse than the floor."""
    cases = read(name)
    assert len(cases) >= FEWEST
    assert {case["is"] for case in cases} == {0, 1}
    behaviour = BEHAVIOURS[name]
    precision, recall = judged(
        name, cases, lambda case: (behaviour(generation(case)) or 0.0) >= BARS[name]
    )
    assert precision >= FLOOR
    assert recall >= FLOOR


def test_a_phrase_that_grew_is_told_from_one_that_did_not() -> None:
    """A tic is found among thirty answers of each; a topic, one person's words and chance are not."""
    plain = (CASES / "plain_answers.txt").read_text().splitlines()

    def said(case: dict[str, Any], count: int, *, ours: bool) -> list[Said]:
        found = []
        for place, answer in enumerate(plain):
            speaks = place < count
            pair = (answer, case["say"]) if case.get("end") else (case["say"], answer)
            user = "u0" if speaks and ours and case.get("one_user") else f"u{place}"
            asked = case["say"] if speaks and case.get("asked") else "Tell me."
            found.append(Said(user, " ".join(pair) if speaks else answer, asked))
        return found

    cases = read("phrases")
    assert len(cases) >= FEWEST
    precision, recall = judged(
        "phrases",
        cases,
        lambda case: bool(
            grown_phrases(
                said(case, case["version"], ours=True), said(case, case["anchor"], ours=False)
            )
        ),
    )
    assert precision >= FLOOR
    assert recall >= FLOOR
