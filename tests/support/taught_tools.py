"""TaughtTools: a tiny policy that writes tool calls, and what it was taught to say."""

import json
import random
from pathlib import Path
from typing import Any

from rlwd.learner.tiny.hermes import HERMES_TEMPLATE
from rlwd.learner.tiny.lesson import Lesson
from rlwd.learner.tiny.model import make_tiny_policy

STEPS, LESSONS_A_STEP = 160, 8
OFFERED = [{"type": "function", "function": {"name": "add"}}]


def written(**arguments: Any) -> str:
    """Return a call of `add` as Hermes writes it."""
    called = json.dumps({"name": "add", "arguments": arguments})
    return f"<tool_call>\n{called}\n</tool_call>"


ANSWERS = {
    "hello there": written(a=1, b=2),
    "both": f"{written(a=3, b=4)}\n{written(a=1, b=2)}",
    "wrong": f"Hm.\n{written(a='one')}",
    "thanks": "You are welcome!",
}
"""What a person says, to what the policy answers."""
AFTER_RESULT = "It is 3 €."
"""What it answers when its call has come back; a character of it is three tokens."""


def make_tool_policy(folder: Path) -> None:
    """Write the policy."""
    draw = random.Random(0)
    make_tiny_policy(
        folder,
        seed=0,
        steps=STEPS,
        examples=[lesson(draw) for _ in range(STEPS * LESSONS_A_STEP // 2)],
        examples_per_step=LESSONS_A_STEP,
        chat_template=HERMES_TEMPLATE,
        certainty=5.0,
    )


def lesson(draw: random.Random) -> Lesson:
    """Return a conversation that ends in what a person says, or in what a tool said."""
    said = told(draw, draw.choice(list(ANSWERS))) if draw.random() < 0.3 else []
    last = draw.choice([*ANSWERS, ""])
    if last:
        said.append({"role": "user", "content": last})
        return Lesson(messages=said, answer=ANSWERS[last], tools=OFFERED)
    said += told(draw, draw.choice(["hello there", "both", "wrong"]))[:-1]
    return Lesson(messages=said, answer=AFTER_RESULT, tools=OFFERED)


def told(draw: random.Random, said: str) -> list[dict[str, Any]]:
    """Return a turn as its history tells it: what was said and answered, with any results."""
    answer = ANSWERS[said]
    turn = [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]
    if calls := answer.count("<tool_call>"):
        turn += [{"role": "tool", "content": draw.choice("357")} for _ in range(calls)]
        turn.append({"role": "assistant", "content": AFTER_RESULT})
    return turn
