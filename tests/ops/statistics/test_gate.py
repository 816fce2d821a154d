"""What a candidate must show before it meets anybody."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rlwd.learner.candidate import Candidate, HeldOut, Preference, Probe
from rlwd.ops.engine.port import Proof
from rlwd.ops.statistics.gate import GateSettings, judge
from rlwd.ops.statistics.verdict import VerdictKind

NAN = float("nan")
URL = "http://127.0.0.1:1"


def shown(**changes: Any) -> Proof:
    """One replica's answer."""
    given = {"url": URL, "served": True, "difference": 0.001, "reason": "", **changes}
    return Proof(**given)


def candidate(**changes: Any) -> Candidate:
    whole = Candidate(
        version="tiny@v000003-abcdef01",
        sequence=3,
        digest="abcdef01" * 8,
        path=Path("nowhere"),
        probe=Probe(token_ids=(1, 2), logprobs=(-0.5,)),
        held_out=HeldOut(
            count=40, behaviour=0.5, estimate=0.52, standard_error=0.05, effective_sample_size=30.0
        ),
        metrics={"loss/policy": 0.1},
    )
    return msgspec.structs.replace(whole, **changes)


def held_out(estimate: float, error: float = 0.05, effective: float = 30.0) -> Candidate:
    return candidate(
        held_out=HeldOut(
            count=40,
            behaviour=0.5,
            estimate=estimate,
            standard_error=error,
            effective_sample_size=effective,
        )
    )


def asked(
    who: Candidate | None = None,
    proofs: Sequence[Proof] = (shown(),),
    problem: str | None = None,
    **settings: Any,
) -> tuple[VerdictKind, str]:
    verdict = judge(
        who or candidate(),
        adapter_problem=problem,
        proofs=proofs,
        settings=GateSettings(**settings),
    )
    return verdict.outcome, verdict.reason


def test_a_sound_candidate_passes_and_says_on_what_evidence() -> None:
    """The verdict carries the held-out numbers."""
    verdict = judge(candidate(), adapter_problem=None, proofs=[shown()], settings=GateSettings())
    assert verdict.outcome is VerdictKind.PASS
    assert verdict.numbers["gate/estimate"] == 0.52
    assert verdict.numbers["gate/replicas"] == 1
    assert "0.520" in verdict.reason


CASES: list[tuple[str, Callable[[], tuple[VerdictKind, str]], VerdictKind, str]] = [
    ("adapter", lambda: asked(problem="NaN in q_proj"), VerdictKind.FAIL, "NaN in q_proj"),
    ("digest", lambda: asked(candidate(digest="0" * 64)), VerdictKind.FAIL, "does not carry"),
    ("metric", lambda: asked(candidate(metrics={"grad_norm": NAN})), VerdictKind.FAIL, "grad_norm"),
    (
        "probe",
        lambda: asked(candidate(probe=Probe(token_ids=(1, 2), logprobs=(NAN,)))),
        VerdictKind.FAIL,
        "probe",
    ),
    (
        "wrong bits",
        lambda: asked(proofs=[shown(), shown(served=False, difference=0.8, reason="off")]),
        VerdictKind.FAIL,
        "other bits",
    ),
    (
        "not loaded",
        lambda: asked(proofs=[shown(), shown(served=False, difference=None, reason="no answer")]),
        VerdictKind.WAIT,
        "no answer",
    ),
    ("no replica", lambda: asked(proofs=[]), VerdictKind.WAIT, "0 replicas"),
    ("too few replicas", lambda: asked(replicas=2), VerdictKind.WAIT, "1 replicas"),
    ("clear loss", lambda: asked(held_out(0.30)), VerdictKind.FAIL, "0.300"),
    ("loss within doubt", lambda: asked(held_out(0.40)), VerdictKind.PASS, "0.400"),
    (
        "loss of few",
        lambda: asked(held_out(0.1, effective=3.0)),
        VerdictKind.PASS,
        "canary decides",
    ),
    (
        "loss of few, required",
        lambda: asked(held_out(0.1, effective=3.0), require_held_out=True),
        VerdictKind.NODATA,
        "3.0 effective",
    ),
    (
        "nothing held out",
        lambda: asked(candidate(held_out=None)),
        VerdictKind.PASS,
        "nothing was held",
    ),
    (
        "nothing held out, required",
        lambda: asked(candidate(held_out=None), require_held_out=True),
        VerdictKind.NODATA,
        "nothing was held",
    ),
    ("estimate nan", lambda: asked(held_out(NAN)), VerdictKind.FAIL, "not finite"),
]


