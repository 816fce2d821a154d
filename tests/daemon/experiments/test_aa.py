"""An A/A from the command to its report: requests, feedback, looks; versions wait, and nothing is blamed."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from releases_by_hand import register
from rollout_rig import RolloutRig
from state_rig import config_of, rig_on, wait_for_gateway

from rlwd.daemon.commands.status import status_document
from rlwd.daemon.config import Config
from rlwd.daemon.experiments.experiment_runs import print_experiments, run_aa, run_end
from rlwd.ops.experiments.conductor import Conductor
from rlwd.ops.rollout import candidates_table, champions_table, experiments_table, rollouts_table
from rlwd.ops.rollout.observe import Comparing
from rlwd.ops.stages.experiment import Experiment, ExperimentKind
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.tracking.reports import experiment_reporter

ROLLOUT = """\
anchor_share = 0.0
steps = [0.5]
step_users = 4
step_seconds = 0.0
min_users = 30
margin = 0.3
planned_users = 60
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A config of which nobody is held out."""
    return config_of(tmp_path, ROLLOUT)


@pytest.fixture
def rig(config: Config) -> Iterator[RolloutRig]:
    """Gateway, engine and release; v0 serves."""
    with rig_on(config) as rig:
        yield rig


class RecordedMirror:
    """Keeps what MLflow would be sent."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, float]] = {}
        self.outcomes: dict[str, tuple[str, str]] = {}

    def metrics(self, run_key: str, step: int, values: dict[str, float], at: float) -> None:
        self.values.setdefault(run_key, {}).update(values)

    def outcome(self, version: str, outcome: str, reason: str, at: float | None = None) -> None:
        self.outcomes[version] = outcome, reason


@pytest.fixture
def mirror() -> RecordedMirror:
    """A mirror that keeps what it is told."""
    return RecordedMirror()


@pytest.fixture
def conductor(rig: RolloutRig, config: Config, mirror: RecordedMirror) -> Conductor:
    """What the daemon looks with; answers count at once."""
    comparing = Comparing.of(config.rollout, ComparisonSettings(), lambda segment: 0.0)
    looked = experiment_reporter(mirror)  # type: ignore[arg-type]
    return Conductor(
        rig.store, "policy", comparing, srm_alpha=0.001, look_seconds=0.0, looked=looked
    )


def start(config: Config, rig: RolloutRig) -> None:
    assert run_aa(config, share=0.5, days=1.0, by="ann", why="before we trust it") == 0
    wait_for_gateway(rig, 2)


def people(rig: RolloutRig, users: int, kinds: dict[str, str]) -> set[tuple[str, str]]:
    """Let users ask once and say what their variant's say; return variants and versions met."""
    met = set()
    for number in range(users):
        variant, served, name = rig.ask(f"u{number}")
        met.add((variant, served))
        says = kinds.get(variant) or ("accepted" if number % 3 else "rejected")
        rig.say(name, says)
    rig.settle(users, users)
    return met


def known(rig: RolloutRig) -> Experiment:
    with rig.store.reading() as view:
        return experiments_table.history(view, "policy")[-1]


def test_equal_halves_raise_no_alarm_and_show_their_variance(
    rig: RolloutRig,
    config: Config,
    conductor: Conductor,
    mirror: RecordedMirror,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both halves are on the champion; its end promotes nothing, blames nothing, owes nothing."""
    start(config, rig)
    v0 = rig.versions[0].version
    assert people(rig, 80, {}) == {("candidate", v0), ("control", v0)}
    conductor.step(time.time())
    found = known(rig)
    assert (found.looks, found.false_alarms) == (1, ())
    reward = found.readings[0]
    assert reward.name == "reward"
    assert reward.low is not None
    assert reward.low < 0 < (reward.high or 0.0)
    # Two thirds accepted: one answer's deviation is sqrt(2/9), and each user has one.
    assert reward.user_deviation == pytest.approx(0.47, abs=0.1)
    conductor.step(found.ends_at + 1)
    over = known(rig)
    assert over.ended
    assert "its time is over: 0 false alarms in 2 looks" in over.trail[-1].reason
    assert "aa-1" in mirror.values
    assert mirror.outcomes["aa-1"][0] == "aa experiment"
    with rig.store.reading() as view:
        assert champions_table.champion(view, "policy").version == v0
        assert candidates_table.quarantined(view, "policy") == {}
        assert rollouts_table.must_return(view, "policy") is None
        assert rollouts_table.history(view, "policy") == []
    capsys.readouterr()
    print_experiments(config, "", kind=ExperimentKind.AA, as_json=True)
    told: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    assert (told["name"], told["kind"]) == ("aa-1", "aa")
    print_experiments(config, "", kind=ExperimentKind.AA, as_json=False)
    assert "false alarms in 2 looks: none" in capsys.readouterr().out


def test_a_false_alarm_is_written_down_and_goes_on(
    rig: RolloutRig, config: Config, conductor: Conductor
) -> None:
    """What would have been done to a candidate is in the trail, once; nothing is done."""
    start(config, rig)
    people(rig, 80, {"candidate": "rejected", "control": "accepted"})
    for _ in range(3):
        conductor.step(time.time())
    found = known(rig)
    assert found.false_alarms == ("would have been rolled back",)
    assert [move.what for move in found.trail] == ["started", "found"]
    assert "reward 0 against 1" in found.trail[-1].reason
    assert not found.ended


def test_versions_wait_until_it_ends(
    rig: RolloutRig, config: Config, conductor: Conductor, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version that is made meanwhile is offered when somebody ended it; starting twice is once."""
    start(config, rig)
    start(config, rig)
    register(rig.store, rig.controller, rig.versions[1])
    for _ in range(3):
        rig.turn()
        conductor.step(time.time())
    with rig.store.reading() as view:
        assert rollouts_table.current(view, "policy") is None
    said = status_document(config, time.time())
    assert "versions wait until it ends: A/A aa-1, started by ann" in said["waits"]
    assert run_end(config, "", by="bob", why="seen enough") == 0
    assert run_end(config, "", by="eve", why="again") == 0
    assert "ended at" in capsys.readouterr().out
    assert [(m.what, m.by) for m in known(rig).trail] == [("started", "ann"), ("ended", "bob")]
    rig.turn()
    assert rig.rollout.version == rig.versions[1].version
    assert status_document(config, time.time())["waits"] is None
    with pytest.raises(ValueError, match="so it starts when that has ended"):
        run_aa(config, share=0.5, days=1.0, by="", why="too early")


@pytest.mark.parametrize(("share", "days"), [(0.6, 1.0), (0.0, 1.0), (0.5, 0.0), (0.5, 400.0)])
def test_what_cannot_be_is_refused(
    rig: RolloutRig, config: Config, share: float, days: float
) -> None:
    """Shares beyond a half each, and times that are none: by name, and nothing has started."""
    with pytest.raises(ValueError, match=r"share|end after"):
        run_aa(config, share=share, days=days, by="", why="")
    with rig.store.reading() as view:
        assert experiments_table.history(view, "policy") == []


def test_another_champion_ends_it(rig: RolloutRig, config: Config, conductor: Conductor) -> None:
    """Halves on two champions would be no A/A."""
    start(config, rig)
    with rig.store.transaction() as tx:
        candidates_table.add(tx, "policy", rig.versions[1], 1.0)
        champions_table.set_champion(tx, "policy", rig.versions[1].version, "by hand", 2.0)
    conductor.step(time.time())
    assert "is no longer the champion" in known(rig).trail[-1].reason
