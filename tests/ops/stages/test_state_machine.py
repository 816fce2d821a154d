"""The staged release, as a table: stage and what is seen lead to stage and reason.

Locked here: every stage has a deadline and running out of time is not guilt; abort beats
promotion, promotion beats the deadline; guardrails watch the bake too; a wrong split never
promotes and never blames; and with 100 users a variant the good pass and the harmful go.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from crowds_by_hand import Arm, arm, fill, look_of, looks_of, seen_in
from ledger_by_hand import open_ledger

from rlwd.daemon.config import load_config
from rlwd.daemon.wire import build_control
from rlwd.ops.stages.record import Rollout, Stage, held_still
from rlwd.ops.stages.settings import DAY, RolloutSettings
from rlwd.ops.stages.state_machine import (
    advance,
    begin,
    gated,
    promoted_by_hand,
    superseded,
    taken_back,
)
from rlwd.ops.statistics.guardrail import GuardrailSettings, Observation, guard
from rlwd.ops.statistics.verdict import Verdict, VerdictKind

SETTINGS = RolloutSettings(
    steps=(0.05, 0.49),
    step_users=20,
    step_seconds=10,
    margin=0.10,
    planned_users=200,
    gate_seconds=60,
    deadline_seconds=600,
    bake_seconds=100,
)
DEMO = msgspec.structs.replace(SETTINGS, steps=(0.49,), step_seconds=0.0)


def seen(ours: Arm, theirs: Arm) -> Observation:
    return look_of(SETTINGS, ours, theirs)


GOOD = seen(arm(0.7, 400), arm(0.5, 400))
EVEN_FEW = seen(arm(0.5, 50), arm(0.5, 50))
GOOD_FEW = seen(arm(0.95, 90), arm(0.3, 90))
HARMFUL = seen(arm(0.2, 60), arm(0.6, 60))
WORSE_BUT_FEW = seen(arm(0.0, 12), arm(1.0, 12))
FAILING = seen(arm(1.0, 5, exposed=40, failed=6), arm(0.4, 5, exposed=40))
EMPTY = seen(arm(1.0, 5, exposed=40, empty=8), arm(0.4, 5, exposed=40, empty=2))
ENGINE_DOWN = seen(arm(0.5, 50, failed=8), arm(0.5, 50, failed=8))
SKEWED = seen(arm(0.7, 400, exposed=900), arm(0.5, 400, exposed=500))
NOBODY = seen(arm(0.0, 0), arm(0.0, 0))


def at(stage: Stage, step: int = 0, *, settings: RolloutSettings = SETTINGS) -> Rollout:
    """A rollout that entered its stage at time 0."""
    whole = begin("tiny@v000001-11111111", "1" * 64, "tiny@v000000-0", now=0.0, settings=settings)
    spans = {Stage.OFFERED: 60.0, Stage.GATED: 60.0, Stage.CANARY: 600.0, Stage.PROMOTED: 100.0}
    return msgspec.structs.replace(
        whole, stage=stage, step=step, entered_at=0.0, deadline=spans.get(stage, 0.0)
    )


TABLE: list[tuple[Stage, int, Observation | None, float, Stage, int, str]] = [
    (Stage.OFFERED, 0, None, 59, Stage.OFFERED, 0, "against"),
    (Stage.OFFERED, 0, None, 60, Stage.SUPERSEDED, 0, "out of time as offered"),
    (Stage.GATED, 0, None, 1, Stage.CANARY, 0, "5.0% of users, step 1 of 2"),
    (Stage.GATED, 0, None, 60, Stage.SUPERSEDED, 0, "out of time as gated"),
    (Stage.CANARY, 0, None, 1, Stage.CANARY, 0, "against"),
    (Stage.CANARY, 0, None, 600, Stage.SUPERSEDED, 0, "nothing was observed"),
    (Stage.CANARY, 0, NOBODY, 300, Stage.CANARY, 0, "against"),
    (Stage.CANARY, 0, NOBODY, 600, Stage.SUPERSEDED, 0, "nobody has been served"),
    (Stage.CANARY, 0, EVEN_FEW, 9, Stage.CANARY, 0, "against"),
    (Stage.CANARY, 0, WORSE_BUT_FEW, 10, Stage.CANARY, 0, "against"),
    (Stage.CANARY, 0, EVEN_FEW, 10, Stage.CANARY, 1, "49.0% of users, step 2 of 2"),
    (Stage.CANARY, 0, GOOD, 10, Stage.CANARY, 1, "49.0% of users"),
    (Stage.CANARY, 0, HARMFUL, 1, Stage.ROLLED_BACK, 0, "harm: reward 0.2 against 0.6"),
    (
        Stage.CANARY,
        0,
        FAILING,
        1,
        Stage.ROLLED_BACK,
        0,
        "the last 6 answers of the candidate all failed",
    ),
    (
        Stage.CANARY,
        0,
        EMPTY,
        1,
        Stage.ROLLED_BACK,
        0,
        "the last 8 answers of the candidate all failed",
    ),
    (Stage.CANARY, 0, ENGINE_DOWN, 10, Stage.CANARY, 1, "step 2 of 2"),
    (Stage.CANARY, 1, GOOD, 9, Stage.CANARY, 1, "against"),
    (Stage.CANARY, 1, GOOD_FEW, 10, Stage.CANARY, 1, "against"),
    (Stage.CANARY, 1, EVEN_FEW, 10, Stage.CANARY, 1, "against"),
    (Stage.CANARY, 1, EVEN_FEW, 600, Stage.SUPERSEDED, 0, "out of time as canary"),
    (Stage.CANARY, 1, GOOD, 10, Stage.PROMOTED, 0, "reward 0.7 against 0.5"),
    (Stage.CANARY, 1, GOOD, 600, Stage.PROMOTED, 0, "reward 0.7 against 0.5"),
    (Stage.CANARY, 1, HARMFUL, 600, Stage.ROLLED_BACK, 0, "harm"),
    (Stage.CANARY, 1, SKEWED, 10, Stage.CANARY, 1, "against"),
    (Stage.CANARY, 1, SKEWED, 600, Stage.SUPERSEDED, 0, "900 against 500"),
    (Stage.PROMOTED, 0, GOOD, 99, Stage.PROMOTED, 0, "against"),
    (Stage.PROMOTED, 0, None, 100, Stage.SETTLED, 0, "no late evidence"),
    (Stage.PROMOTED, 0, HARMFUL, 99, Stage.ROLLED_BACK, 0, "harm"),
    (Stage.PROMOTED, 0, FAILING, 100, Stage.ROLLED_BACK, 0, "all failed"),
    (Stage.SETTLED, 0, HARMFUL, 1e9, Stage.SETTLED, 0, "against"),
    (Stage.ROLLED_BACK, 0, GOOD, 1e9, Stage.ROLLED_BACK, 0, "against"),
    (Stage.SUPERSEDED, 0, GOOD, 1e9, Stage.SUPERSEDED, 0, "against"),
    (Stage.QUARANTINED, 0, GOOD, 1e9, Stage.QUARANTINED, 0, "against"),
]


@pytest.mark.parametrize(("stage", "step", "look", "now", "then", "next_step", "reason"), TABLE)
def test_the_table_of_moves(
    stage: Stage,
    step: int,
    look: Observation | None,
    now: float,
    then: Stage,
    next_step: int,
    reason: str,
) -> None:
    """One look moves a rollout at most once, and the trail says why."""
    after = advance(at(stage, step), look, now, SETTINGS)
    assert (after.stage, after.step) == (then, next_step)
    assert reason in after.trail[-1].reason
    assert len(after.trail) - 1 == ((stage, step) != (then, next_step))


def test_a_candidate_that_the_gate_knows_little_of_takes_one_step_more() -> None:
    """A quarter of the first step, then the first step, then the second."""
    weak = Verdict(outcome=VerdictKind.PASS, numbers={"gate/first_step": 0.25})
    rollout = gated(at(Stage.OFFERED), weak, 0.0, SETTINGS)
    rollout = advance(rollout, None, 1.0, SETTINGS)
    assert "1.2% of users, step 1 of 2" in rollout.trail[-1].reason
    assert rollout.first_step == 0.25
    rollout = advance(rollout, EVEN_FEW, 11.0, SETTINGS)
    assert "5.0% of users, step 1 of 2" in rollout.trail[-1].reason
    assert (rollout.step, rollout.first_step) == (0, 1.0)
    rollout = advance(rollout, EVEN_FEW, 21.0, SETTINGS)
    assert "step 2 of 2" in rollout.trail[-1].reason


def test_only_harm_and_breakage_are_guilt() -> None:
    """What was refused for cause is quarantined; what ran out of time or of users is not."""
    guilty = [advance(at(Stage.CANARY, 1), look, 1.0, SETTINGS) for look in (HARMFUL, FAILING)]
    assert all(rollout.quarantine for rollout in guilty)
    late = [advance(at(Stage.CANARY, 1), look, 600.0, SETTINGS) for look in (EVEN_FEW, SKEWED)]
    assert not any(rollout.quarantine for rollout in late)


def test_harm_that_begins_with_the_promotion_is_not_outweighed() -> None:
    """Two thousand users who saw none of it before do not hide it."""
    even = seen(arm(0.5, 2000), arm(0.5, 2000))
    after = advance(at(Stage.PROMOTED), even, 5.0, SETTINGS, since_promotion=HARMFUL)
    assert after.stage is Stage.ROLLED_BACK
    assert after.quarantine
    assert "since its promotion: harm: reward 0.2 against 0.6" in after.trail[-1].reason
    unharmed = advance(at(Stage.PROMOTED), even, 100.0, SETTINGS, since_promotion=EVEN_FEW)
    assert unharmed.stage is Stage.SETTLED
    assert "in 50 users per variant since its promotion" in unharmed.trail[-1].reason


def test_silence_that_begins_with_the_promotion_lets_no_bake_settle() -> None:
    """People answer less: at the bake's end it goes without blame, unless a person decided over it."""
    even, silent = (
        seen(arm(0.5, 400), arm(0.5, 400)),
        seen(arm(0.5, 40, exposed=400), arm(0.5, 400)),
    )
    held = advance(at(Stage.PROMOTED), even, 5.0, SETTINGS, since_promotion=silent)
    assert (held.stage, held.verdict.outcome) == (Stage.PROMOTED, VerdictKind.WAIT)
    assert "feedback_rate" in held.verdict.reason
    after = advance(held, even, 100.0, SETTINGS, since_promotion=silent)
    assert (after.stage, after.quarantine, after.learner_returns) == (Stage.SUPERSEDED, False, True)
    assert after.trail[-1].reason.startswith("not kept after its bake: held: feedback_rate")
    canary = advance(at(Stage.CANARY, 1), silent, 20.0, SETTINGS)
    assert canary.held
    decided = promoted_by_hand(canary, "we asked less", 30.0, SETTINGS)
    kept = advance(decided, silent, 200.0, SETTINGS, since_promotion=silent)
    assert kept.stage is Stage.SETTLED


