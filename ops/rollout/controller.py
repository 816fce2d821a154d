"""Rollout controller: keeps one policy's release in the tables and says what must be true outside.

It acts on nothing: the daemon loads what should be loaded, writes the flag file that is intended,
and sends the learner back where that is owed. So a restart goes on exactly where the tables are.
"""

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from ..flags import intents_table
from ..flags.flag_file import FlagState
from ..statistics.guardrail import Observation
from ..statistics.verdict import Verdict
from . import (
    candidates_table,
    champions_table,
    desired_state,
    rollouts_table,
)
from .record import Rollout, Stage
from .rollouts_table import LearnerReturn
from .settings import RolloutSettings
from .state_machine import advance, begin, gated, superseded, taken_back
from .transitions import keep, owe_return

REIGNS_KEPT = 8
"""So many rollbacks one after another find weights to go back to; then comes v0."""


class RolloutController:
    """The release of one policy. Every method works inside the caller's transaction."""

    def __init__(self, policy: str, settings: RolloutSettings) -> None:
        self.policy, self.settings = policy, settings

    def register(self, tx: Transaction, candidate: Candidate, now: float) -> bool:
        """Add a durable version; return False where it is known already.

        v0 becomes champion and anchor at once. A version whose digest is quarantined, that descends
        from a refused one, or that has the weights of champion, previous or anchor is written down
        as such and never offered. Raises ValueError for a known version with another digest, before v0, or for
        another v0.
        """
        champion = champions_table.champion(tx, self.policy)
        if champion is None and candidate.sequence != 0:
            raise ValueError(f"{candidate.version}: v0 must be registered first")
        anchor = candidates_table.first(tx, self.policy)
        if anchor is not None and candidate.sequence == 0 and candidate.version != anchor.version:
            raise ValueError(f"{candidate.version}: v0 is {anchor.version}; is the base another?")
        if not candidates_table.add(tx, self.policy, candidate, now):
            return False
        if champion is None:
            champions_table.set_champion(
                tx, self.policy, candidate.version, "the first version", now
            )
            candidates_table.close(
                tx, self.policy, candidate.version, "anchor", "the first version"
            )
            return True
        flaw = self._flaw(tx, candidate)
        if flaw is not None:
            candidates_table.close(tx, self.policy, candidate.version, *flaw)
            if flaw[0] is Stage.QUARANTINED:
                # The learner stands on what was refused, as after a refusal.
                owe_return(tx, self.policy, candidate, champion, flaw[1], now)
        return True

    def champion(self, tx: Transaction) -> Candidate:
        """Return the version that serves everybody who is in no experiment."""
        champion = champions_table.champion(tx, self.policy)
        assert champion is not None, f"{self.policy}: v0 was never registered"
        return champion

    def previous(self, tx: Transaction) -> Candidate | None:
        """Return whom a rollback would crown; None while only v0 ever reigned."""
        return champions_table.previous(tx, self.policy)

    def anchor(self, tx: Transaction) -> Candidate:
        """Return v0."""
        anchor = candidates_table.first(tx, self.policy)
        assert anchor is not None, f"{self.policy}: v0 was never registered"
        return anchor

    def undecided(self, tx: Transaction) -> int:
        """Return how many versions wait for their decision: the learner's lead (CONTRACTS 19)."""
        return len(candidates_table.waiting(tx, self.policy))

    def next_candidate(self, tx: Transaction) -> Candidate | None:
        """Return the newest version to offer; None while a rollout is under way."""
        if self.current(tx) is not None:
            return None
        waiting = candidates_table.waiting(tx, self.policy)
        return waiting[-1] if waiting else None

    def current(self, tx: Transaction) -> Rollout | None:
        """Return the rollout under way, bake included."""
        return rollouts_table.current(tx, self.policy)

    def history(self, tx: Transaction) -> list[Rollout]:
        """Return all rollouts, oldest first."""
        return rollouts_table.history(tx, self.policy)

    def offer(
        self, tx: Transaction, candidate: Candidate, verdict: Verdict | None, now: float
    ) -> Rollout:
        """Begin a candidate's rollout, or tell it what the gate says; return it.

        Without a verdict it is only begun: from then on it should be loaded, so that the gate can
        probe it. Older versions that wait are superseded by it. Raises ValueError for a version
        that is not registered or has its outcome, or while another's rollout is under way.
        """
        rollout = before = self.current(tx)
        if rollout is None:
            rollout = self._begin(tx, candidate, now)
        elif rollout.version != candidate.version:
            raise ValueError(f"{candidate.version}: {rollout.version} is {rollout.stage}")
        if verdict is not None:
            rollout = gated(rollout, verdict, now, self.settings)
        return keep(tx, self.policy, before, rollout, now)

    def observe(self, tx: Transaction, seen: Observation | None, now: float) -> Rollout | None:
        """Look once at the rollout under way; return it after at most one move."""
        before = self.current(tx)
        if before is None:
            return None
        return keep(tx, self.policy, before, advance(before, seen, now, self.settings), now)

    def refuse(self, tx: Transaction, reason: str, now: float) -> Rollout:
        """Take back the version of the rollout under way; a person says so.

        Raises ValueError where none is.
        """
        before = self.current(tx)
        if before is None:
            raise ValueError(f"{self.policy}: no rollout is under way")
        return keep(tx, self.policy, before, taken_back(before, reason, now), now)

    def set_aside(self, tx: Transaction, reason: str, now: float) -> Rollout:
        """End the rollout under way without guilt: its weights may be offered under another name.

        Raises ValueError where none is.
        """
        before = self.current(tx)
        if before is None:
            raise ValueError(f"{self.policy}: no rollout is under way")
        return keep(tx, self.policy, before, superseded(before, reason, now), now)

    def rollback(self, tx: Transaction, reason: str, now: float) -> Candidate:
        """Take back the champion, settled or not; return the one before it, which reigns again.

        A rollout of its child ends with it. Raises ValueError while v0 reigns.
        """
        champion, current = self.champion(tx), self.current(tx)
        before = rollouts_table.find(tx, self.policy, champion.version)
        if before is None:
            raise ValueError(f"{champion.version} reigns: there is nothing to roll back to")
        if current is not None and current.version != champion.version:
            ended = superseded(current, f"made from {champion.version}, rolled back", now)
            keep(tx, self.policy, current, ended, now)
        keep(tx, self.policy, before, taken_back(before, reason, now), now)
        return self.champion(tx)

    def must_return(self, tx: Transaction) -> LearnerReturn | None:
        """Return what the learner still owes; it persists until `returned`."""
        return rollouts_table.must_return(tx, self.policy)

    def returned(self, tx: Transaction, to: int, now: float) -> None:
        """Write down that the learner went back so far, before what it makes next is registered.

        A return that leads further back is still owed.
        """
        rollouts_table.returned(tx, self.policy, to, now)

    def should_be_loaded(self, tx: Transaction, now: float) -> dict[str, Candidate]:
        """Return all that every engine should hold, by version."""
        return desired_state.should_be_loaded(tx, self.policy, self.settings, now)

    def kept(self, tx: Transaction, now: float) -> set[int]:
        """Return the checkpoints that something still names: retention keeps them whole.

        What should be loaded, what waits, whom rollbacks one after another would crown, and where
        the learner has to go back to (CONTRACTS 20).
        """
        named = {
            candidate.version: candidate for candidate in candidates_table.waiting(tx, self.policy)
        }
        named |= self.should_be_loaded(tx, now)
        for version in champions_table.successors(tx, self.policy, REIGNS_KEPT):
            named[version] = candidates_table.find(tx, self.policy, version)
        owed = self.must_return(tx)
        return {one.sequence for one in named.values()} | ({owed.to_sequence} if owed else set())

    def quarantined(self, tx: Transaction) -> dict[str, str]:
        """Return digest to reason of all that is never offered again, nor trained from."""
        return candidates_table.quarantined(tx, self.policy)

    def flag_state(self, tx: Transaction, generation: int = 1) -> FlagState:
        """Return what the flag file should say now."""
        return desired_state.flag_state(tx, self.policy, self.settings, generation)

    def flag_is_current(self, tx: Transaction) -> bool:
        """Return whether the file was confirmed to say what it should."""
        newest = intents_table.newest(tx, self.policy)
        return (
            newest is not None
            and newest[1]
            and self.flag_state(tx, newest[0].generation) == newest[0]
        )

    def intend(self, tx: Transaction, file_generation: int, now: float) -> FlagState:
        """Write down what the file is to say, under a generation above the file's and our own."""
        newest = intents_table.newest(tx, self.policy)
        known = 0 if newest is None else newest[0].generation
        state = self.flag_state(tx, max(known, file_generation) + 1)
        intents_table.intend(tx, state, now)
        return state

    def confirm(self, tx: Transaction, generation: int, now: float) -> None:
        """Write down that the file was read back and says this generation."""
        intents_table.confirm(tx, self.policy, generation, now)

    def confirmed(self, tx: Transaction) -> FlagState | None:
        """Return the newest intent that the file was confirmed to say."""
        return intents_table.confirmed(tx, self.policy)

    def unconfirmed(self, tx: Transaction) -> FlagState | None:
        """Return the newest intent where the file was not confirmed to say it."""
        newest = intents_table.newest(tx, self.policy)
        return None if newest is None or newest[1] else newest[0]

    def _flaw(self, tx: Transaction, candidate: Candidate) -> tuple[Stage, str] | None:
        """Return why a new version is never to be offered."""
        banned = self.quarantined(tx).get(candidate.digest)
        if banned is not None:
            return Stage.QUARANTINED, f"the weights of {banned}"
        owed = self.must_return(tx)
        if owed is not None and candidate.sequence > owed.refused_sequence:
            return Stage.SUPERSEDED, f"made from {owed.refused_version}, which was refused"
        for known in (self.champion(tx), self.previous(tx), self.anchor(tx)):
            if known is not None and known.digest == candidate.digest:
                return Stage.SUPERSEDED, f"the same weights as {known.version}"
        return None

    def _begin(self, tx: Transaction, candidate: Candidate, now: float) -> Rollout:
        waiting = candidates_table.waiting(tx, self.policy)
        if candidate.version not in {known.version for known in waiting}:
            outcome, reason = candidates_table.outcome(tx, self.policy, candidate.version)
            raise ValueError(f"{candidate.version}: {outcome} already: {reason}")
        for older in waiting:
            if older.sequence < candidate.sequence:
                reason = f"{candidate.version} was made from it and is offered"
                candidates_table.close(tx, self.policy, older.version, Stage.SUPERSEDED, reason)
        control = self.champion(tx).version
        return begin(candidate.version, candidate.digest, control, now=now, settings=self.settings)
