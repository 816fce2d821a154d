"""A daemon that dies at every move of a rollout: the next one goes on from there, to the end.

Real daemon, learner, gateway and embedded engine. Each life of the daemon dies right after it has
committed a move, before flags or engines know of it; people use the loop all the while.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forked import ForkServer
from forked_engine import ForkedEngine
from loop_processes import LoopProcesses

from rlwd.daemon.config import load_config
from rlwd.daemon.demo.crowd import Crowd
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.servers.process import LOOPBACK, free_port
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.streams.state.crash_points import CrashPoint

pytestmark = pytest.mark.timeout(900)

CRASH_AT = "RLWD_CRASH_AT"
KILLED = 137
STAGES = (
    ("steps = [0.45]", "steps = [0.2, 0.45]"),
    ("step_users = 0", "step_users = 5"),
    ("gate_seconds = 60.0", "gate_seconds = 900.0"),
    ("deadline_seconds = 120.0", "deadline_seconds = 900.0"),
    ("bake_seconds = 0.0", "bake_seconds = 3.0"),
    (
        "[comparison]",
        """
[rollout.shadow]
share = 1.0
answers = 20
seconds = 900.0
longer = 50.0
[rollout.guardrail]
harm_users = 10
harm_tolerance = 0.9
max_empty_share = 1.0
max_error_share = 1.0
[comparison]""",
    ),
    ("[gateway]", "[gateway]\nshadow_beside = 64\nshadow_concurrency = 4"),
)
"""Every stage, each long enough for a slow machine, and arms that are alike: people decide by coin."""
MOVES = [
    (Stage.GATED, 0),
    (Stage.SHADOW, 0),
    (Stage.CANARY, 0),
    (Stage.CANARY, 1),
    (Stage.PROMOTED, 0),
    (Stage.SETTLED, 0),
]


class MortalLoop(LoopProcesses):
    """A loop whose daemon can be told where to die."""

    def stage_all(self) -> None:
        """Ask for every stage."""
        text = self.path.read_text()
        for was, asked in STAGES:
            assert was in text
            text = text.replace(was, asked, 1)
        self.path.write_text(text)
        self.config = load_config(self.path)

    def live_until_it_dies(self, point: CrashPoint) -> None:
        """Start the daemon, and let people use the loop until it died there."""
        self.daemon.environment[CRASH_AT] = point
        self.daemon.spawn()
        self.use_until(lambda crowd: not self.daemon.alive)
        assert self.daemon.process is not None
        assert self.daemon.process.returncode == KILLED, self.daemon.tail()
        del self.daemon.environment[CRASH_AT]

    def use_until(self, done: Callable[[Crowd], bool]) -> None:
        """Let people use the loop until something is the case; none of them is refused."""
        crowd = self.crowd_until(done, 300.0, by_coin=1.0)
        assert crowd.tally.failed == crowd.tally.feedback_failed == 0

    def command(self, *words: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
        """Run `rlwd` as an operator does."""
        told = [sys.executable, "-m", "rlwd.daemon", *words, "--config", str(self.path)]
        environment = {**os.environ, CRASH_AT: crash_at} if crash_at else dict(os.environ)
        return subprocess.run(told, env=environment, capture_output=True, text=True, check=False)

    @property
    def rollout(self) -> Rollout:
        """The first version's."""
        return next(iter(self.rollouts().values()))

    @property
    def flags(self) -> FlagState:
        """What gateways are told."""
        found = read_flags(self.config.flags_path)
        assert found is not None
        return found


@pytest.fixture
def loop(styled_policy: Path, tmp_path: Path, forks: ForkServer) -> Iterator[MortalLoop]:
    """A loop whose gateway runs, and whose v0 serves."""
    with ForkedEngine(forks, styled_policy, tmp_path) as engine:
        away = f"http://{LOOPBACK}:{free_port()}"
        loop = MortalLoop(tmp_path, styled_policy, engine=engine, mlflow=away)
        loop.stage_all()
        try:
            loop.start()
            loop.daemon.kill()
            yield loop
        finally:
            loop.stop()


