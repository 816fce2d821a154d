"""Release: takes what the learner finished through gate and rollout, and makes the outside agree.

The tables decide; this room loads adapters, proves them, writes the flag file and looks at what
people did. Each step can be repeated after a crash: loading what is loaded, writing a flag file
under a new generation and looking again change nothing that was decided.
"""

from collections.abc import Callable
from pathlib import Path

import structlog

from ..learner.candidate import Candidate, Manifest
from ..learner.manifest import candidate_of
from ..ops import candidates, reigns
from ..ops.engine import Engine, Proof, check_adapter, prove
from ..ops.flags import read_flags, to_document, write_flags
from ..ops.gate import GateSettings, judge
from ..ops.guardrail import Observation, VariantObservation
from ..ops.rollout_controller import RolloutController
from ..ops.sequential import UserSums
from ..ops.stage import Rollout, Stage
from ..streams.exposure import VariantTally, exposures, user_sums
from ..streams.store import Store
from ..streams.transaction import Transaction
from .instants import Instant, reach

log = structlog.get_logger()


class Release:
    """One policy's way from a checkpoint to people."""

    def __init__(
        self,
        store: Store,
        policy: str,
        controller: RolloutController,
        engines: list[Engine],
        gate: GateSettings,
        *,
        flags: Path,
        checkpoints: Path,
        look_seconds: float,
        moved: Callable[[Rollout], None] = lambda rollout: None,
    ) -> None:
        self.store, self.policy, self.controller = store, policy, controller
        self.engines, self.gate = engines, gate
        self.flags, self.checkpoints, self.look_seconds = flags, checkpoints, look_seconds
        self.moved = moved
        self.stage = ""
        self.problem: str | None = "nothing was loaded yet"
        self._looked_at = 0.0
        self._rewritten = False
        self._holds: set[str] = set()

    def register(self, tx: Transaction, manifest: Manifest, now: float) -> None:
        """Write down a checkpoint as what it is: v0, a candidate, or the learner's way back."""
        if manifest.batch_id is None and manifest.parent_sequence is not None:
            self.controller.returned(tx, now)
        elif manifest.parent_sequence is None or manifest.batch_id in manifest.applied:
            self.controller.register(tx, candidate_of(self.checkpoints, manifest), now)

    def champion(self) -> int | None:
        """Return the sequence of what is served; None before v0 exists."""
        with self.store.reading() as view:
            champion = reigns.champion(view, self.policy)
        return None if champion is None else champion.sequence

    def undecided(self) -> int | None:
        """Return how many versions wait for their decision; None before v0 exists."""
        with self.store.reading() as view:
            if reigns.champion(view, self.policy) is None:
                return None
            return self.controller.undecided(view)

    def champion_version(self) -> str:
        """Return the version that is served; empty before v0 exists."""
        with self.store.reading() as view:
            champion = reigns.champion(view, self.policy)
        return "" if champion is None else champion.version

    def owes_return(self) -> int | None:
        """Return the checkpoint that the learner must go back to, or None."""
        with self.store.reading() as view:
            owed = self.controller.must_return(view)
        return None if owed is None else owed.to_sequence

    def step(self, now: float) -> None:
        """Offer, gate, look, and make flag file and engines agree; one small move at a time."""
        if self.champion() is None:
            return
        self._offer(now)
        if now - self._looked_at >= self.look_seconds:
            self._looked_at = now
            self._look(now)
        if self.problem is not None or self._needs_loading(now):
            self.reconcile(now)
        # What every engine has had may be named even while one is away: it is filled before it
        # serves again, and a rollback waits for nobody.
        if not self._needs_loading(now):
            self._project(now)

    def reconcile(self, now: float) -> bool:
        """See that every engine holds what it should and nothing of ours besides; True if so.

        An engine that came back empty is filled here before any flag may route to it.
        """
        with self.store.reading() as view:
            if reigns.champion(view, self.policy) is None:
                return False
            wanted = self.controller.should_be_loaded(view, now)
        try:
            for engine in self.engines:
                holds = engine.loaded()
                for version, path in wanted.items():
                    if version not in holds:
                        log.info("adapter_loading", version=version, engine=engine.url)
                        engine.load(version, path)
                for version in holds.keys() - wanted.keys():
                    if version.startswith(f"{self.policy}@v"):
                        engine.unload(version)
        except (ConnectionError, TimeoutError, ValueError) as problem:
            if self.problem is None:
                log.warning("engine_problem", problem=str(problem))
            self.problem = str(problem)
            return False
        self.problem, self._holds = None, set(wanted)
        return True

    def _needs_loading(self, now: float) -> bool:
        with self.store.reading() as view:
            return not self.controller.should_be_loaded(view, now).keys() <= self._holds

    def _offer(self, now: float) -> None:
        with self.store.transaction() as tx:
            rollout = self.controller.current(tx)
            candidate = self.controller.next_candidate(tx)
            if rollout is None and candidate is not None:
                rollout = self.controller.offer(tx, candidate, None, now)
            if rollout is None or rollout.stage is not Stage.OFFERED:
                return
            candidate = candidates.find(tx, self.policy, rollout.version)
        reach(Instant.OFFERED)
        self._tell(rollout)
        self._judge(candidate, now)

    def _judge(self, candidate: Candidate, now: float) -> None:
        problem = None
        try:
            check_adapter(candidate.path, candidate.digest)
        except ValueError as found:
            problem = str(found)
        proofs: list[Proof] = []
        if problem is None:
            if not self.reconcile(now):
                return  # The engine's fault and not the candidate's: the gate's deadline runs.
            try:
                proofs = [prove(one, candidate, self.gate.probe_tolerance) for one in self.engines]
            except (ConnectionError, TimeoutError) as away:
                self.problem = str(away)
                return
        verdict = judge(candidate, adapter_problem=problem, proofs=proofs, settings=self.gate)
        log.info("gate", version=candidate.version, verdict=verdict.outcome, why=verdict.reason)
        with self.store.transaction() as tx:
            judged = self.controller.offer(tx, candidate, verdict, now)
        self._tell(judged)

    def _look(self, now: float) -> None:
        with self.store.transaction() as tx:
            rollout = self.controller.current(tx)
            if rollout is None:
                return
            # While it is only offered nobody has seen it: the look lets its deadline run.
            seen = None if rollout.stage is Stage.OFFERED else self.observe(tx, rollout.version)
            after = self.controller.observe(tx, seen, now)
        if after is not None:
            self._tell(after)

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
        with self.store.transaction() as tx:
            if self._rewritten and self.controller.flag_is_current(tx):
                return
            on_disk = read_flags(self.flags)
            intent = self.controller.intend(tx, on_disk.generation if on_disk else 0, now)
        reach(Instant.INTENDED)
        write_flags(self.flags, to_document(intent))
        reach(Instant.FLAGGED)
        with self.store.transaction() as tx:
            self.controller.confirm(tx, intent.generation, now)
        self._rewritten = True
        log.info("flags_written", generation=intent.generation, champion=intent.champion.version)

    def _tell(self, rollout: Rollout) -> None:
        stage = f"{rollout.version} {rollout.stage} {rollout.step}"
        if stage != self.stage:
            self.stage = stage
            why = rollout.trail[-1].reason if rollout.trail else ""
            log.info("rollout", version=rollout.version, stage=rollout.stage, why=why)
            self.moved(rollout)
