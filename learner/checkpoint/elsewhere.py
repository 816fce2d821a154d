"""Learner elsewhere: what a checkpoint needs of a learner whose weights lie in no process of ours."""

from abc import ABC, abstractmethod
from pathlib import Path

from ..candidate import Manifest
from ..made_with import MadeWith
from ..ranks.group import ALONE, Ranks

AT_SERVICE = "service.json"
"""What names the state, in a checkpoint of a learner elsewhere."""


class LearnerElsewhere(ABC):
    """Its state has a name where it lies, and its adapter a copy here."""

    made_with: MadeWith
    """What its updates depend on."""
    base: str
    """What the base model is, for people."""
    base_digest: str
    """Digest of the base model's weights."""
    ranks: Ranks = ALONE
    """One process of ours asks."""

    @abstractmethod
    def write(self, aside: Path) -> Path:
        """Write its state into a checkpoint's folder; return the folder there of its adapter."""

    @abstractmethod
    def read(self, checkpoint: Path, manifest: Manifest) -> None:
        """Go on from a checkpoint's state. Raises ValueError where it is another kind of learner's."""

    @abstractmethod
    def stand_on_offered(self) -> None:
        """As `Learner.stand_on_offered`."""
