"""Lesson: one answer that a tiny policy is taught, and the conversation that it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One example of pre-training, in the words that an engine passes to a chat template."""

    messages: Sequence[Mapping[str, Any]]
    """What was said before the answer."""
    answer: str
    """What the policy shall write, without its end."""
    tools: Sequence[Mapping[str, Any]] = ()
    """What is offered."""


def as_lesson(example: "Lesson | tuple[str, str]") -> Lesson:
    """Return an example as a lesson; a pair is a user's text and the answer to it."""
    if isinstance(example, Lesson):
        return example
    prompt, answer = example
    return Lesson(messages=[{"role": "user", "content": prompt}], answer=answer)
