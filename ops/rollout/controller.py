"""Rollout controller: decides on one policy's release, inside the caller's transaction.

It acts on nothing outside the tables: the daemon loads what should be loaded, writes the flag file
that is intended, and sends the learner back where a return is owed. So a restart goes on exactly
where the tables are. What the tables say is read from them: `champions_table`, `rollouts_table`,
`candidates_table`, and `desired_state` for what follows from them.
"""

import msgspec

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from ..stages.record import Rollout, Stage, held_still, shifted
from ..stages.settings import RolloutSettings
from ..stages.state_machine import (
    advance,
    begin,
    gated,
    promoted_by_hand,
    superseded,
    taken_back,
)
from ..statistics.guardrail import Observation
from ..statistics.paired_look import PairedLook
from ..statistics.verdict import Verdict
from . import candidates_table, champions_table, experiments_table, rollouts_table
from .rollouts_table import Hold
from .transitions import owe_return, save_move
from .unfit import check_pin, flaw_of, held_by_drift, held_by_mismatch


class RolloutController:
    """The decisions on one policy's versions."""

    def __init__(self, policy: str, settings: RolloutSettings, adapters: int = 0) -> None:
        """`adapters` is how many an engine may hold of this policy; 0 is no bound."""
        self.policy, self.settings, self.adapters = policy, settings, adapters

    def register(self, tx: Transaction, candidate: Candidate, now: float) -> bool:
        """Add a durable version; return False where it is known already.

        v0 becomes champion and anchor at once. A version whose digest is quarantined, that descends
        from a refused one, or that has the weights of champion, previous or anchor is written down
        as such and never offered. Raises ValueError for a known version with another digest, for
        any other version before v0, or for another v0.
        """
        champion = champions_table.find_champion(tx, self.policy)
        if champion is None and candidate.sequence != 0:
            raise ValueError(f"{candidate.version}: v0 must be registered first")
        anchor = candidates_table.find_anchor(tx, self.policy)
        if anchor is not None and candidate.sequence == 0 and candidate.version != anchor.version:
            raise ValueError(f"{candidate.version}: v0 is {anchor.version}; is the base another?")
        if not candidates_table.add(tx, self.policy, candidate, now):
            return False
        version, first = candidate.version, "the first version"
        if champion is None:
            champions_table.set_champion(tx, self.policy, version, first, now)
            candidates_table.close(tx, self.policy, version, "anchor", first)
            return True
        flaw = flaw_of(tx, self.policy, candidate)
        if flaw is not None:
            candidates_table.close(tx, self.policy, version, *flaw)
            # The learner stands on what nobody will be served: without a return it would move away
            # from the champion for ever, until every answer is too old to learn from.
            owe_return(tx, self.policy, candidate, champion, flaw[1], now)
        return True

    def next_candidate(self, tx: Transaction) -> Candidate | None:
        """Return the newest version to offer; None while a rollout or an A/A is under way, or held."""
        if rollouts_table.current(tx, self.policy) is not None:
            return None
        if rollouts_table.hold(tx, self.policy) or experiments_table.aa_under_way(tx, self.policy):
            return None
        waiting = candidates_table.waiting(tx, self.policy)
        return waiting[-1] if waiting else None

    def offer(
        self, tx: Transaction, candidate: Candidate, verdict: Verdict | None, now: float
    ) -> Rollout:
        """Begin a candidate's rollout, or hand it the gate's verdict; return it.

        Without a verdict the rollout only begins: from then on the candidate should be loaded, so
        that the gate can probe it. Older versions that wait are superseded by it. Raises ValueError
        for a version that is not registered or has its outcome, or while another's rollout is under
        way.
        """
        rollout = before = rollouts_table.current(tx, self.policy)
        if rollout is None:
            rollout = self._begin(tx, candidate, now)
        elif rollout.version != candidate.version:
            raise ValueError(f"{candidate.version}: {rollout.version} is {rollout.stage}")
        if verdict is not None:
            rollout = gated(rollout, verdict, now, self.settings)
        return save_move(tx, self.policy, before, rollout, now)

    def observe(
        self,
        tx: Transaction,
        seen: Observation | None,
        now: float,
        *,
        since_promotion: Observation | None = None,
        mirrored: PairedLook | None = None,
    ) -> Rollout | None:
        """Look once at the rollout under way; return it after at most one move."""
        before = rollouts_table.current(tx, self.policy)
        if before is None:
            return None
        standing = held_by_drift(tx, self.policy, before, self.settings.watch)
        mismatch = held_by_mismatch(tx, self.policy, standing, self.settings.mismatch)
        after = advance(
            msgspec.structs.replace(standing, held=mismatch) if mismatch else standing,
            seen,
            now,
            self.settings,
            since_promotion=since_promotion,
            mirrored=mirrored,
        )
        if mismatch and after.held == mismatch:
            after = msgspec.structs.replace(after, held="")  # Only for as long as it lasts.
        held = rollouts_table.hold(tx, self.policy)
        if held is not None and after.stage is not Stage.ROLLED_BACK:
            # Harm takes it back all the same; nothing else moves, and its time stands still.
            after = held_still(before, after, held.sentence)
        return save_move(tx, self.policy, before, after, now)

    def refuse(self, tx: Transaction, reason: str, now: float) -> Rollout:
        """Roll back the candidate of the rollout under way: a person refuses it.

        Raises ValueError where no rollout is under way.
        """
        before = self._under_way(tx)
        return save_move(tx, self.policy, before, taken_back(before, reason, now), now)

    def set_aside(self, tx: Transaction, reason: str, now: float) -> Rollout:
        """End the rollout under way without blame: its weights may be offered under another name.

        Raises ValueError where no rollout is under way.
        """
        before = self._under_way(tx)
        return save_move(tx, self.policy, before, superseded(before, reason, now), now)

    def rollback(self, tx: Transaction, reason: str, now: float) -> Candidate:
        """Refuse the champion, settled or not; return the champion that takes its place.

        A rollout of its child ends with it. Raises ValueError while v0 is the champion.
        """
        champion = champions_table.champion(tx, self.policy)
        current = rollouts_table.current(tx, self.policy)
        before = rollouts_table.find(tx, self.policy, champion.version)
        if before is None:
            raise ValueError(
                f"{champion.version} is the champion: there is nothing to roll back to"
            )
        if current is not None and current.version != champion.version:
            ended = superseded(current, f"made from {champion.version}, rolled back", now)
            save_move(tx, self.policy, current, ended, now)
        save_move(tx, self.policy, before, taken_back(before, reason, now), now)
        held = rollouts_table.hold(tx, self.policy)
        if held is not None and held.pinned:
            # It is not served any more; that nothing new is let out stays as somebody decided.
            paused = msgspec.structs.replace(held, pinned="")
            rollouts_table.put_hold(tx, self.policy, paused)
        return champions_table.champion(tx, self.policy)

    def promote(self, tx: Transaction, reason: str, now: float) -> Rollout:
        """Promote the candidate that people meet, whatever the evidence: a person says so.

        Done again it changes nothing, but for one that something has held since. Raises ValueError where no
        candidate meets people.
        """
        before = self._under_way(tx)
        if before.stage is Stage.PROMOTED and not before.held:
            return before
        if not before.serving:
            raise ValueError(f"{before.version} is {before.stage}: nobody has met it yet")
        after = promoted_by_hand(before, reason, now, self.settings)
        return save_move(tx, self.policy, before, after, now)

    def pause(self, tx: Transaction, by: str, reason: str, now: float) -> Hold:
        """Let no version meet more people, and none be offered; return the hold.

        Harm still takes a version back. A hold that is there stays as it is.
        """
        held = rollouts_table.hold(tx, self.policy)
        if held is None:
            held = Hold(by=by, reason=reason, since=now)
            rollouts_table.put_hold(tx, self.policy, held)
        return held

    def pin(self, tx: Transaction, version: str, by: str, reason: str, now: float) -> Hold:
        """Make a version that was champion before the champion, and keep it until `resume`.

        A rollout under way ends without blame, and the learner goes on from the pinned version.
        Raises ValueError for a version that never was champion, is quarantined, or has no weights.
        """
        champion = champions_table.champion(tx, self.policy)
        held = rollouts_table.hold(tx, self.policy)
        if held is not None and held.pinned == version == champion.version:
            return held
        check_pin(tx, self.policy, version)
        why = f"pinned by {by}: {reason}"
        if (current := rollouts_table.current(tx, self.policy)) is not None:
            ended = superseded(current, why, now)
            save_move(tx, self.policy, current, ended, now)
        newest = candidates_table.newest(tx, self.policy)
        if version != champion.version:
            champions_table.set_champion(tx, self.policy, version, why, now)
        pinned = candidates_table.find(tx, self.policy, version)
        for waiting in candidates_table.waiting(tx, self.policy):
            candidates_table.close(tx, self.policy, waiting.version, Stage.SUPERSEDED, why)
        if newest.version != version:
            owe_return(tx, self.policy, newest, pinned, why, now)
        held = Hold(pinned=version, by=by, reason=reason, since=now)
        rollouts_table.put_hold(tx, self.policy, held)
        return held

    def resume(self, tx: Transaction, now: float) -> Hold | None:
        """Let rollouts go on by themselves; return the hold that ended, if there was one.

        The time that it lasted is no part of a rollout's time.
        """
        held = rollouts_table.hold(tx, self.policy)
        current = rollouts_table.current(tx, self.policy)
        rollouts_table.put_hold(tx, self.policy, None)
        if held is not None and current is not None:
            later = shifted(current, now - max(held.since, current.entered_at))
            rollouts_table.save(tx, self.policy, later)
        return held

    def _under_way(self, tx: Transaction) -> Rollout:
        current = rollouts_table.current(tx, self.policy)
        if current is None:
            raise ValueError(f"{self.policy}: no rollout is under way")
        return current

    def _begin(self, tx: Transaction, candidate: Candidate, now: float) -> Rollout:
        waiting = candidates_table.waiting(tx, self.policy)
        if candidate.version not in {known.version for known in waiting}:
            outcome, reason = candidates_table.outcome(tx, self.policy, candidate.version)
            raise ValueError(f"{candidate.version}: {outcome} already: {reason}")
        for older in waiting:
            if older.sequence < candidate.sequence:
                reason = f"{candidate.version} was made from it and is offered"
                candidates_table.close(tx, self.policy, older.version, Stage.SUPERSEDED, reason)
        control = champions_table.champion(tx, self.policy).version
        return begin(candidate.version, candidate.digest, control, now=now, settings=self.settings)
