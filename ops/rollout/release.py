"""Release: takes what the learner finished through gate and rollout, step by step.

The tables decide; this file loads adapters, proves them, writes the flag file and looks at what
people did. Each step can be repeated after a crash: loading what is loaded, writing a flag file
under a new generation and looking again change nothing that was decided.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import structlog

from ...learner.candidate import Candidate, Manifest
from ...learner.checkpoint.folder import candidate_of
from ...streams.answers.exposure import user_means
from ...streams.state.crash_points import CrashPoint, crash_here
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..engine.adapter_check import DamagedAdapter
from ..engine.fleet import Fleet
from ..flags.flag_file import named_in
from ..gate.gate_run import GateRun
from ..stages.record import Rollout, Stage
from ..statistics.answers import ComparisonSettings
from ..statistics.guardrail import Observation
from ..statistics.look_settings import LookSettings
from . import candidates_table, rollouts_table
from .controller import RolloutController
from .crowd import CrowdWatch
from .desired_state import kept_checkpoints
from .move_log import MoveLog
from .observe import Comparing, observe_mirrored, observe_users
from .problems import release_problems
from .publish_flags import FlagPublisher
from .snapshot import LearnerStanding, ReleaseSnapshot, read_snapshot, read_standing

log = structlog.get_logger()

ROLLOUTS_REPORTED = 8
"""So many of the last rollouts are searched for moves that another process made."""

KeepLook = Callable[
    [Rollout | None, Rollout | None, Observation | None, Observation | None, float], None
]
"""Keeps what a look showed: the rollout before and after, what was seen, that since its promotion."""


class Release:
    """One policy's way from a checkpoint to people. Not thread-safe: the loop's thread owns it."""

    def __init__(
        self,
        store: Store,
        policy: str,
        controller: RolloutController,
        fleet: Fleet,
        gate: GateRun,
        *,
        flags: Path,
        checkpoints: Path,
        look_seconds: float,
        comparison: ComparisonSettings | None = None,
        horizon: Callable[[str], float] = lambda segment: 0.0,
        moves: MoveLog | None = None,
        looked: Callable[[Rollout, float], None] = lambda rollout, now: None,
        keep: KeepLook = lambda watched, after, seen, since_promotion, now: None,
    ) -> None:
        self.store, self.policy, self.controller = store, policy, controller
        self.fleet, self.gate = fleet, gate
        self.flags, self.checkpoints, self.look_seconds = flags, checkpoints, look_seconds
        self.moves, self.looked = moves or MoveLog(), looked
        self.keep = keep
        self.comparing = Comparing.of(
            controller.settings, comparison or ComparisonSettings(), horizon
        )
        self.crowd = CrowdWatch(policy, controller.settings, self.comparing.horizon("default"))
        self._earlier: tuple[str, dict[str, float]] | None = None
        self._seen: ReleaseSnapshot | None = None
        self._looked_at = 0.0
        self.publisher = FlagPublisher(store, policy, flags, again_seconds=look_seconds)
        self.problems: dict[str, str] = {}
        """What keeps versions from people, or people from teaching, as of the last look."""

    def register(self, tx: Transaction, manifest: Manifest, now: float) -> None:
        """Write down a checkpoint as what it is: v0, a candidate, or the learner's return."""
        if manifest.batch_id is None and manifest.parent_sequence is not None:
            rollouts_table.returned(tx, self.policy, manifest.parent_sequence, now)
        elif manifest.parent_sequence is None or manifest.batch_id in manifest.applied:
            self.controller.register(tx, candidate_of(self.checkpoints, manifest), now)

    def kept(self, tx: Transaction, now: float) -> set[int]:
        """Return the checkpoints that flags, engines or a rollback still name."""
        return kept_checkpoints(tx, self.policy, self.controller.settings, now)

    def standing(self) -> LearnerStanding:
        """Return whether the learner may go on, and from where."""
        with self.store.reading() as view:
            found = read_standing(view, self.policy)
        return found if self.fleet.base_problem is None else found._replace(undecided=None)

    def champion_version(self) -> str:
        """Return the version that was served when the last step ended; empty before v0 exists."""
        return "" if self._seen is None else self._seen.champion.version

    def step(self, now: float) -> None:
        """Offer, gate, look, and make flag file and engines agree; one small move at a time."""
        if (seen := self._read(now)) is None:
            return
        moved = self._offer(seen, now)
        if now - self._looked_at >= self.look_seconds:
            self._looked_at, moved = now, True
            self._look(now)
        if moved:
            seen = self._read(now)
            assert seen is not None, "v0 is never forgotten"
        if self.fleet.problem is not None or not self.fleet.has(seen.loaded):
            self.fleet.fill(seen.loaded)
        # Named may be what every engine had, though one is away now: a rollback waits for nobody.
        if self.fleet.has(named_in(seen.flags)):
            self.publisher.publish(self.controller.settings, seen.flags, seen.confirmed, now)

    def reconcile(self, now: float) -> None:
        """See that every engine holds what it should and nothing of ours besides."""
        seen = self._read(now)
        if seen is not None:
            self.fleet.fill(seen.loaded)

    def _read(self, now: float) -> ReleaseSnapshot | None:
        with self.store.reading() as view:
            ours = self.controller
            self._seen = read_snapshot(view, self.policy, ours.settings, now, ours.adapters)
        return self._seen

    def _offer(self, seen: ReleaseSnapshot, now: float) -> bool:
        """Begin the next rollout, or take the offered one through the gate; True where it moved."""
        under_way = seen.rollout
        if under_way is None and not seen.waiting:
            return False
        if under_way is not None and under_way.stage is not Stage.OFFERED:
            return False
        with self.store.transaction() as tx:
            rollout = rollouts_table.current(tx, self.policy)
            candidate = self.controller.next_candidate(tx)
            if rollout is None and candidate is not None:
                rollout = self.controller.offer(tx, candidate, None, now)
            if rollout is None or rollout.stage is not Stage.OFFERED:
                return True
            candidate = candidates_table.find(tx, self.policy, rollout.version)
        crash_here(CrashPoint.OFFERED)
        self.moves.report([rollout])
        self._judge(candidate, seen, now)
        return True

    def _judge(self, candidate: Candidate, seen: ReleaseSnapshot, now: float) -> None:
        loaded = {**seen.loaded, candidate.version: candidate}
        try:
            verdict = self.gate.verdict(candidate, loaded, seen.champion.version)
        except DamagedAdapter as found:
            # The disk's fault and not the weights': the batch is applied again and offered anew.
            log.error("adapter_damaged", version=candidate.version, problem=str(found))
            with self.store.transaction() as tx:
                if not self._still_offered(tx, candidate):
                    return
                why = f"its files are damaged: {found}"
                rollout = self.controller.set_aside(tx, why, now)
        else:
            if verdict is None:
                return  # An engine's fault and not the candidate's: the gate's deadline runs.
            with self.store.transaction() as tx:
                if not self._still_offered(tx, candidate):
                    return
                rollout = self.controller.offer(tx, candidate, verdict, now)
        if rollout.stage is not Stage.OFFERED:
            crash_here(CrashPoint.MOVED)
        self.moves.report([rollout])

    def _still_offered(self, tx: Transaction, candidate: Candidate) -> bool:
        """Return whether nobody took the candidate back while it was being looked at."""
        rollout = rollouts_table.current(tx, self.policy)
        return rollout is not None and rollout.version == candidate.version

    def _look(self, now: float) -> None:
        after = seen = new = mirrored = None
        # Reading a long rollout takes a while, in which nobody's write has to wait.
        with self.store.reading() as view:
            watched = rollouts_table.current(view, self.policy)
            # While it is only offered nobody has seen it: the look lets its deadline run.
            if watched is not None and watched.stage is Stage.SHADOW:
                mirrored = observe_mirrored(
                    view, self.policy, watched.version, self.controller.settings
                )
            elif watched is not None and watched.stage is not Stage.OFFERED:
                seen = self._observed(view, watched, now)
            if watched is not None and watched.stage is Stage.PROMOTED:
                new = self._since_promotion(view, watched, now)
        with self.store.transaction() as tx:
            # Where an operator moved it meanwhile, the next look is of that.
            if watched is not None and rollouts_table.current(tx, self.policy) == watched:
                after = self.controller.observe(
                    tx, seen, now, since_promotion=new, mirrored=mirrored
                )
            last = rollouts_table.history(tx, self.policy, limit=ROLLOUTS_REPORTED)
        if watched is not None and after is not None and after.trail != watched.trail:
            crash_here(CrashPoint.MOVED)
        if after is not None and (after.serving or after.stage is Stage.SHADOW):
            self.looked(after, now)
        self.keep(watched, after, seen, new, now)
        # All of them, because an operator takes versions back without asking this process.
        self.moves.report(last)
        with self.store.reading() as view:
            self.problems = release_problems(view, self.policy, self.controller.settings, now)
            self.problems |= self.crowd.problems(view, now)

    def _observed(
        self,
        tx: Transaction,
        rollout: Rollout,
        now: float,
        since: float = 0.0,
        looks: LookSettings | None = None,
    ) -> Observation:
        """Return what was seen of a rollout, and of its users before it."""
        if self._earlier is None or self._earlier[0] != rollout.version:
            # The salt before this one; it is read once, for it changes no more.
            before = rollouts_table.history(tx, self.policy, limit=2)[:-1]
            salt = before[0].version if before else rollout.control
            self._earlier = rollout.version, user_means(tx, self.policy, salt)
        return observe_users(
            tx,
            self.policy,
            rollout.version,
            self.comparing,
            since=since,
            looks=looks,
            earlier=self._earlier[1],
            until=now,
        )

    def _since_promotion(self, tx: Transaction, rollout: Rollout, now: float) -> Observation:
        """Return what was seen of a promoted version since it is one: a test of half the alpha."""
        looks = self.comparing.looks
        half = dataclasses.replace(looks, alpha_harm=looks.alpha_harm / 2)
        return self._observed(tx, rollout, now, rollout.promoted_at, half)
