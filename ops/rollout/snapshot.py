"""Release snapshot: all that one step of a release reads of the tables, read in one view."""

from dataclasses import dataclass
from typing import NamedTuple

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from ..flags import intents_table
from ..flags.flag_state import FlagState
from ..stages.record import Rollout
from ..stages.settings import RolloutSettings
from . import candidates_table, champions_table, rollouts_table
from .desired_state import PROVEN_APART, flag_state, should_be_loaded
from .rollouts_table import LearnerReturn


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSnapshot:
    """How a release stands, and what follows for engines, flag file and learner."""

    champion: Candidate
    """The version that serves everybody who is in no experiment."""
    rollout: Rollout | None
    """The rollout under way, bake included."""
    waiting: tuple[Candidate, ...]
    """Versions without a decision, oldest first."""
    owed: LearnerReturn | None
    """The checkpoint that the learner must go back to."""
    loaded: dict[str, Candidate]
    """What every engine should hold, by version."""
    flags: FlagState
    """What the flag file should say."""
    confirmed: bool
    """Whether the file was confirmed to say it."""


class LearnerStanding(NamedTuple):
    """How a release leaves the learner: whether it may go on, and from where."""

    undecided: int | None = None
    """Versions that wait for their decision. None while nothing may be learned: before v0 exists, or
    while an engine serves another base model than the one that is trained."""
    champion: str = ""
    """Version that serves everybody; empty before v0 exists."""
    back_to: int | None = None
    """Checkpoint that it must go back to, because a version that it made was given up."""


def read_standing(tx: Transaction, policy: str) -> LearnerStanding:
    """Return how the learner stands, as far as the tables say."""
    champion = champions_table.find_champion(tx, policy)
    if champion is None:
        return LearnerStanding()
    owed = rollouts_table.must_return(tx, policy)
    return LearnerStanding(
        champion=champion.version,
        undecided=len(candidates_table.waiting(tx, policy)),
        back_to=None if owed is None else owed.to_sequence,
    )


def read_snapshot(
    tx: Transaction, policy: str, settings: RolloutSettings, now: float, adapters: int = 0
) -> ReleaseSnapshot | None:
    """Return how the release stands; None before v0 was registered.

    No version waits where the policy's share of an engine's `adapters` has no room for one more: it does
    again once those that linger are unloaded.
    """
    champion = champions_table.find_champion(tx, policy)
    if champion is None:
        return None
    newest = intents_table.newest(tx, policy)
    flags = flag_state(tx, policy, settings, 1 if newest is None else newest[0].generation)
    loaded = should_be_loaded(tx, policy, settings, now, adapters)
    full = adapters and len(loaded) + PROVEN_APART >= adapters
    return ReleaseSnapshot(
        champion=champion,
        rollout=rollouts_table.current(tx, policy),
        waiting=() if full else tuple(candidates_table.waiting(tx, policy)),
        owed=rollouts_table.must_return(tx, policy),
        loaded=loaded,
        flags=flags,
        confirmed=newest is not None and newest[1] and flags == newest[0],
    )
