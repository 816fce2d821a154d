"""Gate suites: checks of a candidate that installed distributions bring (experimental).

A distribution offers a suite under the entry point group `rlwd.gate_suites`; the ones named in
`[gate] suites` are run on each candidate after its proof, and none may say other than PASS before
the candidate meets people.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

import structlog

from ...learner.candidate import Candidate
from ...streams.extensions import extension_names, load_extension
from ..engine.port import Engine
from ..engine.threads import Submit, run_in_thread
from ..statistics.gate import GateSettings
from ..statistics.verdict import Verdict, VerdictKind

log = structlog.get_logger()

GROUP = "rlwd.gate_suites"
"""Entry point group of the suites."""


class GateSuite(Protocol):
    """One suite: it asks an engine that has the candidate loaded, and judges.

    It runs on a thread of its own and may take minutes; the gate's deadline runs meanwhile. Raises
    ConnectionError or TimeoutError where the engine is away: it is run again.
    """

    def __call__(self, candidate: Candidate, engine: Engine, settings: GateSettings) -> Verdict:
        """Return PASS, FAIL (the candidate is quarantined), WAIT (run again) or NODATA."""
        ...


def load_suites(names: Sequence[str]) -> dict[str, GateSuite]:
    """Return the suites by name.

    Raises ValueError naming the suite and its distribution where it is not installed, offered
    twice, cannot be imported, or is no callable.
    """
    return {name: _load(name) for name in names}


def _load(name: str) -> GateSuite:
    found = load_extension(GROUP, name, "gate.suites")
    if found is None:
        raise ValueError(
            f"gate.suites: no installed distribution offers {name!r} under {GROUP};"
            f" installed are: {', '.join(extension_names(GROUP)) or 'none'}"
        )
    suite: GateSuite = found.function
    return suite


class SuiteRun:
    """Runs the suites on one candidate at a time, on a thread. The loop's thread owns it."""

    def __init__(
        self,
        suites: Mapping[str, GateSuite],
        engines: Sequence[Engine],
        settings: GateSettings,
        *,
        submit: Submit[Mapping[str, Verdict] | None] | None = None,
    ) -> None:
        self.suites, self.engines, self.settings = suites, list(engines), settings
        self._submit = submit or run_in_thread
        self._version = ""
        self._job: Future[Mapping[str, Verdict] | None] | None = None
        self._told = dict[str, Verdict]()
        """Of the version those that are not asked again while another one waits."""

    def verdicts(
        self, candidate: Candidate, more: Mapping[str, GateSuite] | None = None
    ) -> Mapping[str, Verdict] | None:
        """Return each suite's verdict on a candidate; None while they run: ask again next turn.

        `more` are suites of the gate's own for this candidate.
        """
        suites = {**(more or {}), **self.suites}
        if not suites:
            return {}
        if self._job is None or self._version != candidate.version:
            if self._version != candidate.version:
                self._version, self._told = candidate.version, {}
            self._job = self._submit(lambda: self._run(candidate, suites))
        if not self._job.done():
            return None
        found = self._job.result()
        if found is None or any(one.outcome is VerdictKind.WAIT for one in found.values()):
            self._job = None
        return found

    def _run(
        self, candidate: Candidate, suites: Mapping[str, GateSuite]
    ) -> Mapping[str, Verdict] | None:
        found = {name: told for name, told in self._told.items() if name in suites}
        for name, suite in suites.items():
            if name in found:
                continue
            try:
                found[name] = suite(candidate, self.engines[0], self.settings)
            except (ConnectionError, TimeoutError) as problem:
                log.warning("gate_suite_waits", suite=name, problem=str(problem))
                return None
            except Exception as problem:  # Another's code runs here, and may raise anything.
                log.exception("gate_suite_failed", suite=name, version=candidate.version)
                reasons = (f"it raised {problem!r}",)
                found[name] = Verdict(outcome=VerdictKind.NODATA, reasons=reasons)
            if found[name].outcome is not VerdictKind.WAIT:
                self._told[name] = found[name]
        return found