def test_a_step_up_needs_rewards_that_do_not_look_worse() -> None:
    """Not time, not users alone, and not fewer rewarded users than a step asks for."""
    waits: list[tuple[Observation, str]] = [
        (seen(arm(0.0, 0, exposed=90), arm(0.0, 0, exposed=90)), "there are 0"),
        (seen(arm(1.0, 19, exposed=90), arm(0.5, 30, exposed=90)), "there are 19"),
        (seen(arm(0.40, 100), arm(0.50, 100)), "below 0"),
    ]
    for look, says in waits:
        after = advance(at(Stage.CANARY), look, 500.0, SETTINGS)
        assert (after.stage, after.step) == (Stage.CANARY, 0)
        assert says in after.verdict.reason
    fine = seen(arm(0.48, 100), arm(0.50, 100))
    assert advance(at(Stage.CANARY), fine, 500.0, SETTINGS).step == 1


def test_a_step_up_compares_like_with_like(tmp_path: Path) -> None:
    """Better in both segments and used three times as much in the hard one: it does not look worse."""
    ledger = open_ledger(tmp_path / "rlwd.db")
    for variant, segment, mean, users in (
        ("candidate", "easy", 0.95, 50),
        ("candidate", "hard", 0.35, 150),
        ("control", "easy", 0.90, 150),
        ("control", "hard", 0.30, 50),
    ):
        first = 1000 if segment == "hard" else 0
        fill(ledger, variant, mean, users, first=first, segment=segment)
    look = seen_in(ledger, SETTINGS)
    ledger.store.close()
    # Nor is it shown to be: pages and status have the difference that decides.
    assert guard(look).numbers["ab/diff"] == pytest.approx(0.05, abs=0.01)
    assert advance(at(Stage.CANARY), look, 500.0, SETTINGS).step == 1


