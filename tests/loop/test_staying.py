"""Staying itself, from HTTP requests and the config file to what an operator is told and goes on with."""

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from gateway_rig import LoopThread
from lane_shop import LaneShop
from lone_daemon import BATCH, LoneDaemon

from rlwd.daemon.doctor.doctor_services import check_services
from rlwd.learner.candidate import Manifest
from rlwd.ops.servers.process import LOOPBACK, NO_TLS
from rlwd.streams.join import fate

ALONE = "[learner.lanes]\nkto = 0.0\n[rollout.mismatch]\non_alarm = 'report'\n"
QUICK = "learning_rate = 3e-3\nwarmup_steps = 0\n"


class Stay:
    """A shop whose daemon is started again and again under other settings."""

    def __init__(self, shop: LaneShop) -> None:
        self.shop, self.lives, self.asked = shop, 1, 0

    def next_life(self, more: str = "", *, learner: str = "") -> None:
        """Stop the daemon and start one with other settings, on the same state."""
        self.daemon.stop(10.0)
        self.shop.shop.more, self.shop.shop.learner = more + ALONE, QUICK + learner
        self.lives += 1
        self.shop.shop.daemon(f"life{self.lives}").spawn()

    @property
    def daemon(self) -> LoneDaemon:
        """The one that runs."""
        return self.shop.shop.daemons[-1]

    def batch(self) -> list[str]:
        """Let people ask and decide, enough for a batch; return the generations."""
        names = [self.shop.ask(f"u{self.asked + n}", temperature=1) for n in range(BATCH)]
        self.asked += BATCH
        for number, name in enumerate(names):
            self.shop.say(name, "rejected" if number % 2 else "accepted")
        return names

    def ends(self, names: list[str]) -> set[str]:
        """Wait until a batch is over; return the fates of these answers."""
        places = ", ".join("?" * len(names))
        sql = f"SELECT DISTINCT fate FROM episodes WHERE generation_id IN ({places})"
        found = set[str]()

        def over() -> bool:
            found.clear()
            found.update(row[0] for row in self.shop.shop.ask(sql, *names))
            return bool(found) and fate.WAITING not in found

        self.shop.shop.until(over)
        return set(found)

    def told(self, problem: str) -> str:
        """Return what status says of a problem; /readyz, doctor and the page say the same."""
        shop, daemon = self.shop.shop, self.daemon
        said: str = shop.status()["problems"][problem].partition(" for 8")[0]
        shop.until(lambda: said in str(daemon.ask("readyz").get("problems", {}).get(problem)))
        doctor = [one.line for one in check_services(shop.config)]
        assert any(problem in line and said[:40] in line for line in doctor), doctor
        page = httpx.get(f"http://{LOOPBACK}:{daemon.port}/", trust_env=False, verify=NO_TLS).text
        assert said.partition(":")[0][:40] in page
        return said

    def quiet(self, problem: str) -> None:
        """Wait until /readyz no longer names a problem."""
        self.shop.shop.until(
            lambda: bool(now := self.daemon.ask("readyz")) and problem not in now["problems"]
        )

    @property
    def newest(self) -> Manifest:
        """The newest checkpoint of a batch."""
        return self.shop.shop.manifests[-1]


@pytest.fixture
def stay(tmp_path: Path, tiny_policy: Path, loop: LoopThread, stack: ExitStack) -> Stay:
    """A shop whose first life has a floor that no batch of several weights reaches."""
    return Stay(
        LaneShop(tmp_path, tiny_policy, loop, stack, ALONE, learner=QUICK + "ess_floor = 1.0")
    )


@pytest.mark.timeout(600)
def test_what_keeps_a_version_back_is_told_and_ended(stay: Stay, tmp_path: Path) -> None:
    """Floor, budget of a version, budget of a day, texts that are gone: each is named, and each can be ended."""
    for life in range(3):
        names = stay.batch()
        assert stay.ends(names) == {fate.LOW_ESS}
        if life < 2:
            assert "skipped" not in stay.daemon.ask("readyz")["problems"]
    said = stay.told("skipped")
    assert f"each of the newest 3 batches made no version; {BATCH} of the {BATCH} answers" in said
    assert "learner.ess_floor" in said
    story = stay.shop.explain(names[0])
    assert (story["fate"], story["batch"]["state"]) == (fate.LOW_ESS, "skipped")

    stay.next_life("[learner.drift]\nversion_kl = 1e-9\n")
    names = stay.batch()
    assert stay.ends(names) == {fate.DRIFT}
    assert "made no version" in stay.told("skipped")
    assert "learner.drift" in stay.told("skipped")
    assert stay.shop.explain(names[0])["fate"] == fate.DRIFT
    assert stay.newest.version == stay.shop.shop.manifests[0].version

    (tmp_path / "texts.jsonl").write_text('{"text": "one two three"}\n{"text": "four"}\n')
    stay.next_life(
        "[learner.replay]\ntexts = 'texts.jsonl'\n"
        "[learner.drift]\nprobes = 'texts.jsonl'\nday_kl = 1e-9\n",
        learner="average = 0.5",
    )
    assert stay.ends(stay.batch()) == {fate.TRAINED}
    stay.quiet("skipped")
    told = stay.newest.metrics
    assert told["replay/tokens"] > 0.0
    assert told["average/apart"] > 0.0
    assert told["drift/kl"] > 0.0
    assert "learner.drift.day_kl is 1e-09: none is made" in stay.told("drift_budget")
    assert stay.daemon.live["learner"] == "waiting for the drift budget"
    waiting = stay.batch()
    stay.shop.shop.until(lambda: stay.shop.shop.status()["ready"] == BATCH)
    assert stay.shop.audit().closes, stay.shop.audit().problems

    (tmp_path / "texts.jsonl").unlink()
    stay.next_life("[learner.replay]\ntexts = 'texts.jsonl'\n")
    stay.shop.shop.until(
        lambda: "learner.replay.texts" in str(stay.daemon.ask("readyz").get("problems"))
    )
    stay.next_life()
    assert stay.ends(waiting) == {fate.TRAINED}
    assert stay.shop.audit().closes, stay.shop.audit().problems
