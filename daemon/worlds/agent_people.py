"""Agent people: they want the change made, look at what comes of it, and say little of the rest."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from .agent import ACTS, ASKS, BROKEN, SUCCEEDS, TOOLS, FileChange, draw_change
from .world import Act, Answer, Ask, Reaction

SEGMENT = "edit"
"""One kind of work: the product does not know which requests are hard."""
LONGEST_TOKENS = 40
ANSWERS_A_QUESTION, COMPLAINS_OF_IT = 0.2, 0.3
"""Shares of those who are asked: the others leave, and nobody turns a question down."""


class AgentPeople:
    """People with an agent (a `World`)."""

    def ask(self, user: str, rng: random.Random) -> Ask:
        """Return one request for a change."""
        change = draw_change(rng)
        return Ask(
            messages=({"role": "user", "content": change.prompt},),
            segment=SEGMENT,
            about=change,
            options={"max_tokens": LONGEST_TOKENS, "tools": TOOLS},
        )

    def react(self, ask: Ask, answer: Answer, user: str, rng: random.Random) -> Reaction:
        """Take a change that does what was wanted, turn down one that does not.

        A call that could not be run shows them nothing, so that they decide nothing.
        """
        decides, draw = rng.uniform(0.05, 0.4), rng.random()
        file, change = edited_file(answer.message), ask.about
        if file is not None:
            wanted = file == change.file and draw < SUCCEEDS[change.kind]
            signal = {"kind": "accepted" if wanted else "rejected"}
            acts: tuple[Act, ...] = (Act(after_seconds=decides, signal=signal),)
            return Reaction(taken=wanted, wanted=wanted, acts=acts, did=ACTS)
        asks = answer.text.endswith("?")
        acts = _to_a_question(change, decides, draw) if asks else ()
        return Reaction(taken=False, wanted=False, acts=acts, did=ASKS if asks else BROKEN)


def edited_file(message: Mapping[str, Any]) -> str | None:
    """Return the file that a call changes; None where there is no call that can be run."""
    calls: Sequence[Any] = message.get("tool_calls") or ()
    if len(calls) != 1 or calls[0]["function"]["name"] != "edit":
        return None
    try:
        arguments = json.loads(calls[0]["function"]["arguments"])
    except ValueError:
        return None
    known = isinstance(arguments, dict) and arguments.keys() == {"file"}
    return arguments["file"] if known and isinstance(arguments["file"], str) else None


def _to_a_question(change: FileChange, decides: float, draw: float) -> tuple[Act, ...]:
    if draw < ANSWERS_A_QUESTION:
        said = {"text": f"the {change.file} file, there is one", "statement": "direction"}
    elif draw < ANSWERS_A_QUESTION + COMPLAINS_OF_IT:
        said = {"text": "just do it", "statement": "dissatisfied"}
    else:
        return ()
    return (Act(after_seconds=decides, signal={"kind": "followed_up", **said}),)
