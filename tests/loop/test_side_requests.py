"""What a harness asks for on its own is no answer to anybody, from HTTP requests to the readout."""

from ledger_by_hand import SPEC
from rollout_rig import RolloutRig

from rlwd.ops.rollout.observe import Comparing, observe_users
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.guardrail import Observation
from rlwd.ops.statistics.metric import MetricSettings

SETTINGS = RolloutSettings(
    steps=(0.5,),
    anchor_share=0.0,
    step_users=4,
    step_seconds=0.0,
    min_users=1000,
    margin=0.3,
    planned_users=2000,
    bake_seconds=3600.0,
    bake_share=0.5,
    metric=(
        MetricSettings(name="reward", kind="non-inferior", margin=0.3),
        MetricSettings(name="feedback_rate"),
        MetricSettings(name="cut_off_rate"),
    ),
)


def seen(rig: RolloutRig) -> Observation:
    comparing = Comparing.of(
        SETTINGS, ComparisonSettings(horizon_seconds=0.0), SPEC.decision_seconds
    )
    with rig.store.reading() as view:
        return observe_users(view, "policy", rig.versions[1].version, comparing)


def test_side_requests_count_in_no_comparison(rig: RolloutRig) -> None:
    """A candidate's titles that show nothing are no answers: not counted, not compared, no run of failures."""
    rig.offer(1)
    answered = 0
    for user in range(24):
        _, _, name = rig.ask(f"user{user}")
        rig.say(name, "accepted")
        answered += 1
    rig.settle(answered, answered)
    before = seen(rig)
    rig.engine.failing[rig.versions[1].version] = "end token"
    titles = 0
    for user in range(24):
        rig.ask(f"user{user}", metadata={"side_request": "title"})
        rig.ask(f"other{user}", metadata={"side_request": "title"})
        titles += 2
    rig.settle(answered + titles, answered)
    assert rig.rollout.stage is Stage.CANARY
    after = seen(rig)
    assert (after.candidate, after.control) == (before.candidate, before.control)
    assert after.readout == before.readout
    assert after.tripped == before.tripped
    with rig.store.reading() as view:
        rows = view.execute("SELECT variant, COUNT(*) FROM episodes GROUP BY variant").fetchall()
    assert dict(rows)["side"] == titles
