"""Release: takes what the learner finished through gate and rollout, and makes the outside agree.

The tables decide; this room loads adapters, proves them, writes the flag file and looks at what
people did. Each step can be repeated after a crash: loading what is loaded, writing a flag file
under a new generation and looking again change nothing that was decided.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from ...learner.candidate import Candidate, Manifest
from ...learner.checkpoint.folder import candidate_of
from ...streams.join.exposure import VariantTally, exposures, user_sums
from ...streams.state.crash_points import CrashPoint, crash_here
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..engine.adapter_check import DamagedAdapter, check_adapter
from ..engine.fleet import Fleet
from ..engine.port import Proof
from ..flags.flag_file import named_in
from ..statistics.gate import GateSettings, judge
from ..statistics.guardrail import Observation, VariantObservation
from ..statistics.sequential_tests import UserSums
from . import candidates_table, champions_table, rollouts_table
from .controller import RolloutController
from .publish_flags import project
from .record import Rollout, Stage

log = structlog.get_logger()

RETOLD = 8
"""How many of the last rollouts are looked at for moves that somebody else made."""


class Release:
    """One policy's way from a checkpoint to people."""

    def __init__(
        self,
        store: Store,
        policy: str,
        controller: RolloutController,
        fleet: Fleet,
        gate: GateSettings,
        *,
        flags: Path,
        checkpoints: Path,
        look_seconds: float,
        moved: Callable[[Rollout], None] = lambda rollout: None,
        looked: Callable[[Rollout, float], None] = lambda rollout, now: None,
    ) -> None:
        self.store, self.policy, self.controller = store, policy, controller
        self.fleet, self.gate = fleet, gate
        self.flags, self.checkpoints, self.look_seconds = flags, checkpoints, look_seconds
        self.moved, self.looked = moved, looked
        self.stage = ""
        self._looked_at = 0.0
        self._rewritten = False
        self._told: dict[str, str] = {}

    def register(self, tx: Transaction, manifest: Manifest, now: float) -> None:
        """Write down a checkpoint as what it is: v0, a candidate, or the learner's way back."""
        if manifest.batch_id is None and manifest.parent_sequence is not None:
            self.controller.returned(tx, manifest.parent_sequence, now)
        elif manifest.parent_sequence is None or manifest.batch_id in manifest.applied:
            self.controller.register(tx, candidate_of(self.checkpoints, manifest), now)

    def kept(self, tx: Transaction, now: float) -> set[int]:
        """Return the checkpoints that flags, engines or a way back still name."""
        return self.controller.kept(tx, now)

    def undecided(self) -> int | None:
        """Return how many versions wait for their decision; None before v0 exists."""
        with self.store.reading() as view:
            if champions_table.champion(view, self.policy) is None:
                return None
            return self.controller.undecided(view)

    def champion_version(self) -> str:
        """Return the version that is served; empty before v0 exists."""
        with self.store.reading() as view:
            champion = champions_table.champion(view, self.policy)
        return "" if champion is None else champion.version

    def owes_return(self) -> int | None:
        """Return the checkpoint that the learner must go back to, or None."""
        with self.store.reading() as view:
            owed = self.controller.must_return(view)
        return None if owed is None else owed.to_sequence

    def step(self, now: float) -> None:
        """Offer, gate, look, and make flag file and engines agree; one small move at a time."""
        if not self.champion_version():
            return
        self._offer(now)
        if now - self._looked_at >= self.look_seconds:
            self._looked_at = now
            self._look(now)
        with self.store.reading() as view:
            wanted = self.controller.should_be_loaded(view, now)
            served = named_in(self.controller.flag_state(view))
        if self.fleet.problem is not None or not self.fleet.has(wanted):
            self.fleet.fill(wanted)
        # What every engine has had may be named even while one is away: it is filled before it
        # serves again, and a rollback waits for nobody, not even for its own way further back.
        if self.fleet.has(served):
            self._project(now)

    def reconcile(self, now: float) -> None:
        """See that every engine holds what it should and nothing of ours besides."""
        if self.champion_version():
            self.fleet.fill(self._wanted(now))

    def _wanted(self, now: float) -> dict[str, Candidate]:
        with self.store.reading() as view:
            return self.controller.should_be_loaded(view, now)

    def _offer(self, now: float) -> None:
        with self.store.transaction() as tx:
            rollout = self.controller.current(tx)
            candidate = self.controller.next_candidate(tx)
            if rollout is None and candidate is not None:
                rollout = self.controller.offer(tx, candidate, None, now)
            if rollout is None or rollout.stage is not Stage.OFFERED:
                return
            candidate = candidates_table.find(tx, self.policy, rollout.version)
        crash_here(CrashPoint.OFFERED)
        self._tell(rollout)
        self._judge(candidate, now)

    def _judge(self, candidate: Candidate, now: float) -> None:
        problem = None
        try:
            check_adapter(candidate.path, candidate.digest)
        except DamagedAdapter as found:
            # The disk's fault and not the weights': the batch is applied again and offered anew.
            self._set_aside(candidate, str(found), now)
            return
        except ValueError as found:
            problem = str(found)
        proofs: Sequence[Proof] = ()
        if problem is None:
            proven = self.fleet.prove(self._wanted(now), candidate)
            if proven is None:
                return  # An engine's fault and not the candidate's: the gate's deadline runs.
            proofs = proven
        verdict = judge(candidate, adapter_problem=problem, proofs=proofs, settings=self.gate)
        log.info("gate", version=candidate.version, verdict=verdict.outcome, why=verdict.reason)
        with self.store.transaction() as tx:
            if not self._still_offered(tx, candidate):
                return
            judged = self.controller.offer(tx, candidate, verdict, now)
        self._tell(judged)

    def _still_offered(self, tx: Transaction, candidate: Candidate) -> bool:
        """Return whether nobody took the candidate back while it was being looked at."""
        rollout = self.controller.current(tx)
        return rollout is not None and rollout.version == candidate.version

    def _set_aside(self, candidate: Candidate, problem: str, now: float) -> None:
        log.error("adapter_damaged", version=candidate.version, problem=problem)
        with self.store.transaction() as tx:
            if not self._still_offered(tx, candidate):
                return
            aside = self.controller.set_aside(tx, f"its files are damaged: {problem}", now)
        self._tell(aside)

    def _look(self, now: float) -> None:
        after = None
        with self.store.transaction() as tx:
            rollout = self.controller.current(tx)
            if rollout is not None:
                # While it is only offered nobody has seen it: the look lets its deadline run.
                offered = rollout.stage is Stage.OFFERED
                seen = None if offered else self.observe(tx, rollout.version)
                after = self.controller.observe(tx, seen, now)
            last = rollouts_table.history(tx, self.policy, limit=RETOLD)
        if after is not None and after.serving:
            self.looked(after, now)
        # All of them, because an operator takes versions back without asking this process.
        for each in last:
            self._tell(each)

    def observe(self, tx: Transaction, salt: str) -> Observation:
        """Return what people did under one experiment, by variant."""
        sums = user_sums(tx, self.policy, salt)
        tallies = exposures(tx, self.policy, salt)

        def of(variant: str) -> VariantObservation:
            tally = tallies.get(variant, VariantTally())
            return VariantObservation(
                sums=UserSums.of(sums.get(variant, ())),
                exposed_users=tally.users,
                requests=tally.requests,
                empty=tally.empty,
            )

        return Observation(candidate=of("candidate"), control=of("control"))

    def _project(self, now: float) -> None:
        state = project(self.store, self.controller, self.flags, now, always=not self._rewritten)
        self._rewritten = True
        if state is not None:
            log.info("flags_written", generation=state.generation, champion=state.champion.version)

    def _tell(self, rollout: Rollout) -> None:
        """Say where a rollout is, once for each place it comes to."""
        stage = f"{rollout.version} {rollout.stage} {rollout.step}"
        self.stage = stage
        if self._told.get(rollout.version) == stage:
            return
        self._told[rollout.version] = stage
        why = rollout.trail[-1].reason if rollout.trail else ""
        log.info("rollout", version=rollout.version, stage=rollout.stage, why=why)
        self.moved(rollout)
