"""An experiment on the product, from the command and OFREP to the verdict, beside a rollout."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from gateway_rig import CHAT, HELLO
from releases_by_hand import promote
from rollout_rig import RolloutRig
from state_rig import config_of, rig_on, wait_for_gateway

from rlwd.daemon.config import Config
from rlwd.daemon.experiments.experiment_runs import print_experiments, run_end, run_start
from rlwd.ops.experiments.conductor import Conductor
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.rollout import candidates_table, experiments_table
from rlwd.ops.rollout.observe import Comparing
from rlwd.ops.stages.experiment import Experiment, ExperimentKind
from rlwd.ops.statistics.answers import ComparisonSettings

ROLLOUT = """\
anchor_share = 0.1
steps = [0.5]
step_users = 4
step_seconds = 0.0
min_users = 20
margin = 0.3
planned_users = 60
guardrail = { harm_users = 20, harm_planned_users = 40 }
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A config of which a tenth is held out."""
    return config_of(tmp_path, ROLLOUT)


@pytest.fixture
def rig(config: Config) -> Iterator[RolloutRig]:
    """Gateway, engine and release; version 1 is the champion."""
    with rig_on(config) as rig:
        promote(rig.store, rig.controller, rig.versions[1])
        rig.turn()
        yield rig


@pytest.fixture
def conductor(rig: RolloutRig, config: Config) -> Conductor:
    """What the daemon looks with; answers count at once."""
    comparing = Comparing.of(config.rollout, ComparisonSettings(), lambda segment: 0.0)
    return Conductor(rig.store, "policy", comparing, srm_alpha=0.001, look_seconds=0.0)


def start(config: Config, rig: RolloutRig, share: float = 1.0) -> None:
    done = run_start(config, "prompt", "old,new", share=share, days=7.0, by="ann", why="shorter")
    assert done == 0
    wait_for_gateway(rig, flags(config)["metadata"]["generation"])


def flags(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(config.flags_path.read_bytes())
    return found


def known(rig: RolloutRig) -> Experiment:
    with rig.store.reading() as view:
        found = experiments_table.find(view, "policy", "prompt")
    assert found is not None
    return found


def arm_of(rig: RolloutRig, user: str) -> str:
    """Ask as a product does, by OFREP."""
    body = {"context": {"targetingKey": user}}
    answer = rig.client.post("/ofrep/v1/evaluate/flags/prompt", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["value"] == answer.json()["variant"]
    return str(answer.json()["value"])


def use(rig: RolloutRig, users: int, says: dict[str, str], first: int = 0) -> dict[str, str]:
    """Let users work with their arm of the product; return each one's variant as the client saw it."""
    met = {}
    for number in range(first, first + users):
        user = f"u{number}"
        arm = arm_of(rig, user)
        answer = rig.client.post(
            CHAT, json={**HELLO, "user": user}, headers={"X-Rlwd-Harness": arm}
        )
        met[user] = answer.headers["X-Rlwd-Variant"]
        served = answer.headers["X-Rlwd-Version"].partition(";")[0]
        # The first arm is also what everybody outside has.
        assert served == rig.versions[0 if met[user] == "anchor" else 1].version
        rig.say(answer.json()["id"], says[arm])
    rig.settle(first + users, first + users)
    return met


