"""A version that ran out of time, from HTTP requests to what users are served next."""

from rollout_rig import RolloutRig
from waiting import until

from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.guardrail import GuardrailSettings

SETTINGS = RolloutSettings(
    steps=(0.5,),
    anchor_share=0.0,
    step_users=0,
    step_seconds=0.0,
    min_users=10_000,
    deadline_seconds=1.0,
    guardrail=GuardrailSettings(harm_users=10_000),
)


def test_users_meet_what_was_made_from_a_version_out_of_time(rig: RolloutRig) -> None:
    """Nobody is blamed and the learner stays: the child is compared with the same champion."""
    champion, parent, child = (one.version for one in rig.versions)
    rig.offer(1)
    assert rig.rollout.version == parent
    with rig.store.transaction() as tx:
        rig.controller.register(tx, rig.versions[2], 0.0)

    def serves_the_child() -> bool:
        rig.turn()
        flags = read_flags(rig.release.flags)
        return (
            flags is not None and flags.candidate is not None and flags.candidate.version == child
        )

    until(serves_the_child)
    with rig.store.reading() as view:
        first, second = rollouts_table.history(view, "policy")
        assert rollouts_table.must_return(view, "policy") is None
    assert (first.stage, first.out_of_time, first.quarantine) == (Stage.SUPERSEDED, True, False)
    assert (second.version, second.control) == (child, champion)
    served: set[str] = set()

    def met() -> bool:
        served.add(rig.ask(f"user{len(served)}-{rig.asked}")[1])
        rig.asked += 1
        return {champion, child} <= served

    until(met)