def test_a_promotion_waits_for_whole_days_where_it_is_asked_to(tmp_path: Path) -> None:
    """Shown on the first day, it is promoted on the fourth: a day in which one variant served nobody is none."""
    settings = msgspec.structs.replace(SETTINGS, min_days=2, deadline_seconds=9 * DAY)
    rollout = msgspec.structs.replace(at(Stage.CANARY, 1), deadline=9 * DAY)
    ledger = open_ledger(tmp_path / "rlwd.db")
    both = ("candidate", "control")
    for day, variants, says in (
        (0.0, both, "waits for 2 whole days of traffic; there are 0; so far reward 0.8"),
        (1.1, ("candidate",), "there are 1"),
        (2.2, both, "there are 1"),
        (2.9, both, "there are 1"),
        (3.2, both, "reward 0.8"),
    ):
        for variant in variants:
            mean, users = {"candidate": 0.8, "control": 0.4}[variant], 100 if day < 1 else 5
            when, first = 1000.0 + day * DAY, round(1000 * day)
            fill(ledger, variant, mean, users, at=when, first=first)
        rollout = advance(rollout, seen_in(ledger, settings), day * DAY + 100.0, settings)
        assert says in rollout.verdict.reason
        assert (rollout.stage is Stage.PROMOTED) == (day == 3.2)
    ledger.store.close()


