"""Exposure is earned, on real parts: Kafka, vLLM, daemon and gateway as processes, the flag file.

The candidates are adapters that each say another text; vLLM serves them, and people judge the text.
The tests may run in any order: each offers its candidate against whoever is champion by then.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from earned_loop import EarnedLoop
from kafka_server import KafkaServer
from readers import one_in

from rlwd.ops.servers.vllm_server import VllmServer
from rlwd.ops.stages.record import Stage

pytestmark = [pytest.mark.kafka, pytest.mark.vllm, pytest.mark.timeout(600)]

POLICY = "earned"
FAIR, GOOD, POOR, SHRUG, TRAP = "fair", "good", "poor", "shrug", "trap"
ANSWERS_IN_TEN_SECONDS = 20
"""Of the candidate, at 2 a second."""


def word(user: str, text: str) -> str | None:
    """Return what a person says of a text."""
    match text:
        case "fair":
            return "rejected" if one_in(3)(user) else "accepted"
        case "good":
            return "rejected" if one_in(10)(user) else "accepted"
        case "trap":
            return "accepted"
        case "shrug":
            return "accepted" if one_in(4)(user) else None
        case "":
            return None
        case _:
            return "rejected"


@pytest.fixture(scope="module")
def loop(
    kafka_server: KafkaServer,
    vllm_server: VllmServer,
    tiny_policy: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EarnedLoop]:
    """A loop in which v0 serves everybody."""
    topics = [f"{POLICY}.{name}" for name in ("generations", "feedback", "deadletter")]
    kafka_server.create_topics(topics, partitions=2)
    loop = EarnedLoop(
        tmp_path_factory.mktemp("earned"),
        tiny_policy,
        word,
        first=FAIR,
        engine=vllm_server,
        kafka=kafka_server.bootstrap,
        policy=POLICY,
    )
    try:
        loop.start()
        yield loop
    finally:
        loop.people.close()
        loop.stop()


def test_a_better_candidate_is_promoted_although_its_daemon_is_killed_in_mid_canary(
    loop: EarnedLoop,
) -> None:
    """The next daemon goes on at the same step, and people get the candidate's answers meanwhile."""
    better = loop.offer(GOOD, bake_seconds=2.0)
    read = loop.people_until(lambda _: loop.rollouts()[better].step == 1)
    assert {GOOD} == {one.text for one in read if one.version == better}
    loop.daemon.kill()
    killed = loop.rollouts()[better]
    assert (killed.stage, killed.step) == (Stage.CANARY, 1)
    assert better in {one.version for one in loop.people.visit(48)}
    loop.resume()
    loop.people_until(lambda _: loop.rollouts()[better].stage is not Stage.CANARY)
    loop.until(lambda: loop.stage(better) is Stage.SETTLED)
    moves = [(move.stage, move.step) for move in loop.rollouts()[better].trail]
    canary = [(Stage.CANARY, 0), (Stage.CANARY, 1)]
    ends = [(Stage.PROMOTED, 0), (Stage.SETTLED, 0)]
    assert moves == [(Stage.OFFERED, 0), (Stage.GATED, 0), *canary, *ends]
    loop.until(lambda: loop.champion() == better)
    loop.people_until(lambda read: {GOOD} == {one.text for one in read[-20:]})


def test_a_worse_candidate_is_taken_back_at_its_first_step(loop: EarnedLoop) -> None:
    """Nobody accepts its answers: it never climbs, and its digest is refused for ever."""
    champion = loop.champion()
    worse = loop.offer(POOR, bake_seconds=2.0)
    read = loop.people_until(lambda _: loop.rollouts()[worse].ended)
    ended = loop.rollouts()[worse]
    assert (ended.stage, ended.quarantine) == (Stage.ROLLED_BACK, True)
    assert {move.step for move in ended.trail} == {0}
    assert "harm: reward" in ended.trail[-1].reason
    assert {POOR} == {one.text for one in read if one.version == worse}
    assert loop.champion() == champion


def test_a_candidate_that_only_fails_is_back_within_twenty_answers(loop: EarnedLoop) -> None:
    """Nothing but the end token, at two answers a second: it is back before ten seconds' worth of them.

    An answer is waited for until the daemon has it, so that a slow machine shows no more of them; the
    seconds that it took are reported and not asserted.
    """
    failing = loop.offer("", bake_seconds=2.0)
    began = due = 0.0
    met = 0
    while not loop.rollouts()[failing].ended:
        (one,) = loop.people.visit(1)
        if one.version != failing:
            continue
        assert one.text == ""
        began = began or time.monotonic()
        met += 1
        assert met <= ANSWERS_IN_TEN_SECONDS
        loop.seen()
        due = max(due + 0.5, time.monotonic() - 0.5, began + 0.5)
        time.sleep(max(0.0, due - time.monotonic()))
    loop.until(lambda: failing not in {one.version for one in loop.people.visit(8)})
    print(f"back after {time.monotonic() - began:.1f} s and {met} answers at 2 answers a second")
    ended = loop.rollouts()[failing]
    assert (ended.stage, ended.quarantine, ended.step) == (Stage.ROLLED_BACK, True, 0)
    assert "all failed" in ended.trail[-1].reason


def test_a_candidate_that_people_answer_less_is_held(loop: EarnedLoop) -> None:
    """What is said of it is all praise: no step, no promotion, no blame; then somebody rejects it."""
    less = loop.offer(SHRUG, bake_seconds=2.0)
    loop.people_until(lambda _: bool(loop.rollouts()[less].held))
    step = loop.rollouts()[less].step
    loop.people.visit(96)
    loop.seen()
    held = loop.rollouts()[less]
    assert (held.stage, held.step, held.quarantine) == (Stage.CANARY, step, False)
    assert "held: feedback_rate" in held.held
    told = [sys.executable, "-m", "rlwd.daemon", "reject", less, "--config", str(loop.path)]
    subprocess.run([*told, "--reason", "people do not answer it"], check=True, timeout=120)
    loop.until(lambda: loop.stage(less) is Stage.ROLLED_BACK)


def test_harm_that_shows_late_takes_it_back_in_the_bake_although_the_daemon_is_killed(
    loop: EarnedLoop,
) -> None:
    """All accept it and undo that an hour later, by when it is promoted and its daemon is dead."""
    champion = loop.champion()
    trap = loop.offer(TRAP, bake_seconds=600.0)
    read = loop.people_until(lambda _: loop.stage(trap) is not Stage.CANARY)
    assert loop.stage(trap) is Stage.PROMOTED
    loop.until(lambda: loop.champion() == trap)
    baking = {("candidate", trap), ("control", champion)}
    since = loop.people_until(lambda read: baking <= {(x.variant, x.version) for x in read})
    loop.daemon.kill()
    assert loop.stage(trap) is Stage.PROMOTED
    for one in (*read, *since):
        if one.text == TRAP:
            loop.people.say(one, "undone")
    loop.resume()
    loop.until(lambda: loop.stage(trap) is not Stage.PROMOTED)
    ended = loop.rollouts()[trap]
    assert (ended.stage, ended.quarantine) == (Stage.ROLLED_BACK, True)
    assert "harm: reward" in ended.trail[-1].reason
    loop.until(lambda: loop.champion() == champion)
    loop.people_until(lambda read: bool(read) and TRAP not in {one.text for one in read[-20:]})
