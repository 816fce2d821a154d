"""Gate run: takes one candidate through the gate, from its files to the verdict."""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from ...learner.candidate import Candidate
from ..engine.adapter_check import DamagedAdapter
from ..engine.fleet import Fleet
from ..engine.weights_check import VersionCheck
from ..statistics.gate import GateSettings, judge
from ..statistics.verdict import Verdict, VerdictKind
from .exploits import ProbeQuestion
from .planted import Planted
from .probing import Probing, line_of
from .recitation import Recitation
from .suites import GateSuite, SuiteRun

log = structlog.get_logger()

_WEIGHTIEST = (VerdictKind.FAIL, VerdictKind.WAIT, VerdictKind.NODATA, VerdictKind.PASS)


class GateRun:
    """Checks files, asks the engines for their proofs, runs the suites and lets the gate judge."""

    def __init__(
        self,
        fleet: Fleet,
        settings: GateSettings,
        suites: Mapping[str, GateSuite] | None = None,
        planted: Sequence[Planted] = (),
        questions: Sequence[ProbeQuestion] = (),
        told: Callable[[str], Mapping[str, float]] = lambda version: {},
        benchmark: Callable[[str, str], GateSuite] | None = None,
    ) -> None:
        """`told` gives the numbers of a version's own verdict: a candidate goes on from its champion.

        `benchmark` makes the suite that replays a benchmark on a candidate, this champion and v0.
        """
        self.fleet, self.settings, self.planted = fleet, settings, planted
        self.questions = tuple(questions) if settings.probe_rounds else ()
        self.told = told
        self._probing: Probing | None = None
        self._check = VersionCheck()
        self.benchmark = benchmark
        self._replaying: tuple[tuple[str, str, str], GateSuite] | None = None
        self.suites = SuiteRun(suites or {}, fleet.engines, settings)

    def verdict(
        self, candidate: Candidate, loaded: Mapping[str, Candidate], champion: str = ""
    ) -> Verdict | None:
        """Return the gate's verdict; None while engines are being asked: ask again next turn.

        `loaded` is what every engine should hold, the candidate included, and `champion` the one of
        them that serves. Raises DamagedAdapter
        where the candidate's files are not those that were written.
        """
        try:
            if not self._check.begun(candidate):
                return None
        except DamagedAdapter:
            raise
        except ValueError as found:
            return self._say(
                candidate,
                judge(candidate, adapter_problem=str(found), proofs=(), settings=self.settings),
            )
        proofs = self.fleet.prove(loaded, candidate)
        if proofs is None:
            return None
        verdict = judge(candidate, adapter_problem=None, proofs=proofs, settings=self.settings)
        if verdict.outcome is VerdictKind.PASS:
            suites = self.suites.verdicts(candidate, self._own(candidate, loaded, champion))
            if suites is None:
                return None
            verdict = _weigh(verdict, suites)
        return self._say(candidate, verdict)

    def _own(
        self, candidate: Candidate, loaded: Mapping[str, Candidate], champion: str
    ) -> dict[str, GateSuite]:
        """Return the gate's own suites: planted strings, behaviour beside v0, a benchmark beside both."""
        own: dict[str, GateSuite] = {}
        # v0 is always loaded: it is what the holdout has, and everybody's last fallback.
        anchor = min(loaded.values(), key=lambda one: one.sequence).version
        if self.planted:
            own["recitation"] = Recitation(self.planted, champion)
        if self.questions:
            asked = (anchor, candidate.version)
            if self._probing is None or (self._probing.anchor, self._probing.version) != asked:
                self._probing = Probing(self.questions, *asked, line_of(self.told(champion)))
            own["behaviour"] = self._probing
        if self.benchmark is not None and champion:
            beside = (candidate.version, champion, anchor)
            if self._replaying is None or self._replaying[0] != beside:
                self._replaying = beside, self.benchmark(champion, anchor)
            own["benchmark"] = self._replaying[1]
        return own

    def _say(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        log.info("gate", version=candidate.version, verdict=verdict.outcome, why=verdict.reason)
        # The tables hold no infinity: a rollout that was kept with one could not be read again.
        finite = {name: one for name, one in verdict.numbers.items() if math.isfinite(one)}
        return msgspec.structs.replace(verdict, numbers=finite)


def _weigh(own: Verdict, suites: Mapping[str, Verdict]) -> Verdict:
    """Return the weightiest of the gate's own verdict and the suites', with all that they say.

    >>> _weigh(Verdict(outcome=VerdictKind.PASS, reasons=("held-out: fine",)),
    ...        {"swears": Verdict(outcome=VerdictKind.FAIL, reasons=("12 of 50",))}).reason
    'suite swears: 12 of 50; held-out: fine'
    """
    said = [("", own), *((f"suite {name}: ", verdict) for name, verdict in suites.items())]
    said.sort(key=lambda pair: _WEIGHTIEST.index(pair[1].outcome))
    numbers = {f"suite/{n}/{k}": v for n, each in suites.items() for k, v in each.numbers.items()}
    return Verdict(
        outcome=said[0][1].outcome,
        reasons=tuple(f"{who}{why}" for who, verdict in said for why in verdict.reasons),
        numbers={**own.numbers, **numbers},
    )