def test_a_promotion_waits_while_there_is_doubt() -> None:
    """The evidence may be whole: it steps up and meets its deadline as ever, and is promoted once the doubt is over."""
    doubtful = msgspec.structs.replace(at(Stage.CANARY, 1), doubt="asks 0.3 against 0.1")
    waiting = advance(doubtful, GOOD, 20, SETTINGS)
    assert (waiting.stage, waiting.step) == (Stage.CANARY, 1)
    assert waiting.verdict.outcome is VerdictKind.WAIT
    assert "asks 0.3 against 0.1; so far " in waiting.verdict.reason
    assert waiting.doubt
    assert not advance(doubtful, EVEN_FEW, 20, SETTINGS).doubt
    sure = msgspec.structs.replace(waiting, doubt="")
    assert advance(sure, GOOD, 30, SETTINGS).stage is Stage.PROMOTED
    first = msgspec.structs.replace(doubtful, step=0)
    assert advance(first, GOOD, 20, SETTINGS).step == 1
    late = advance(waiting, GOOD, 600, SETTINGS)
    assert late.stage is Stage.SUPERSEDED
    assert "asks 0.3 against 0.1" in late.trail[-1].reason
    assert (late.out_of_time, late.quarantine, late.learner_returns) == (True, False, True)
    assert advance(doubtful, HARMFUL, 20, SETTINGS).stage is Stage.ROLLED_BACK


def test_a_promotion_waits_for_the_look_that_decides_also_at_the_deadline() -> None:
    """What is shown with the last look is promoted with the next, or given up, as the look in between says."""
    doubtful = msgspec.structs.replace(at(Stage.CANARY, 1), doubt="not looked at now")
    waiting = advance(doubtful, GOOD, 610, SETTINGS)
    assert (waiting.stage, waiting.doubted_since) == (Stage.CANARY, 610)
    assert advance(waiting, GOOD, 620, SETTINGS).stage is Stage.SUPERSEDED
    sure = msgspec.structs.replace(waiting, doubt="")
    assert advance(sure, GOOD, 620, SETTINGS).stage is Stage.PROMOTED
    assert advance(sure, EVEN_FEW, 620, SETTINGS).stage is Stage.SUPERSEDED


