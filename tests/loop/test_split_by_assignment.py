"""The split of users is tested by assignment: a slow variant is no broken split, and a broken one is."""

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from gateway_rig import LoopThread
from rollout_rig import RolloutRig
from waiting import until

from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings

SETTINGS = RolloutSettings(
    steps=(0.5,), anchor_share=0.0, step_users=4, step_seconds=0.0, min_users=500, margin=0.3
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[RolloutRig]:
    """A release whose version 1 meets half of the people."""
    loop = LoopThread()
    with ExitStack() as stack:
        rig = RolloutRig(tmp_path, loop, stack, SETTINGS)
        rig.offer(1)
        yield rig
    loop.close()


def longest_request(rig: RolloutRig, seconds: float) -> None:
    """Let the release take an answer for complete after so long."""
    comparing = rig.release.comparing
    comparison = msgspec.structs.replace(comparing.comparison, request_seconds=seconds)
    rig.release.comparing = dataclasses.replace(comparing, comparison=comparison)


def test_a_slow_variant_is_no_broken_split(rig: RolloutRig) -> None:
    """While its answers are under way only the control's are known; the split is told from neither."""
    longest_request(rig, 60.0)
    rig.engine.failing[rig.versions[1].version] = "slow"
    rig.engine.answers_slowly = threading.Event()
    askers = [threading.Thread(target=rig.ask, args=(f"user{number}",)) for number in range(60)]
    for asker in askers:
        asker.start()
    until(lambda: len(rig.engine.asked) + rig.engine.held == 60)
    slow = rig.engine.held
    assert 15 < slow < 45
    rig.settle(60 - slow)
    assert not rig.rollout.split_broken
    assert rig.rollout.verdict.numbers["ab/assigned_control"] == 0
    rig.engine.answers_slowly.set()
    for asker in askers:
        asker.join()
    rig.settle(60)
    longest_request(rig, 0.0)
    rig.turn()
    numbers = rig.rollout.verdict.numbers
    assert (numbers["ab/assigned_candidate"], numbers["ab/assigned_control"]) == (slow, 60 - slow)
    assert not rig.rollout.split_broken


def test_a_broken_split_is_found(rig: RolloutRig) -> None:
    """Where one variant's people do not come, quick or slow, the rollout goes no further."""
    longest_request(rig, 0.0)
    asked = number = control = 0
    while not rig.rollout.split_broken:
        assert number < 300
        number += 1
        answer = rig.client.post(
            "/ofrep/v1/evaluate/flags/policy", json={"context": {"targetingKey": f"user{number}"}}
        )
        if answer.json()["variant"] == "control":
            control += 1
            if control % 8:
                continue
        rig.ask(f"user{number}")
        asked += 1
        rig.settle(asked)
    assert rig.rollout.stage is Stage.CANARY
    assert "not split equally" in rig.rollout.verdict.reason
