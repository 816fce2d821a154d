"""Replica: one engine, the versions that it was seen to serve, and how patiently it is asked."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from ...learner.candidate import Candidate
from .port import Engine, Proof, StillStarting, prove, try_out
from .weights_check import VersionCheck

log = structlog.get_logger()

OUTCOMES = ("served", "refused")
"""What a proof says of an engine: that it serves the right weights, or that nothing shows it."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0
"""Pause after a version was refused; it doubles with each refusal, up to the longest."""
STARTING_SECONDS = 1.0
"""Pause before an engine is asked again for a version whose server it is starting."""


class Replica:
    """Fills one engine, and proves each version there before it counts, or anybody can ask for it.

    A version is loaded under a name of the moment, proven, and only then loaded under its own. It
    counts until the engine lost it; an engine that came back empty proves all anew. What
    an engine refused is tried again after a pause that grows, with jitter, so that many replicas
    are not asked in step. Used by one thread at a time.
    """

    def __init__(
        self,
        engine: Engine,
        policy: str,
        tolerance: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine, self.policy, self.tolerance, self.clock = engine, policy, tolerance, clock
        self.proven: set[str] = set()
        """Versions that it was seen to serve, and still holds."""
        self.base_problem: str | None = None
        """Why v0, which is the base model, is not what it serves; None where it is."""
        self.proofs = Counter[str]()
        """Proofs so far, by what they said."""
        self.starting: dict[str, float] = {}
        """Versions whose server the engine is starting, with when it is asked for them again."""
        self._check = VersionCheck()
        self._refusals: dict[str, tuple[int, float, str]] = {}

    def fill(self, wanted: Mapping[str, Candidate], on_trial: str = "") -> list[str]:
        """Load, prove and unload until it holds these; return what could not be done.

        The version on trial is loaded and not proven here: the gate judges its proof. That a version's
        server is still `starting` is no problem of this engine's. Raises
        ConnectionError or TimeoutError where the engine is away.
        """
        holds = self.engine.loaded()
        self.proven &= holds.keys()
        self.starting = {each: at for each, at in self.starting.items() if each in wanted}
        problems = []
        # First, so that it never holds more than this policy's share of its adapters.
        for version in holds.keys() - wanted.keys():
            if version.startswith(f"{self.policy}@v"):
                self.engine.unload(version)
                self.proven.discard(version)
        for version, candidate in sorted(wanted.items(), key=lambda pair: pair[1].sequence):
            if version in self.proven or (version == on_trial and version in holds):
                continue
            times, until, said = self._refusals.get(version, (0, 0.0, ""))
            if self.clock() < until:
                problems.append(said)
                continue
            try:
                problem = self._brought(candidate, holds.get(version), version == on_trial)
            except StillStarting:
                continue
            if problem is None:
                self._refusals.pop(version, None)
            else:
                self._put_off(version, times, problem)
                problems.append(problem)
        return problems

    def prove(self, candidate: Candidate) -> Proof:
        """Return whether it serves a version's bits; from then on the version counts."""
        proof = self._counted(prove(self.engine, candidate, self.tolerance))
        if proof.served:
            self.proven.add(candidate.version)
        self._note_base(candidate, proof)
        return proof

    def _counted(self, proof: Proof) -> Proof:
        self.proofs["served" if proof.served else "refused"] += 1
        return proof

    def _note_base(self, candidate: Candidate, proof: Proof) -> None:
        """Learn from v0's proof whether the base model is the right one."""
        if candidate.sequence == 0:
            self.base_problem = (
                None
                if proof.served
                else f"{self.engine.url} does not serve the base model that was trained on"
                f" ({candidate.base}): v0: {proof.reason}"
            )

    def _brought(self, candidate: Candidate, held: str | None, on_trial: bool) -> str | None:
        """As `_bring`; where its server is being started, that is asked for once a moment."""
        version = candidate.version
        if held is None and self.clock() < self.starting.get(version, 0.0):
            raise StillStarting(f"{self.engine.url}: {version} is being started")
        try:
            problem = self._bring(candidate, held, prove_it=not on_trial)
        except StillStarting:
            self.starting[version] = self.clock() + STARTING_SECONDS
            raise
        self.starting.pop(version, None)
        return problem

    def _bring(self, candidate: Candidate, held: str | None, *, prove_it: bool) -> str | None:
        """Prove and load one version; return what was wrong, and then it is not served.

        Without `prove_it` it is only loaded, as no flag names it yet.
        """
        version, wanted = candidate.version, candidate.path.absolute()
        try:
            if held is not None and Path(held) != wanted:
                # The state folder was moved while the engine lived on.
                self.engine.unload(version)
                held = None
            if held is None:
                # Each time: what was sound when it was let out may have been spoilt since.
                self._check.now(candidate)
                if version not in self.starting:
                    log.info("adapter_loading", version=version, engine=self.engine.url)
                if prove_it:
                    tried = self._counted(try_out(self.engine, candidate, self.tolerance))
                    if not tried.served:
                        self._note_base(candidate, tried)
                        return self._unproven(candidate, tried)
                self.engine.load(version, candidate.path)
        except ValueError as problem:
            return str(problem)
        if not prove_it:
            return None
        proof = self.prove(candidate)
        if proof.served:
            return None
        if proof.difference is not None:
            # It was held before this process began, or changed in this moment: others have it.
            self.engine.unload(version)
        return self._unproven(candidate, proof)

    def _unproven(self, candidate: Candidate, proof: Proof) -> str:
        said = f"{proof.url} does not serve {candidate.version}: {proof.reason}"
        return self.base_problem or said

    def _put_off(self, version: str, times: int, problem: str) -> None:
        pause = min(FIRST_RETRY_SECONDS * 2.0**times, LONGEST_RETRY_SECONDS)
        pause *= random.uniform(0.75, 1.25)
        self._refusals[version] = (times + 1, self.clock() + pause, problem)
        log.warning(
            "engine_refused_version",
            version=version,
            engine=self.engine.url,
            problem=problem,
            retry_seconds=round(pause, 1),
        )
