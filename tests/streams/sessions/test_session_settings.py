"""What `[join]` says of conversations: switched turns, and clients that leave in mid-stream."""

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback
from talks_by_hand import Talk, signals

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted
from rlwd.streams.join.fate import JoinSettings
from rlwd.streams.join.joiner import Joiner


def with_settings(ledger: Ledger, settings: JoinSettings) -> None:
    ledger.joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, settings=settings)
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("allowed", [False, True])
def test_switched_turns_may_be_kept_out_of_training(
    ledger: Ledger, allowed: bool, together: bool
) -> None:
    """By a name of their own, whether another version wrote before them or somebody unknown; turns
    whose own version wrote all that stands before them are trained on."""
    with_settings(ledger, JoinSettings(switched_answers=allowed))
    talk, foreign = Talk("a"), Talk("b", session="s2", answers=1, said="by another model")
    raw = [talk.turn(float(at), version=version) for at, version in enumerate(("v1", "v1", "v2"))]
    raw.append(foreign.turn(3.0))
    if together:
        ledger.take(*raw)
    else:
        for one in raw:
            ledger.take(one)
    for name in (*talk.turns, *foreign.turns):
        ledger.take(feedback(f"f-{name}", name, Accepted(), 5.0), partition=FEEDBACK)
    assert ledger.fates() == ({"waiting": 4} if allowed else {"excluded:switched": 2, "waiting": 2})


@pytest.mark.parametrize("counts", [False, True])
def test_who_leaves_in_mid_stream_interrupts_by_setting(ledger: Ledger, counts: bool) -> None:
    """From the answer's own record; who stays has not."""
    with_settings(ledger, JoinSettings(leaving_interrupts=counts))
    talk = Talk("a")
    ledger.take(talk.turn(0.0, finish_reason="abort"), talk.turn(1.0))
    own = [one for one in signals(ledger) if one[1] == "interrupted"]
    assert own == ([("s.a0", "interrupted", "s.a0")] if counts else [])
