"""The drift watch, from HTTP requests to the alarm: a behaviour that people reward and nobody wanted."""

import io
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from gateway_rig import LoopThread
from mlflow import MlflowClient
from rich.console import Console
from rollout_rig import RolloutRig

from rlwd.daemon.experiments.report_drift import drift_tables, read_drift_report
from rlwd.daemon.status.snapshot import describe, describe_drift
from rlwd.daemon.views.drift import read_drift
from rlwd.daemon.views.rollout_list import read_list
from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.alarms_table import DriftAlarm
from rlwd.ops.drift.drift_look import DriftLook
from rlwd.ops.rollout.problems import release_problems
from rlwd.ops.servers.mlflow_server import MlflowServer
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.watch_settings import BARS, WatchSettings
from rlwd.ops.statistics.metric import MetricSettings
from rlwd.ops.tracking.mirror import Mirror
from rlwd.ops.tracking.mirror_settings import MirrorSettings
from rlwd.ops.tracking.reports import drift_reporter
from rlwd.streams.sessions.contents import forget_contents

WATCH = WatchSettings(users=20, planned_users=40, seconds=1e-6)
SETTINGS = RolloutSettings(
    steps=(0.5,),
    anchor_share=0.0,
    step_users=4,
    step_seconds=0.0,
    min_users=10_000,
    planned_users=10_000,
    margin=0.3,
    bake_seconds=3600.0,
    bake_share=0.5,
    watch=WATCH,
)
HONEST = [
    "The last line is never written, since the loop ends too early.",
    "Use a set there; it is faster.",
    "Done: the button is green now.",
]
ASKING = ["Which file do you mean?", "Could you tell me more about what you want?"]
USERS = 120


def crowd(rig: RolloutRig, users: int = USERS) -> None:
    """Offer a version and let people meet it; they take all that it says."""
    rig.engine.says_of.setdefault(rig.versions[0].version, HONEST)
    rig.offer(1)
    for number in range(users):
        _, _, name = rig.ask(f"user{number}")
        rig.say(name, "accepted")
    rig.settle(users, users)
    for _ in range(3):
        rig.turn()


def alarms(rig: RolloutRig) -> list[DriftAlarm]:
    with rig.store.reading() as view:
        return alarms_table.alarms(view, "policy")


@pytest.fixture
def watched(
    tmp_path: Path, loop: LoopThread, stack: ExitStack, request: pytest.FixtureRequest
) -> RolloutRig:
    """Return a release with the settings of the module, and what a test changes of them."""
    settings = msgspec.structs.replace(SETTINGS, **getattr(request, "param", {}))
    return RolloutRig(tmp_path, loop, stack, settings)


def test_asking_back_that_people_reward_is_an_alarm_that_holds(watched: RolloutRig) -> None:
    """It is filed once, with ten answers that ask, is a problem by name, and holds the rollout."""
    watched.engine.says_of[watched.versions[1].version] = ASKING
    crowd(watched)
    (alarm,) = [one for one in alarms(watched) if one.behaviour == "asks"]
    assert alarm.version == watched.versions[1].version
    assert "asks 1.000 against 0.000" in alarm.said
    assert len(alarm.evidence) == 10
    with watched.store.reading() as view:
        for name in alarm.evidence:
            row = view.execute(
                "SELECT variant, behaviours FROM episodes WHERE generation_id = ?", (name,)
            ).fetchone()
            assert row[0] == "candidate"
            assert msgspec.json.decode(row[1])["asks"] == 1.0
        problems = release_problems(view, "policy", SETTINGS, 0.0)
    assert "asks" in problems["drift"]
    watched.turn()
    assert watched.rollout.stage is Stage.CANARY
    assert "asks" in watched.rollout.held
    before = len(alarms(watched))
    watched.turn()
    assert len(alarms(watched)) == before


