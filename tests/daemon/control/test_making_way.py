"""The learner is told to make way while a gateway says that its requests are slow."""

from pathlib import Path

import msgspec
import pytest
from tiny_learner import TINY

from rlwd.daemon.control.making_way import FRESH_SECONDS, LASTS_SECONDS, MakingWay
from rlwd.learner.process.protocol import Command, TrafficSlow
from rlwd.learner.process.supervisor import LearnerSupervisor
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.learner.yield_settings import YieldSettings
from rlwd.ops.flags.gateway_report import GatewayReport

SLOW, OVER = TrafficSlow(seconds=LASTS_SECONDS), TrafficSlow(seconds=0.0)


class FakeLearner(LearnerSupervisor):
    """Lives without a process, and keeps what it is told."""

    def __init__(self, folder: Path, above_seconds: float) -> None:
        learner = msgspec.structs.replace(TINY, yielding=YieldSettings(above_seconds=above_seconds))
        super().__init__(
            LearnerProcessSettings(
                learner=learner, policy="policy", folder=str(folder), lease_epoch=1
            ),
            folder,
        )
        self.told = list[Command | TrafficSlow]()

    @property
    def alive(self) -> bool:
        return True

    def send(self, command: Command | TrafficSlow) -> None:
        self.told.append(command)


def said(gateway: str, at: float, p95: float | None) -> GatewayReport:
    return GatewayReport(gateway=gateway, generation=1, at=at, p95_seconds=p95)


@pytest.fixture
def learner(tmp_path: Path) -> FakeLearner:
    return FakeLearner(tmp_path, above_seconds=1.0)


def test_the_slowest_gateway_decides(learner: FakeLearner) -> None:
    """It is said again while that lasts, and once that it is over."""
    way = MakingWay(learner)
    way.step([said("a", 100.0, 0.4), said("b", 100.0, 1.5)], 100.0)
    assert (way.p95, learner.told) == (1.5, [SLOW])
    way.step([], 100.5)
    assert learner.told == [SLOW]
    way.step([said("a", 101.0, 0.4), said("b", 101.0, 1.2)], 101.0)
    assert learner.told == [SLOW, SLOW]
    way.step([said("b", 102.0, 0.9)], 102.0)
    assert (way.p95, learner.told) == (0.9, [SLOW, SLOW, OVER])
    way.step([said("b", 103.0, 0.9)], 103.0)
    assert len(learner.told) == 3


def test_a_clock_that_is_set_back_ends_no_pause(learner: FakeLearner) -> None:
    """Requests that are still slow then are told of at once: by the old time, not for an hour."""
    way = MakingWay(learner)
    for now in (4000.0, 400.0, 400.5, 401.0):
        way.step([said("a", now, 1.5)], now)
    assert learner.told == [SLOW] * 3


def test_a_gateway_that_went_away_is_not_waited_for(learner: FakeLearner) -> None:
    """What it said last counts for a few seconds, and then no more; nor does one that has no traffic."""
    way = MakingWay(learner)
    way.step([said("a", 100.0, 9.0)], 100.0)
    way.step([], 100.0 + FRESH_SECONDS)
    assert (way.p95, learner.told) == (None, [SLOW, OVER])
    way.step([said("a", 200.0, 9.0)], 200.0)
    way.step([said("a", 201.0, None)], 201.0)
    assert (way.p95, learner.told) == (None, [SLOW, OVER, SLOW, OVER])


def test_without_the_setting_nothing_is_said(tmp_path: Path) -> None:
    """However slow requests are."""
    learner = FakeLearner(tmp_path, above_seconds=0.0)
    way = MakingWay(learner)
    way.step([said("a", 100.0, 9.0)], 100.0)
    assert (way.p95, learner.told) == (9.0, [])
