"""Several replicas under traffic: nobody is answered by weights that were not proven there."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_rig import CHAT, HELLO, LoopThread
from rollout_rig import AdapterEngine, RolloutRig
from waiting import until

from rlwd.ops.engine import replica
from rlwd.ops.servers.process import NO_TLS
from rlwd.ops.stages.settings import RolloutSettings

SETTINGS = RolloutSettings(
    steps=(0.5,), anchor_share=0.0, step_users=4, step_seconds=0.0, bake_share=0.5
)


@pytest.fixture
def rig(tmp_path: Path, loop: LoopThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[RolloutRig]:
    """Two replicas with v0 and a candidate; a probe takes them a while."""
    monkeypatch.setattr(replica, "FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(replica, "LONGEST_RETRY_SECONDS", 0.1)
    with ExitStack() as stack:
        rig = RolloutRig(tmp_path, loop, stack, SETTINGS, engines=2)
        rig.offer(1)
        for engine in rig.engines:
            engine.slow_score = 0.15
        yield rig


@contextmanager
def traffic(rig: RolloutRig) -> Iterator[list[tuple[str, str, str, str]]]:
    """People ask all the while; each answer's text, version, variant and status is kept."""
    seen: list[tuple[str, str, str, str]] = []
    stop = threading.Event()

    def ask(person: int) -> None:
        with httpx.Client(base_url=rig.client.base_url, timeout=30, verify=NO_TLS) as client:
            while not stop.is_set():
                body: dict[str, Any] = {**HELLO, "user": f"user{person}.{len(seen)}"}
                answer = client.post(CHAT, json=body)
                said = answer.text
                if answer.status_code == 200:
                    said = answer.json()["choices"][0]["message"]["content"]
                version = answer.headers.get("X-Rlwd-Version", "").partition(";")[0]
                variant = answer.headers["X-Rlwd-Variant"]
                seen.append((said, version, variant, str(answer.status_code)))

    people = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for person in people:
        person.start()
    try:
        yield seen
    finally:
        stop.set()
        for person in people:
            person.join()


def more(seen: list[Any], count: int = 40) -> None:
    """Wait until so many more people were answered."""
    before = len(seen)
    until(lambda: len(seen) >= before + count)


def turn_until(rig: RolloutRig, holds: Any) -> None:
    """Let the daemon take its turns until something holds."""
    deadline = time.monotonic() + 60.0
    while not holds():
        rig.release.reconcile(time.time())
        assert time.monotonic() < deadline, rig.release.fleet.problem
        time.sleep(0.01)


def served_by(engine: AdapterEngine) -> int:
    return engine.wrote


def test_nobody_is_answered_by_a_replica_that_came_back_with_another_base(rig: RolloutRig) -> None:
    """It is asked to load and refused by its proof; the other one answers for it, in the version
    that the flag named; and once it has the right base, it is filled and answers again."""
    one, other = rig.engines
    with traffic(rig) as seen:
        more(seen)
        assert served_by(other), "both have traffic"
        other.restart(scored=-3.0, text="Bad")
        more(seen)
        turn_until(rig, lambda: "does not serve the base" in (rig.release.fleet.problem or ""))
        for _ in range(3):
            rig.release.reconcile(time.time())
            more(seen)
        assert other.paths == {}, "and no trial is left behind"
        before = served_by(other)
        other.restart()
        more(seen)
        turn_until(rig, lambda: rig.release.fleet.problem is None)
        until(lambda: served_by(other) > before + 5)
    assert {said for said, *_ in seen} == {"Good day!"}
    assert {status for *_, status in seen} == {"200"}
    names = {"candidate": rig.versions[1].version, "control": rig.versions[0].version}
    named = {(variant, version) for _, version, variant, _ in seen if variant in names}
    assert named == set(names.items()), "and none by a fallback"
    assert set(other.paths) == set(one.paths) == set(names.values())


def test_a_replica_that_came_back_empty_answers_once_it_is_filled(rig: RolloutRig) -> None:
    """Meanwhile the other one has its sessions, and no answer is a fallback's."""
    other = rig.engines[1]
    with traffic(rig) as seen:
        more(seen)
        other.restart()
        empty_from = len(seen)
        before = served_by(other)
        more(seen)
        assert served_by(other) <= before + 4, "but for what was under way"
        turn_until(rig, lambda: len(other.paths) == 2)
        until(lambda: served_by(other) > before + 10)
    variants = {(variant, version) for _, version, variant, _ in seen[empty_from:]}
    assert variants == {
        ("candidate", rig.versions[1].version),
        ("control", rig.versions[0].version),
    }
    assert {status for *_, status in seen} == {"200"}


def test_an_only_engine_with_another_base_answers_nobody(
    tmp_path: Path, loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are told to come again; v0 too is no name of what is not the base model."""
    monkeypatch.setattr(replica, "FIRST_RETRY_SECONDS", 0.05)
    with ExitStack() as stack:
        rig = RolloutRig(tmp_path, loop, stack, SETTINGS)
        rig.engine.slow_score = 0.1
        rig.engine.restart(scored=-3.0, text="Bad")
        with traffic(rig) as seen:
            turn_until(rig, lambda: "does not serve the base" in (rig.release.fleet.problem or ""))
            more(seen)
            rig.engine.restart()
            turn_until(rig, lambda: rig.release.fleet.problem is None)
            until(lambda: seen[-1][-1] == "200")
    assert {status for *_, status in seen} == {"503", "200"}
    assert {said for said, *_, status in seen if status == "200"} == {"Good day!"}
