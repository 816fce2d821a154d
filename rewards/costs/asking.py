"""Asking: what it costs to ask the person back instead of doing what they wanted.

A policy that is never charged for a question learns to ask wherever it would fail (Cursor's second
hack). Whether a question was wanted is told by what people then did.
"""

from typing import Annotated

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.generation import Generation
from ...streams.events.signals import FollowedUp
from ..behaviours.asks import asks
from ..parts.accepted import accepted
from ..parts.last_signal import last_signal
from ..parts.satisfied import satisfied

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
NEITHER = 0.5
"""A reading between dissatisfied and satisfied."""
UNWANTED = frozenset(("correction", "dissatisfied"))
"""Statements of a person who did not want to be asked."""


def asking(episode: Episode, answered: Share = 0.25) -> float | None:
    """Return 1 where the answer only asked and nobody answered the question, 0 where it acted.

    A question that the person answered costs `answered` of that: people answer out of courtesy, too,
    so that it is never free, and what it is worth the answers after it show. It was not answered
    where they turned it down, or wrote back that they are dissatisfied or that it was wrong, by what
    the product says of their message (`statement`) or what the daemon's reader read in it. None where
    the record does not hold the answer.
    """
    asked = asks(episode.generation)
    if not asked:
        return None if asked is None else 0.0
    said = last_signal(episode, FollowedUp)
    if said is None or said.statement in UNWANTED or accepted(episode) == 0.0:
        return 1.0
    read = satisfied(episode)
    if said.statement is None and read is not None and read < NEITHER:
        return 1.0
    return answered


def is_unanswered(episode: Episode) -> bool:
    """Return whether an agent's answer only asked, and nobody answered its question.

    An agent's is one that was offered tools: it could have acted.
    """
    return could_act(episode.generation) and asking(episode) == 1.0


def could_act(generation: Generation) -> bool:
    """Return whether an answer was offered tools."""
    return bool(generation.tools)
