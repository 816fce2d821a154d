"""Fleet: the engines, and what every one of them was seen to hold.

Engines are asked on a thread of its own, one thing at a time: a server that hangs for a minute must
not keep the loop from taking in feedback, and least of all from taking a version back.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from ...learner.candidate import Candidate
from .port import Engine, Proof
from .replica import Replica
from .threads import Submit, run_in_thread

log = structlog.get_logger()

HANGS_SECONDS = 10.0
"""A question that is under way for so long is shown as a problem."""

Wanted = Mapping[str, Candidate]
"""What every engine should hold, by version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetAnswers:
    """What came of asking all engines once."""

    held: frozenset[str] = frozenset()
    """Versions that every engine was seen to serve; empty where there was a problem."""
    problem: str | None = None
    """What was wrong."""
    base_problem: str | None = None
    """Which engine serves another base model."""
    version: str = ""
    """Whose bits were probed; empty where none were."""
    proofs: tuple[Proof, ...] = ()
    """What each engine serves under that version's name."""


class Fleet:
    """All engines of one policy. Not thread-safe: the loop's thread owns it."""

    def __init__(
        self,
        engines: Sequence[Engine],
        policy: str,
        *,
        tolerance: float,
        held: Collection[str] = (),
        submit: Submit[FleetAnswers] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`held` is what every engine is known to have had before this process began."""
        self.engines = list(engines)
        self.replicas = [Replica(one, policy, tolerance, clock=clock) for one in engines]
        self.held = frozenset(held)
        self._submit = submit or run_in_thread
        self._problem: str | None = "nothing was loaded yet"
        self._base_problem: str | None = None
        self._job: Future[FleetAnswers] | None = None
        self._asked_at = 0.0
        self._proofs: FleetAnswers | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong with the engines, as far as is known; None where nothing is."""
        if self._job is not None and time.monotonic() - self._asked_at > HANGS_SECONDS:
            since = time.monotonic() - self._asked_at
            return f"an engine has not answered for {since:.0f} s"
        return self._problem

    @property
    def base_problem(self) -> str | None:
        """Which engine serves another base model than the learner trains; None where none does.

        Nothing that such an engine's answers teach is right, and no candidate is to blame.
        """
        return self._base_problem

    def has(self, versions: Iterable[str]) -> bool:
        """Return whether every engine was seen to serve all of these when it was last asked."""
        self._take_in()
        return self.held.issuperset(versions)

    def fill(self, wanted: Wanted) -> None:
        """Begin to bring every engine to hold these and nothing else of ours.

        An engine that came back empty is filled by this before any flag may route to it. Does
        nothing while an earlier question is under way.
        """
        self._begin(lambda: self._ask(wanted, None))

    def prove(self, wanted: Wanted, candidate: Candidate) -> tuple[Proof, ...] | None:
        """Return what every engine serves under a candidate's name; fills them first.

        None while that is being asked, or an engine is away, or serves another base model, for which
        no candidate is to blame: ask again next turn.
        """
        self._take_in()
        if self._proofs is None or self._proofs.version != candidate.version:
            self._begin(lambda: self._ask(wanted, candidate))
        found, self._proofs = self._proofs, None
        return found.proofs if found is not None and found.version == candidate.version else None

    def _begin(self, work: Callable[[], FleetAnswers]) -> None:
        self._take_in()
        if self._job is None:
            self._job, self._asked_at = self._submit(work), time.monotonic()
            self._take_in()

    def _take_in(self) -> None:
        """Learn what came of the last question, if it was answered."""
        if self._job is None or not self._job.done():
            return
        answered, self._job = self._job.result(), None
        if answered.problem != self._problem and answered.problem is not None:
            log.warning("engine_problem", problem=answered.problem)
        self._problem, self._base_problem = answered.problem, answered.base_problem
        if answered.problem is None:
            self.held = answered.held
            self._proofs = answered if answered.version else None

    def _ask(self, wanted: Wanted, candidate: Candidate | None) -> FleetAnswers:
        """Fill every replica, each as far as it goes; then prove the candidate, if one is given."""
        on_trial = "" if candidate is None else candidate.version
        problems: list[str] = []
        for replica in self.replicas:
            try:
                problems += replica.fill(wanted, on_trial)
                if candidate is not None and not problems:
                    self._prove_base(replica, wanted)
            except (ConnectionError, TimeoutError, ValueError) as problem:
                problems.append(str(problem))
        base = next((one.base_problem for one in self.replicas if one.base_problem), None)
        if problems or base is not None:
            # All of them: whoever is paged must not find the second dead engine after the first.
            told = "; ".join(dict.fromkeys([*([base] if base else []), *problems]))
            return FleetAnswers(problem=told, base_problem=base)
        waited = frozenset(each for one in self.replicas for each in one.starting)
        # Of a version that people have, or where there is none yet, somebody waits for it.
        if away := sorted(waited & self.held if self.held else waited):
            return FleetAnswers(problem=f"servers of {', '.join(away)} are being started")
        if candidate is None or on_trial in waited:
            return FleetAnswers(held=frozenset(wanted) - waited)
        try:
            proofs = tuple(replica.prove(candidate) for replica in self.replicas)
        except (ConnectionError, TimeoutError) as problem:
            return FleetAnswers(problem=str(problem))
        held = frozenset.intersection(*(frozenset(one.proven) for one in self.replicas))
        return FleetAnswers(held=held, version=candidate.version, proofs=proofs)

    def _prove_base(self, replica: Replica, wanted: Wanted) -> None:
        """Ask for v0 again: an engine that changed its base model would put it on the candidate."""
        for version in wanted.values():
            if version.sequence == 0 and version.version not in replica.starting:
                replica.prove(version)
