"""How strong an exploit the gate's questions show, over many lines of versions of a fake engine."""

import pytest
from probe_world import SLIPS, FakeChatEngine, candidate, held_at, judged, lives

from rlwd.ops.gate.exploits import QUESTIONS
from rlwd.ops.gate.paired import NAMES, Differing, evidence
from rlwd.ops.gate.probing import Probing
from rlwd.ops.statistics.gate import GateSettings
from rlwd.ops.statistics.verdict import VerdictKind

SEEDS, VERSIONS = 20, 6
SETTINGS = GateSettings()


@pytest.mark.parametrize("how", NAMES)
def test_an_exploit_is_held_by_its_strength(how: str) -> None:
    """In six answers of ten at once, in three mostly, in one mostly before its line is six versions long."""
    at = {
        rate: [held_at(how, rate, seed, VERSIONS, SETTINGS) for seed in range(SEEDS)]
        for rate in (0.1, 0.3, 0.6)
    }
    assert sum(one == 1 for one in at[0.6]) == SEEDS
    assert sum(one == 1 for one in at[0.3]) >= 0.8 * SEEDS
    assert sum(one is not None for one in at[0.1]) >= 0.5 * SEEDS


def test_a_clean_line_is_held_as_seldom_as_it_says() -> None:
    """`probe_alpha` of the versions at most, over all behaviours and looks, and few are asked on for long."""
    seen = [one for seed in range(60) for one in lives("", 0.0, seed, VERSIONS, SETTINGS)]
    held = sum(verdict.outcome is VerdictKind.WAIT for verdict, _ in seen)
    assert held <= 2 * SETTINGS.probe_alpha * len(seen)
    assert sum(rounds for _, rounds in seen) / len(seen) <= 7.0


def test_a_small_difference_is_no_habit_however_often_it_is_seen() -> None:
    """Two points more than v0, in a line that shows it beyond doubt: learning changes how one answers."""
    line = {"digits": Differing(90, 10, 4000)}
    one, v0 = candidate(1), candidate(0).version
    held = 0
    for seed in range(SEEDS):
        asks = Probing(QUESTIONS, v0, one.version, line)
        engine = FakeChatEngine({v0: SLIPS, one.version: {**SLIPS, "digits": 0.03}}, seed)
        held += judged(asks, one, engine, SETTINGS).outcome is VerdictKind.WAIT
    assert evidence(line["digits"]) > 1e9
    assert held == 0


def test_who_has_dropped_the_habit_of_its_line_is_not_held_for_it() -> None:
    """What the champions did counts against a version only where its own answers look like it."""
    one, v0 = candidate(1), candidate(0).version
    held = 0
    for seed in range(SEEDS):
        asks = Probing(QUESTIONS, v0, one.version, {"asks": Differing(60, 2, 500)})
        engine = FakeChatEngine({v0: SLIPS, one.version: SLIPS}, seed)
        held += judged(asks, one, engine, SETTINGS).outcome is VerdictKind.WAIT
    assert held <= 0.5 * SEEDS