def test_a_doubt_is_of_the_last_look() -> None:
    """It is none once the rewards do not show enough, once a person promotes, or as a paused look finds."""
    doubtful = msgspec.structs.replace(at(Stage.CANARY, 1), doubt="asks 0.3 against 0.1")
    waiting = advance(doubtful, GOOD, 20, SETTINGS)
    few = advance(waiting, EVEN_FEW, 30, SETTINGS)
    assert (few.doubt, few.doubted_since) == ("", 0.0)
    by_hand = promoted_by_hand(waiting, "ann: meant", 30, SETTINGS)
    assert (by_hand.doubt, by_hand.doubted_since) == ("", 0.0)
    assert "over: asks 0.3 against 0.1" in by_hand.trail[-1].reason
    paused = held_still(waiting, few, "paused by ann")
    assert (paused.doubt, paused.doubted_since) == ("", 0.0)


def test_whoever_is_given_up_sends_the_learner_back() -> None:
    """Blamed or not: a learner that stays on it would move away from the champion for ever."""
    ends = [advance(at(Stage.CANARY, 1), look, 600.0, SETTINGS) for look in (EVEN_FEW, HARMFUL)]
    assert [(end.learner_returns, end.quarantine) for end in ends] == [(True, False), (True, True)]
    good = advance(at(Stage.CANARY, 1), GOOD, 600.0, SETTINGS)
    assert not good.learner_returns


def test_a_split_once_broken_stays_broken() -> None:
    """Later users cannot heal a measurement that was found wrong."""
    once = advance(at(Stage.CANARY, 1), SKEWED, 5.0, SETTINGS)
    assert once.split_broken
    assert once.verdict.outcome is VerdictKind.WAIT
    assert advance(once, GOOD, 20.0, SETTINGS).stage is Stage.CANARY


def test_a_hold_heals_nothing() -> None:
    """A split that was found broken while somebody paused the rollout is broken when it goes on."""
    before = at(Stage.CANARY)
    held = held_still(before, advance(before, SKEWED, 20.0, SETTINGS), "paused by ann")
    assert (held.stage, held.split_broken) == (Stage.CANARY, True)
    assert advance(held, GOOD, 30.0, SETTINGS).stage is Stage.CANARY


def test_a_broken_split_can_be_made_to_roll_back() -> None:
    """Even then the candidate is not blamed."""
    settings = msgspec.structs.replace(SETTINGS, guardrail=GuardrailSettings(srm_action="rollback"))
    after = advance(at(Stage.CANARY, 1), SKEWED, 5.0, settings)
    assert after.stage is Stage.ROLLED_BACK
    assert not after.quarantine


@pytest.mark.parametrize(
    ("outcome", "now", "stage"),
    [
        (VerdictKind.PASS, 10, Stage.GATED),
        (VerdictKind.FAIL, 10, Stage.QUARANTINED),
        (VerdictKind.WAIT, 10, Stage.OFFERED),
        (VerdictKind.NODATA, 59, Stage.OFFERED),
        (VerdictKind.WAIT, 60, Stage.SUPERSEDED),
    ],
)
def test_what_follows_from_the_gates_answers(
    outcome: VerdictKind, now: float, stage: Stage
) -> None:
    """PASS goes on, FAIL is guilt, and waiting ends at the deadline."""
    verdict = Verdict(outcome=outcome, reasons=("because",))
    after = gated(at(Stage.OFFERED), verdict, now, SETTINGS)
    assert after.stage is stage
    assert after.quarantine == (stage is Stage.QUARANTINED)
    assert after.verdict == verdict


def test_the_gate_is_heard_once() -> None:
    """A late verdict does not move a rollout that went on."""
    verdict = Verdict(outcome=VerdictKind.FAIL)
    assert gated(at(Stage.CANARY), verdict, 1.0, SETTINGS) == at(Stage.CANARY)


