"""Styles: the tiny policy's small world of kinds of work, topics and answer styles.

The tiny policy is pre-trained on every style alike; the crowd wants one of them in each kind of
work and never says which. What is to be learned is only in what people do with the answers.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

KINDS = ("reply", "title", "note", "alert")
TOPICS = (
    *("invoice", "backup", "login", "report", "budget", "server"),
    *("ticket", "meeting", "search", "release", "contract", "survey"),
)

STYLES: dict[str, Callable[[str], str]] = {
    "plain": lambda topic: f"{topic} is done",
    "bullet": lambda topic: f"- {topic}",
    "shout": lambda topic: f"{topic.upper()}!",
    "polite": lambda topic: f"please see {topic}",
    "brief": lambda topic: f"ok {topic}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing that a person asks for."""

    kind: str
    """Kind of work; the segment of the generation."""
    topic: str
    """What it is about."""

    @property
    def prompt(self) -> str:
        """What the person types."""
        return f"{self.kind}: {self.topic}"


def draw_task(rng: random.Random) -> Task:
    """Draw what somebody asks for next."""
    return Task(kind=rng.choice(KINDS), topic=rng.choice(TOPICS))


def style_of(task: Task, answer: str) -> str | None:
    """Return the style of an answer to this task, or None where it is none of them."""
    for style, write in STYLES.items():
        if answer.strip() == write(task.topic):
            return style
    return None


def hidden_preference(seed: int) -> dict[str, str]:
    """Return the style that the crowd wants in each kind of work: all different, by the seed.

    There are more styles than kinds: a policy that has learned nothing pleases a fifth.
    """
    styles = list(STYLES)
    random.Random(f"preference:{seed}").shuffle(styles)
    return dict(zip(KINDS, styles, strict=False))


def unwanted_style(seed: int) -> str:
    """Return the one style that the crowd wants in no kind of work."""
    (unwanted,) = set(STYLES) - set(hidden_preference(seed).values())
    return unwanted


def pretraining_pairs() -> list[tuple[str, str]]:
    """Return every prompt with every style of answer, equally often."""
    return [
        (Task(kind=kind, topic=topic).prompt, write(topic))
        for kind in KINDS
        for topic in TOPICS
        for write in STYLES.values()
    ]
