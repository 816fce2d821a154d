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
from .adapter_check import check_adapter
from .port import Engine, Proof, prove
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
    """Versions that every engine holds; empty where there was a problem."""
    problem: str | None = None
    """What was wrong."""
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
    ) -> None:
        """`held` is what every engine is known to have had before this process began."""
        self.engines, self.policy, self.tolerance = list(engines), policy, tolerance
        self.held = frozenset(held)
        self._submit = submit or run_in_thread
        self._problem: str | None = "nothing was loaded yet"
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

    def has(self, versions: Iterable[str]) -> bool:
        """Return whether every engine had all of these when it was last asked."""
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

        None while that is being asked, or an engine is away: ask again next turn.
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
        if answered.problem is not None and self._problem is None:
            log.warning("engine_problem", problem=answered.problem)
        self._problem = answered.problem
        if answered.problem is None:
            self.held = answered.held
            self._proofs = answered if answered.version else None

    def _ask(self, wanted: Wanted, candidate: Candidate | None) -> FleetAnswers:
        try:
            problems = [self._fill_one(engine, wanted) for engine in self.engines]
            if problem := next(filter(None, problems), None):
                return FleetAnswers(problem=problem)
            if candidate is None:
                return FleetAnswers(held=frozenset(wanted))
            proofs = tuple(prove(one, candidate, self.tolerance) for one in self.engines)
        except (ConnectionError, TimeoutError, ValueError) as problem:
            return FleetAnswers(problem=str(problem))
        return FleetAnswers(held=frozenset(wanted), version=candidate.version, proofs=proofs)

    def _fill_one(self, engine: Engine, wanted: Wanted) -> str | None:
        """Load and unload; return what could not be loaded because its files are not sound."""
        holds, unsound = engine.loaded(), None
        for version, candidate in wanted.items():
            if version in holds:
                continue
            try:
                # Each time: what was sound when it was let out may have been spoilt since.
                check_adapter(candidate.path, candidate.digest)
            except ValueError as problem:
                unsound = str(problem)
                continue
            log.info("adapter_loading", version=version, engine=engine.url)
            engine.load(version, candidate.path)
        for version in holds.keys() - wanted.keys():
            if version.startswith(f"{self.policy}@v"):
                engine.unload(version)
        return unsound
