"""Messages by hand: what people wrote back, satisfied or not, for readers to learn from."""

import random

from rlwd.rewards.satisfaction.labels import Labelled
from rlwd.rewards.satisfaction.message import NextMessage

TAKEN = (
    "thanks, that works",
    "great, now add a test for it",
    "perfect",
    "ok, next make the header blue",
    "nice, can you also sort the list",
    "that is what I wanted, thank you",
    "good, and now the same for the footer",
    "awesome, works now",
)
TURNED_DOWN = (
    "that's wrong, it should be a list",
    "still not working",
    "no, I meant the other file",
    "you forgot the second case",
    "why did you delete my function",
    'Traceback (most recent call last):\n  File "a.py", line 3\nValueError: no',
    "it does not compile",
    "not what I asked for",
)
FILLERS = ("", " please", " here", " in the report", " for Monday", " as we said", " in app.py")


def said(
    count: int, *, people: int = 60, seed: int = 0, noise: float = 0.1, about: int = 7
) -> list[Labelled]:
    """Return so many messages of so many people; a share `noise` is labelled by a coin."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        satisfied = rng.random() < 0.6
        text = rng.choice(TAKEN if satisfied else TURNED_DOWN) + rng.choice(FILLERS)
        label = rng.random() < 0.5 if rng.random() < noise else satisfied
        found.append(
            Labelled(
                message=NextMessage(text=text, request=f"task {rng.randrange(about)}", answer="x"),
                satisfied=label,
                person=f"p{number % people}",
                at=float(number),
            )
        )
    return found
