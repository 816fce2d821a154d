"""Sitting: what one version answered to the questions that are asked beside a demo's people."""

import msgspec


class ExamAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One question with its answer."""

    kind: str
    """`unseen`, `reworded` or `everyday`."""
    question: str
    """What was asked."""
    answer: str
    """What the version said."""
    right: bool
    """Whether it is to the team's taste; of everyday questions, whether it is right."""


class Sitting(msgspec.Struct, frozen=True, kw_only=True):
    """One version's answers."""

    version: str
    """The version."""
    at: int
    """How many answers people had got by then."""
    asked: tuple[ExamAnswer, ...]
    """In the order of the questions."""

    def share(self, kind: str) -> float | None:
        """Return the share that was right of a kind; None where none was asked."""
        right = [one.right for one in self.asked if one.kind == kind]
        return sum(right) / len(right) if right else None
