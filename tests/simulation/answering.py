"""Answering: what a life without servers asks its answers of, a model or a script."""

from collections.abc import Sequence
from typing import Protocol

from sampled_policy import DrawnAnswer, Tokens

from rlwd.daemon.worlds.world import Ask
from rlwd.learner.candidate import HeldOut, Preference
from rlwd.learner.sealed import SealedBatch


class Evidence(Protocol):
    """What an update says of itself; the learner's `Update` does."""

    @property
    def held_out(self) -> HeldOut | None: ...
    @property
    def preference(self) -> Preference | None: ...
    @property
    def metrics(self) -> dict[str, float]: ...


class Answering(Protocol):
    """What answers and learns."""

    end: int
    """Token that ends an answer."""

    def stand(self) -> object:
        """Return what it is now, to go back to."""

    def back(self, stood: object) -> None:
        """Go back to it."""

    def draw_answers(self, prompts: Sequence[Tokens]) -> list[DrawnAnswer]:
        """Answer."""

    def spelt(self, completion: Tokens) -> str:
        """Return what tokens spell."""

    def prompt(self, ask: Ask) -> Tokens:
        """Return the tokens that are read."""

    def apply(self, batch: SealedBatch) -> Evidence:
        """Apply one batch."""
