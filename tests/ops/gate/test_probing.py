"""Probing on a real engine: what it refuses is left out, and versions that answer alike pass."""

from rlwd.learner.candidate import Candidate
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.gate.exploits import PLAIN, QUESTIONS
from rlwd.ops.gate.probing import Probing
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.statistics.gate import GateSettings
from rlwd.ops.statistics.verdict import VerdictKind


def test_a_real_engine_is_asked_each_question_that_it_takes(
    engine_server: EmbeddedServer, versions: tuple[Candidate, Candidate]
) -> None:
    """The embedded engine takes no tools: twelve questions are left, and the same weights behave alike."""
    engine = HttpEngine(engine_server.url)
    first = versions[0]
    try:
        engine.load(first.version, first.path)
        asks = Probing(QUESTIONS, first.version)
        verdict = asks(first, engine, GateSettings(probe_rounds=1, probe_tokens=8))
        assert verdict.outcome is VerdictKind.PASS
        assert verdict.numbers["answers"] == len(PLAIN)
        assert verdict.numbers["asks"] == verdict.numbers["anchor/asks"]
    finally:
        engine.unload(first.version)
        engine.close()