def told(config: Config, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return what `rlwd experiment status --json` prints."""
    capsys.readouterr()
    print_experiments(config, "prompt", kind=ExperimentKind.HARNESS, as_json=True)
    found: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    return found


def test_a_better_arm_is_shown_and_the_experiment_ends_by_time(
    rig: RolloutRig, config: Config, conductor: Conductor, capsys: pytest.CaptureFixture[str]
) -> None:
    """From requests to the verdict: each arm by the flag, one policy, the holdout in none."""
    start(config, rig)
    met = use(rig, 120, {"old": "rejected", "new": "accepted"})
    assert set(met.values()) == {"experiment", "anchor"}
    conductor.step(time.time())
    found = told(config, capsys)
    reading = {one["name"]: one for one in found["readings"]}["reward"]
    assert (reading["arm"], reading["value"], reading["control"]) == ("new", 1.0, 0.0)
    assert found["mismatched"] == 0
    assert not found["split_broken"]
    with rig.store.reading() as view:
        rows = view.execute(
            "SELECT variant, harness, COUNT(*) FROM episodes GROUP BY variant, harness"
        ).fetchall()
    by_variant = {(variant, harness): count for variant, harness, count in rows}
    assert set(by_variant) == {("arm:old", "old"), ("arm:new", "new"), ("anchor", "old")}
    assert found["says"].startswith("experiment prompt, started by ann, goes on until")
    conductor.step(known(rig).ends_at + 1.0)
    assert known(rig).ended
    assert "its time is over" in known(rig).sentence
    rig.turn()
    state = read_flags(config.flags_path)
    assert state is not None
    assert state.experiment is None


def test_an_arm_that_does_harm_is_stopped(
    rig: RolloutRig, config: Config, conductor: Conductor
) -> None:
    """With nobody awake: the verdict ends it, and the flag goes."""
    start(config, rig)
    use(rig, 120, {"old": "accepted", "new": "rejected"})
    conductor.step(time.time())
    over = known(rig)
    assert (over.outcome, over.ended) == ("FAIL", True)
    assert "stopped: new: harm: reward 0 against 1" in over.trail[-1].reason
    assert over.trail[-1].by == "the daemon"
    rig.turn()
    assert list(flags(config)["flags"]) == ["policy"]


def test_harm_stops_an_arm_whose_people_stay_away(
    rig: RolloutRig, config: Config, conductor: Conductor
) -> None:
    """Half of them have gone, so the split is wrong; what the others say is harm all the same."""
    start(config, rig)
    asked = 0
    for number in range(400):
        arm = arm_of(rig, f"u{number}")
        if arm == "new" and number % 3:
            continue
        answer = rig.client.post(
            CHAT, json={**HELLO, "user": f"u{number}"}, headers={"X-Rlwd-Harness": arm}
        )
        rig.say(answer.json()["id"], {"old": "accepted", "new": "rejected"}[arm])
        asked += 1
    rig.settle(asked, asked)
    conductor.step(time.time())
    over = known(rig)
    assert over.split_broken
    assert (over.outcome, over.ended) == ("FAIL", True)
    assert "stopped: new: harm" in over.trail[-1].reason


@pytest.mark.parametrize(("longest", "broken"), [(3600.0, False), (0.0, True)])
def test_a_slow_arm_is_no_broken_split(
    rig: RolloutRig, config: Config, conductor: Conductor, longest: float, broken: bool
) -> None:
    """Answers of one arm that are still under way say nothing of the split, until they must be there."""
    comparison = ComparisonSettings(request_seconds=longest)
    conductor.comparing = Comparing.of(config.rollout, comparison, lambda segment: 0.0)
    start(config, rig)
    quick = [name for n in range(120) if arm_of(rig, name := f"u{n}") == "old"]
    for user in quick:
        rig.client.post(CHAT, json={**HELLO, "user": user}, headers={"X-Rlwd-Harness": "old"})
    rig.settle(len(quick))
    conductor.step(time.time())
    assert known(rig).split_broken is broken


def test_users_are_in_a_rollout_or_in_the_experiment(
    rig: RolloutRig, config: Config, conductor: Conductor
) -> None:
    """A candidate is offered meanwhile: it has half of those who are outside, and of them alone."""
    start(config, rig, share=0.5)
    rig.offer(2)
    wait_for_gateway(rig, flags(config)["metadata"]["generation"])
    met: dict[str, set[str]] = {}
    for number in range(150):
        variant, served, _ = rig.ask(f"u{number}")
        met.setdefault(variant, set()).add(served)
    v0, v1, v2 = (one.version for one in rig.versions[:3])
    assert met["experiment"] == {v1}
    assert met["candidate"] == {v2}
    assert met["control"] == {v1}
    assert met["anchor"] == {v0}


def test_the_policy_stays_the_same_until_it_is_refused(
    rig: RolloutRig, config: Config, conductor: Conductor
) -> None:
    """A promotion does not reach the experiment's users; a rollback of what they have does."""
    start(config, rig)
    promote(rig.store, rig.controller, rig.versions[2])
    rig.turn()

    def served() -> str:
        state = read_flags(config.flags_path)
        assert state is not None
        assert state.experiment is not None
        return state.experiment.served.version

    assert served() == rig.versions[1].version
    assert rig.versions[1].version in rig.engine.known
    with rig.store.transaction() as tx:
        candidates_table.quarantine(tx, "policy", rig.versions[1], "harm found later", 9.0)
    rig.turn()
    assert served() == rig.versions[2].version


def test_a_product_that_sends_another_harness_is_told(
    rig: RolloutRig, config: Config, conductor: Conductor, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its users are of the arm that the flag gave them, and the count says what is wrong."""
    start(config, rig)
    for number in range(20):
        answer = rig.client.post(CHAT, json={**HELLO, "user": f"u{number}"})
        assert answer.status_code == 200
    rig.settle(20)
    conductor.step(time.time())
    found = told(config, capsys)
    assert found["mismatched"] > 10
    print_experiments(config, "prompt", kind=ExperimentKind.HARNESS, as_json=False)
    assert "X-Rlwd-Harness" in capsys.readouterr().out


def test_it_is_started_once_and_ended_once(
    rig: RolloutRig, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """Again changes nothing; another one waits; a name is used once; who and why are kept."""
    start(config, rig)
    start(config, rig)
    with pytest.raises(ValueError, match="one experiment at a time"):
        run_start(config, "tools", "a,b", share=0.1, days=1.0, by="", why="")
    with pytest.raises(ValueError, match="a name is used once"):
        run_start(config, "prompt", "old,other", share=1.0, days=1.0, by="", why="")
    assert run_end(config, "prompt", by="bob", why="enough") == 0
    assert run_end(config, "prompt", by="eve", why="again") == 0
    trail = [(move.what, move.by, move.reason) for move in known(rig).trail]
    assert trail == [("started", "ann", "shorter"), ("ended", "bob", "enough")]
    with pytest.raises(ValueError, match="a name is used once"):
        run_start(config, "prompt", "old,new", share=1.0, days=1.0, by="", why="")
    with pytest.raises(ValueError, match="no such experiment"):
        run_end(config, "nothing", by="", why="")


@pytest.mark.parametrize(
    ("name", "arms", "share"),
    [
        ("policy", "old,new", 0.5),
        ("aa-1", "old,new", 0.5),
        ("Prompt", "old,new", 0.5),
        ("prompt", "old", 0.5),
        ("prompt", "old,old", 0.5),
        ("prompt", "old,new", 0.0),
        ("prompt", "old,new", 1.5),
        ("prompt", "old,new", 0.0001),
    ],
)
def test_what_no_flag_can_say_is_refused(
    rig: RolloutRig, config: Config, name: str, arms: str, share: float
) -> None:
    """Before anything is written: the daemon never meets it."""
    with pytest.raises(ValueError, match=r"experiment|share|name"):
        run_start(config, name, arms, share=share, days=1.0, by="", why="")
    with rig.store.reading() as view:
        assert experiments_table.running(view, "policy") is None