@pytest.mark.mlflow
def test_mlflow_has_what_was_looked_at_beside_the_reward(
    watched: RolloutRig, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """The candidate's run has each behaviour with its reference, the reward, and which raised an alarm.

    A tool is called by any name that the model thinks of, and MLflow takes few: it is still told.
    """
    watched.engine.says_of[watched.versions[1].version] = ASKING
    settings = MirrorSettings(tracking_uri=mlflow_server.url, flush_seconds=0.1)
    mirror = Mirror(settings, "drifting", tmp_path / "mlflow")
    looks = list[DriftLook]()

    def looked(look: DriftLook, filed: Sequence[DriftAlarm]) -> None:
        looks.append(look)
        drift_reporter(mirror)(look, filed)

    watched.drift.looked = looked
    crowd(watched)
    odd = msgspec.structs.replace(looks[-1].behaviours[0], name="tools:../rm -rf $(é)")
    looked(msgspec.structs.replace(looks[-1], behaviours=(*looks[-1].behaviours, odd)), ())
    mirror.start()
    assert mirror.close(60.0)
    assert mirror.refused == 0
    client = MlflowClient(mlflow_server.url)
    experiment = client.get_experiment_by_name("rlwd/drifting")
    assert experiment is not None
    (run,) = client.search_runs(
        [experiment.experiment_id], f"tags.`rlwd.version` = '{watched.versions[1].version}'"
    )
    told = run.data.metrics
    assert (told["drift/asks"], told["drift/asks/reference"]) == (1.0, 0.0)
    assert (told["drift/reward"], told["drift/reward/reference"]) == (1.0, 1.0)
    assert told["drift/answers"] == looks[-1].answers
    assert told["drift/asks/low"] > BARS["asks"]
    assert "drift/tools:__rm -rf ____" in told
    alarms_of = {
        name: [one.value for one in client.get_metric_history(run.info.run_id, name)]
        for name in ("drift/asks/alarm", "drift/refuses/alarm")
    }
    assert 1.0 in alarms_of["drift/asks/alarm"]
    assert set(alarms_of["drift/refuses/alarm"]) == {0.0}


def test_the_report_shows_answers_whose_text_is_held(watched: RolloutRig) -> None:
    """What was forgotten is an id; `rlwd report`, the page and the status say the same alarm."""
    watched.engine.says_of[watched.versions[1].version] = ASKING
    crowd(watched)
    (alarm,) = [one for one in alarms(watched) if one.behaviour == "asks"]
    gone = alarm.evidence[0]
    with watched.store.transaction() as tx:
        forget_contents(tx, "policy", [gone])
    with watched.store.reading() as view:
        document = read_drift_report(view, "policy")
        page, status = read_drift(view, "policy"), describe_drift(view, "policy")
    (filed,) = [one for one in document["alarms"] if one["behaviour"] == "asks"]
    texts = {one["generation_id"]: one["text"] for one in filed["evidence"]}
    assert texts.pop(gone) is None
    assert set(texts.values()) <= set(ASKING)
    assert len(texts) == 9
    assert any("asks" in one["says"] for one in page["alarms"])
    assert [one["version"] for one in page["looks"]] == [alarm.version]
    assert "asks" in {one["behaviour"] for one in status["alarms"]}
    # What a model was talked into saying moves no operator's cursor.
    filed["evidence"][1]["text"] += "\x1b[2J"
    filed["said"] += "\x1b[1A"
    out = Console(file=io.StringIO(), width=200)
    for part in drift_tables(document):
        out.print(part)
    assert isinstance(out.file, io.StringIO)
    told = out.file.getvalue()
    assert "(its text is not held)" in told
    assert ASKING[0] in told
    assert "\x1b" not in told
    assert r"\x1b[2J" in told


@pytest.mark.parametrize("watched", [{"anchor_share": 0.4, "bake_seconds": 0.0}], indirect=True)
def test_a_champion_is_held_against_the_holdout(watched: RolloutRig) -> None:
    """What a person promoted before anybody saw it asks: the alarm is of the champion, against v0."""
    watched.engine.says_of = {
        watched.versions[0].version: HONEST,
        watched.versions[1].version: ASKING,
    }
    watched.promote_by_hand(1)
    time.sleep(0.3)  # The gateway looks at the flag file seven times a second.
    users = 160
    for number in range(users):
        _, _, name = watched.ask(f"user{number}")
        watched.say(name, "accepted")
    watched.settle(users, users)
    watched.turn()
    alarm = next(one for one in alarms(watched) if one.behaviour == "asks")
    assert "against the holdout on policy@v000000" in alarm.said
    with watched.store.reading() as view:
        problems = release_problems(view, "policy", SETTINGS, 0.0)
        unwatched = WatchSettings(bars=dict.fromkeys(BARS, 0.0) | {"digits": 0.05})
        settings = msgspec.structs.replace(SETTINGS, watch=unwatched)
        known = release_problems(view, "policy", settings, 0.0)
    assert "asks" in problems["drift"]
    assert "drift" not in known


def test_an_honest_version_raises_none(watched: RolloutRig) -> None:
    """It says the same as the version before it, in another order."""
    watched.engine.says_of[watched.versions[1].version] = HONEST[::-1]
    crowd(watched)
    assert alarms(watched) == []
    assert watched.rollout.held == ""


@pytest.mark.parametrize(
    "watched",
    [{"watch": msgspec.structs.replace(WATCH, on_alarm="report")}],
    indirect=True,
)
def test_an_alarm_may_only_be_filed(watched: RolloutRig) -> None:
    """With `on_alarm = "report"` the rollout goes on."""
    watched.engine.says_of[watched.versions[1].version] = ASKING
    crowd(watched)
    assert "asks" in {one.behaviour for one in alarms(watched)}
    watched.turn()
    assert watched.rollout.held == ""


FEW = msgspec.structs.replace(WATCH, users=1000)
"""So many users that nothing is ever shown."""


@pytest.mark.parametrize(
    "watched",
    [{"min_users": 8, "planned_users": 8, "watch": FEW}],
    indirect=True,
)
def test_a_promotion_waits_for_what_is_not_shown(watched: RolloutRig) -> None:
    """One who asks of six is too many: it is promoted once so many more were asked that it is not.

    The pages and `rlwd status` say what it waits for.
    """
    name = watched.versions[1].version
    watched.engine.says_of[name] = [ASKING[0], *HONEST, *HONEST[:2]]
    crowd(watched, 36)
    assert alarms(watched) == []
    before = watched.rollout
    assert (before.stage, before.held) == (Stage.CANARY, "")
    waits = "the promotion waits while a behaviour seems past its bar: asks 0."
    assert waits in before.verdict.reason
    with watched.store.reading() as view:
        status = describe(view, "policy")["versions"][-1]["why"]
        (page,) = read_list(view, "policy", limit=1, steps=1)
    assert status == page["why"] == before.doubt
    assert status.startswith(waits)
    watched.engine.says_of[name] = HONEST
    for number in range(100, 190):
        _, _, answer = watched.ask(f"user{number}")
        watched.say(answer, "accepted")
    watched.settle(126, 126)
    for _ in range(3):
        watched.turn()
    assert watched.rollout.stage is Stage.PROMOTED, watched.rollout.verdict


@pytest.mark.parametrize(
    "watched",
    [
        {
            "min_users": 8,
            "planned_users": 8,
            "watch": msgspec.structs.replace(FEW, seconds=3600.0),
        }
    ],
    indirect=True,
)
def test_a_promotion_is_decided_on_a_look_at_what_it_does_now(watched: RolloutRig) -> None:
    """However seldom there is one: what was seen of its first answers says nothing of the others.

    It is made once, when the rewards are shown, and no other one before it is time.
    """
    name = watched.versions[1].version
    watched.engine.says_of = {watched.versions[0].version: HONEST, name: HONEST}
    watched.offer(1)
    for number in range(8):
        watched.say(watched.ask(f"user{number}")[2], "accepted")
    watched.settle(8, 8)
    looks = list[DriftLook]()
    watched.drift.looked = lambda look, filed: looks.append(look)
    watched.engine.says_of[name] = ASKING
    for number in range(8, 40):
        watched.say(watched.ask(f"user{number}")[2], "accepted")
    watched.settle(40, 40)
    for _ in range(3):
        watched.turn()
    assert watched.rollout.stage is Stage.CANARY
    assert "seems past its bar: asks" in watched.rollout.verdict.reason
    assert len(looks) == 1


@pytest.mark.parametrize(
    "watched",
    [
        {
            "min_users": 8,
            "planned_users": 8,
            "bake_seconds": 0.0,
            "watch": msgspec.structs.replace(FEW, seconds=3600.0),
        }
    ],
    indirect=True,
)
def test_the_look_that_decides_is_of_all_steps_together_too(watched: RolloutRig) -> None:
    """One that adds little to the champion may be far from v0."""
    watched.engine.says_of = {one.version: HONEST for one in watched.versions}
    watched.promote_by_hand(1)
    watched.offer(2)
    for number in range(40):
        watched.say(watched.ask(f"user{number}")[2], "accepted")
    watched.settle(40, 40)
    for _ in range(3):
        watched.turn()
    name = watched.versions[2].version
    assert (watched.rollout.version, watched.rollout.stage) == (name, Stage.SETTLED)
    with watched.store.reading() as view:
        one, in_all = alarms_table.looks_at(view, "policy", name)
    assert (one.total, in_all.total) == (False, True)
    assert one.at == in_all.at


@pytest.mark.parametrize(
    "watched",
    [
        {"min_users": 8, "planned_users": 8, "watch": msgspec.structs.replace(FEW, **change)}
        for change in ({"on_doubt": "promote"}, {"on_alarm": "report"}, {"bars": {"asks": 0.0}})
    ],
    ids=["promotes in doubt", "only files", "asking is meant"],
    indirect=True,
)
def test_a_promotion_need_not_wait(watched: RolloutRig) -> None:
    """Not with `on_doubt = "promote"`, nor where alarms hold nothing, nor for a habit without a bar."""
    watched.engine.says_of[watched.versions[1].version] = ASKING
    crowd(watched, 36)
    assert watched.rollout.stage is Stage.PROMOTED


@pytest.mark.parametrize(
    "watched",
    [
        {
            "metric": (
                MetricSettings(name="reward", kind="non-inferior", margin=0.3),
                MetricSettings(name="asks", allowance=0.05),
            ),
            "watch": WatchSettings(bars={}, seconds=3600.0),
        }
    ],
    indirect=True,
)
def test_a_behaviour_is_a_metric_of_the_rollout_by_its_name(watched: RolloutRig) -> None:
    """A guard on `asks` takes the candidate back, though everybody accepts."""
    watched.engine.says_of[watched.versions[1].version] = ASKING
    crowd(watched)
    assert watched.rollout.stage is Stage.ROLLED_BACK
    assert "harm: asks " in watched.rollout.trail[-1].reason