def test_a_person_may_take_back_at_any_stage() -> None:
    """By hand a rollout is refused wherever it is, and ended without guilt only if it runs."""
    for stage in Stage:
        assert taken_back(at(stage), "I saw it", 5.0).quarantine
    assert superseded(at(Stage.CANARY), "parent", 5.0).stage is Stage.SUPERSEDED
    assert superseded(at(Stage.SETTLED), "parent", 5.0).stage is Stage.SETTLED


def users_of(look: Observation) -> int:
    assert look.readout.rewards is not None
    return look.readout.rewards[1].users


def decided(difference: float, seed: int) -> tuple[Stage, int]:
    """Stage in which the canary ends, and users per variant by then."""
    generator = np.random.default_rng(seed)
    ours, theirs = (
        [bool(good) for good in generator.binomial(1, 0.5 + gain, 600)]
        for gain in (difference, 0.0)
    )
    rollout = at(Stage.CANARY, settings=DEMO)
    for now, look in enumerate(looks_of(DEMO, ours, theirs, every=30)):
        rollout = advance(rollout, look, float(now), DEMO)
        if rollout.stage is not Stage.CANARY:
            return rollout.stage, users_of(look)
    return rollout.stage, 600


@pytest.mark.parametrize(
    ("difference", "stage", "least"),
    [(0.2, Stage.PROMOTED, 5), (-0.3, Stage.ROLLED_BACK, 5)],
)
def test_the_good_are_promoted_and_the_harmful_taken_back(
    difference: float, stage: Stage, least: int
) -> None:
    """Five crowds each; no promotion rests on fewer than 100 users a variant."""
    ends = [decided(difference, seed) for seed in range(5)]
    assert sum(end is stage for end, _ in ends) >= least
    assert all(users >= 100 for end, users in ends if end is Stage.PROMOTED)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"steps": ()}, "steps"),
        ({"steps": (0.2, 0.1)}, "steps"),
        ({"steps": (0.0, 0.1)}, "steps"),
        ({"steps": (0.51,)}, "steps"),
        ({"anchor_share": 1.0}, "anchor_share"),
        ({"margin": 0.0}, "margin"),
        ({"alpha_promote": 1.0}, "alpha_promote"),
        ({"min_users": 1}, "min_users"),
        ({"bake_seconds": -1.0}, "bake_"),
        ({"bake_share": 0.0}, "bake_share"),
        ({"step_seconds": 6000.0}, "do not fit into deadline_seconds"),
        ({"min_days": 1}, "min_days is 1: it must .* shorter than deadline_seconds, 21600"),
        ({"min_days": -1}, "min_days is -1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any], named: str) -> None:
    """The error names the field."""
    with pytest.raises(ValueError, match=named):
        RolloutSettings(**wrong)


def test_times_within_which_no_answer_counts_are_refused(tmp_path: Path) -> None:
    """Nothing could be promoted, or nothing seen in the bake; the start ends with the field."""
    settings = RolloutSettings()
    settings.check_horizon(3600.0)
    with pytest.raises(ValueError, match=r"rollout\.bake_seconds is 7200, .* counts after 7200"):
        settings.check_horizon(7200.0)
    with pytest.raises(ValueError, match=r"rollout\.deadline_seconds is 21600"):
        settings.check_horizon(86_400.0)
    msgspec.structs.replace(settings, bake_seconds=0.0).check_horizon(7200.0)
    week = msgspec.structs.replace(settings, min_days=7, deadline_seconds=7 * DAY + 3600.0)
    week.check_horizon(3599.0)
    with pytest.raises(ValueError, match=r"rollout\.min_days is 7, .* counts after 3600"):
        week.check_horizon(3600.0)
    path = tmp_path / "rlwd.toml"
    path.write_text(
        'state = "."\n[learner]\nmodel = "base"\n[comparison]\nhorizon_seconds = 9999\n'
    )
    with pytest.raises(ValueError, match=r"rollout\.bake_seconds"):
        build_control(load_config(path))


def test_guardrail_settings_that_cannot_be_meant_are_refused() -> None:
    """An alpha of 0 would never accuse anybody."""
    with pytest.raises(ValueError, match="alpha_harm"):
        GuardrailSettings(alpha_harm=0.0)