def switched_users(loop: MortalLoop) -> list[str]:
    """Users who were in both arms, or who lost theirs on the way up."""
    ended = [one.at for one in loop.rollout.trail if one.stage is Stage.PROMOTED]
    rows = loop.ask(
        "SELECT user_hash, variant, MIN(received), MAX(received) FROM episodes"
        " WHERE salt = ? AND received < ? AND variant <> 'shadow' GROUP BY user_hash, variant",
        loop.rollout.version,
        ended[0] if ended else float("inf"),
    )
    seen: dict[str, dict[str, tuple[float, float]]] = {}
    for user, variant, first, last in rows:
        seen.setdefault(user, {})[variant] = first, last
    return [user for user, arms in seen.items() if _switched(arms)]


def _switched(arms: dict[str, tuple[float, float]]) -> bool:
    first = min((arms[arm][0] for arm in ("candidate", "control") if arm in arms), default=None)
    if first is None:
        return False
    # Five seconds are more than an answer takes that was under way as the share grew.
    left = "champion" in arms and arms["champion"][1] > first + 5.0
    return left or {"candidate", "control"} <= arms.keys()


def test_a_rollout_survives_a_death_at_every_move(loop: MortalLoop) -> None:
    """Offered to settled, one life a move; held in between, and taken back half-way at the end."""
    v0 = loop.flags.champion.version
    loop.live_until_it_dies(CrashPoint.OFFERED)
    assert loop.rollout.stage is Stage.OFFERED
    trail = loop.rollout.trail
    for stage, step in MOVES:
        before = loop.flags
        loop.live_until_it_dies(CrashPoint.MOVED)
        rollout = loop.rollout
        assert (rollout.stage, rollout.step) == (stage, step), rollout.trail[-1].reason
        assert rollout.trail[:-1] == trail, "what was decided stays, and nothing is done twice"
        trail = rollout.trail
        if stage is Stage.SHADOW:
            assert before.shadow is None
            hold_over_a_death(loop)
        if stage is Stage.CANARY:
            assert (loop.flags.shares.candidate > 0) == (step == 1)
        assert switched_users(loop) == []
    version = loop.rollout.version
    assert loop.promoted() == [version]
    loop.daemon.start()
    loop.use_until(lambda crowd: any(a.version == version for a in crowd.tally.answers[-20:]))
    assert loop.status()["fates"]["excluded:shadow"] >= 20
    take_back_half_way(loop, version, v0)


def hold_over_a_death(loop: MortalLoop) -> None:
    """Paused, it has all the answers that it waits for and does not move, nor after a death."""
    assert loop.command("pause", "--reason", "freeze", "--by", "ann").returncode == 0

    def answered(more: int) -> bool:
        row = loop.ask("SELECT COUNT(*) FROM episodes WHERE variant = 'shadow'")
        return int(row[0][0]) >= more

    loop.daemon.start()
    loop.use_until(lambda crowd: answered(60))
    loop.until(lambda: "paused by ann: freeze" in loop.rollout.verdict.reason)
    loop.daemon.kill()
    loop.daemon.start()
    looks = loop.rollout.looks
    loop.until(lambda: loop.rollout.looks > looks)
    assert loop.rollout.stage is Stage.SHADOW
    assert loop.status()["held"] == "rollouts are paused by ann: freeze"
    loop.daemon.kill()
    assert loop.command("resume").returncode == 0


def take_back_half_way(loop: MortalLoop, version: str, v0: str) -> None:
    """The operator's command dies between tables and flags, and so does the daemon: v0 serves."""
    command = ("rollback", "champion", "--reason", "it shouts")
    assert loop.command(*command, crash_at=CrashPoint.TAKEN_BACK).returncode == KILLED
    assert loop.rollouts()[version].stage is Stage.ROLLED_BACK
    loop.daemon.kill()
    assert loop.command("pin", v0, "--reason", "until Monday", "--by", "ann").returncode == 0
    loop.daemon.start()
    loop.until(lambda: loop.flags.champion.version == v0 and loop.flags.candidate is None)
    loop.use_until(lambda crowd: len(crowd.tally.answers) >= 40)
    assert loop.flags.champion.version == v0
    assert loop.status()["held"] == f"{v0} is pinned by ann: until Monday"