@pytest.mark.parametrize(
    ("ask", "outcome", "reason"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_each_flaw_gets_its_answer_and_its_reason(
    ask: Callable[[], tuple[VerdictKind, str]], outcome: VerdictKind, reason: str
) -> None:
    """Wrong bits and clear loss fail, what is not there yet waits, thin evidence passes on."""
    got, said = ask()
    assert got is outcome
    assert reason in said


def test_a_low_effective_size_shrinks_the_first_step() -> None:
    """Far from what was served, a candidate begins with a quarter of the step; a near one with all."""
    weak, sound = (
        judge(who, adapter_problem=None, proofs=[shown()], settings=GateSettings())
        for who in (held_out(0.1, effective=3.0), held_out(0.5))
    )
    assert weak.numbers["gate/first_step"] == 0.25
    assert "from 25% of its first step" in weak.reason
    assert "gate/first_step" not in sound.numbers


def test_too_few_held_out_are_told_how_many_the_margin_needs() -> None:
    """Forty episodes with an error of 0.05 spread by 0.32: 247 would show a loss of 0.10."""
    _, said = asked(held_out(0.5))
    assert "30 effective, 247 would show a loss of twice the margin" in said
    _, enough = asked(held_out(0.5), margin=0.3)
    assert "would show" not in enough


def test_all_flaws_are_named_at_once() -> None:
    """Whoever reads the verdict need not repair one flaw to hear of the next."""
    _, said = asked(candidate(metrics={"kl": NAN}), problem="wrong shape", proofs=[])
    assert "wrong shape" in said
    assert "kl" in said


def test_settings_out_of_range_are_refused() -> None:
    """A negative margin would fail every candidate in silence."""
    with pytest.raises(ValueError, match="margin"):
        GateSettings(margin=-0.1)


@pytest.mark.parametrize(
    ("drift", "budget", "outcome"),
    [(1.9, 2.0, VerdictKind.PASS), (2.1, 2.0, VerdictKind.FAIL), (50.0, 0.0, VerdictKind.PASS)],
)
def test_drift_from_v0_has_a_budget(drift: float, budget: float, outcome: VerdictKind) -> None:
    """Over it a candidate is refused, with both numbers; at 0 there is none."""
    far = candidate(metrics={"after/kl/anchor": drift})
    settings = GateSettings(max_drift=budget)
    verdict = judge(far, adapter_problem=None, proofs=(shown(),), settings=settings)
    assert verdict.outcome is outcome
    assert verdict.numbers["gate/drift"] == drift
    assert verdict.numbers["gate/probe_difference"] == 0.001
    if outcome is VerdictKind.FAIL:
        assert verdict.reason == "it drifted 2.1 nats a token from v0, over the budget of 2"


def preferred(concordance: float, users: float = 20.0, **changes: Any) -> Candidate:
    """A version of which held-out users say so, with an error of 0.1."""
    liked = Preference(
        count=50,
        users=20,
        effective_users=users,
        concordance=concordance,
        standard_error=0.1,
    )
    return candidate(preference=liked, **{"held_out": None, **changes})


@pytest.mark.parametrize(
    ("who", "outcome", "step", "words"),
    [
        (preferred(0.67), VerdictKind.PASS, None, "raised more in 0.670 +- 0.100"),
        (preferred(0.66), VerdictKind.NODATA, 0.25, "not clearly more than 0.5; the canary"),
        (preferred(0.34), VerdictKind.NODATA, 0.25, "not clearly more than 0.5; the canary"),
        (preferred(0.33), VerdictKind.FAIL, 0.25, "it learned the opposite"),
        (preferred(0.9, users=7.9), VerdictKind.NODATA, 0.25, "7.9 of them effective, below 8"),
        (preferred(0.1, users=7.9), VerdictKind.NODATA, 0.25, "7.9 of them effective, below 8"),
        (preferred(NAN), VerdictKind.FAIL, 0.25, "not finite"),
    ],
)
def test_preferences_of_held_out_users(
    who: Candidate, outcome: VerdictKind, step: float | None, words: str
) -> None:
    """Clearly above a half is enough, clearly below is refused; all between begins smaller."""
    settings = GateSettings(require_held_out=True)
    verdict = judge(who, adapter_problem=None, proofs=[shown()], settings=settings)
    assert verdict.outcome is outcome
    assert words in verdict.reason
    assert verdict.numbers.get("gate/first_step") == step
    assert verdict.numbers["gate/preference_users"] == 20.0
    asked_less = judge(who, adapter_problem=None, proofs=[shown()], settings=GateSettings())
    failed = outcome is VerdictKind.FAIL
    assert asked_less.outcome is (VerdictKind.FAIL if failed else VerdictKind.PASS)


def test_of_both_kinds_one_is_enough_and_either_refuses() -> None:
    """A mixed batch says both; the weak one of them takes nothing from the other."""
    good, few = held_out(0.6).held_out, held_out(0.6, effective=3.0).held_out
    bad = held_out(0.2).held_out
    for who, outcome, step in (
        (preferred(0.55, held_out=good), VerdictKind.PASS, None),
        (preferred(0.8, held_out=few), VerdictKind.PASS, None),
        (preferred(0.55, held_out=few), VerdictKind.NODATA, 0.25),
        (preferred(0.2, held_out=good), VerdictKind.FAIL, None),
        (preferred(0.8, held_out=bad), VerdictKind.FAIL, None),
    ):
        settings = GateSettings(require_held_out=True)
        verdict = judge(who, adapter_problem=None, proofs=[shown()], settings=settings)
        assert (verdict.outcome, verdict.numbers.get("gate/first_step")) == (outcome, step)
        if outcome is not VerdictKind.FAIL:
            assert "held-out: " in verdict.reason
            assert "preferences: " in verdict.reason
