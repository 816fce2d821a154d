"""Gate run: takes one candidate through the gate, from its files to the verdict."""

from collections.abc import Mapping, Sequence

import structlog

from ...learner.candidate import Candidate
from ..engine.adapter_check import DamagedAdapter, check_adapter
from ..engine.fleet import Fleet
from ..engine.port import Proof
from ..statistics.gate import GateSettings, judge
from ..statistics.verdict import Verdict

log = structlog.get_logger()


class GateRun:
    """Checks files, asks the engines for their proofs, and lets the gate judge."""

    def __init__(self, fleet: Fleet, settings: GateSettings) -> None:
        self.fleet, self.settings = fleet, settings

    def verdict(self, candidate: Candidate, loaded: Mapping[str, Candidate]) -> Verdict | None:
        """Return the gate's verdict; None while engines are being asked: ask again next turn.

        `loaded` is what every engine should hold, the candidate included. Raises DamagedAdapter
        where the candidate's files are not those that were written.
        """
        problem = None
        try:
            check_adapter(candidate.path, candidate.digest)
        except DamagedAdapter:
            raise
        except ValueError as found:
            problem = str(found)
        proofs: Sequence[Proof] = ()
        if problem is None:
            proven = self.fleet.prove(loaded, candidate)
            if proven is None:
                return None
            proofs = proven
        verdict = judge(candidate, adapter_problem=problem, proofs=proofs, settings=self.settings)
        log.info("gate", version=candidate.version, verdict=verdict.outcome, why=verdict.reason)
        return verdict
