"""Trials page parts: the long-term holdout, experiments, and what shadow and gate measured."""

from collections.abc import Mapping
from typing import Any

from ...ops.rollout import experiments_table, holdout_table
from ...ops.rollout.holdout_table import ALL_TIME, HoldoutLook
from ...ops.stages.experiment import Experiment
from ...ops.stages.record import Rollout
from ...streams.state.transaction import Transaction
from ..charts.words import NOT_KNOWN, between, metric_words, number, percent

SAID = {
    "PASS": "Nothing speaks against it.",
    "FAIL": "It is refused.",
    "WAIT": "Not decided yet.",
    "NODATA": "There was nothing to go by.",
}
PERIODS, EXPERIMENTS = 12, 5
"""Most periods of the holdout, and experiments, on the overview; the commands print all."""


def read_holdout(view: Transaction, policy: str, share: float) -> dict[str, Any]:
    """Return what the champion's users did against those who stay on v0."""
    looks = holdout_table.looks(view, policy)
    whole = looks[0] if looks and looks[0].period == ALL_TIME else None
    if not share:
        says = (
            "Nobody is held out: rollout.anchor_share is 0, so nothing says what learning brings."
        )
    elif whole is None:
        says = "Nothing can be compared yet: no answer on v0 counts beside a champion that learned."
    else:
        says = _whole(whole)
    rows = [
        _period(look, name.name)
        for look in [*looks[:1], *looks[1:][-PERIODS:]]
        for name in look.measures
    ]
    return {"says": says, "alarm": whole.alarm if whole else "", "rows": rows}


def _whole(look: HoldoutLook) -> str:
    reward = next((one for one in look.measures if one.name == "reward"), None)
    users = f"{look.champion_users:,} users of the champion against {look.holdout_users:,} on v0"
    if reward is None or reward.low is None or reward.high is None:
        return f"Too few users to say: {users}."
    told = f"reward {reward.difference:+.3f}, between {reward.low:+.3f} and {reward.high:+.3f}; {users}"
    if reward.low <= 0 <= reward.high:
        return f"It cannot be told from nothing yet: {told}."
    return f"In all: {told}."


def _period(look: HoldoutLook, name: str) -> dict[str, Any]:
    one = next(measure for measure in look.measures if measure.name == name)
    bounded = one.low is not None and one.high is not None
    return {
        "period": "in all" if look.period == ALL_TIME else look.period,
        "metric": metric_words(name),
        "champion": number(one.champion),
        "holdout": number(one.holdout),
        "difference": f"{one.difference:+.3f}",
        "between": f"{one.low:+.3f} to {one.high:+.3f}" if bounded else between(None, None),
        "users": f"{look.champion_users:,} + {look.holdout_users:,}",
        "worse": one.worse,
    }


def read_experiments(view: Transaction, policy: str) -> list[dict[str, Any]]:
    """Return the last experiments, newest first."""
    found = experiments_table.history(view, policy, limit=EXPERIMENTS)
    return [_experiment(one) for one in reversed(found)]


def _experiment(one: Experiment) -> dict[str, Any]:
    return {
        "salt": one.salt,
        "title": one.title[0].upper() + one.title[1:],
        "says": one.sentence,
        "verdict": one.verdict,
        "ended": one.ended,
        "alarms": one.false_alarms,
        "broken": one.split_broken,
        "mismatched": one.mismatched,
        "rows": [
            {
                "arm": reading.arm,
                "metric": metric_words(reading.name),
                "value": number(reading.value),
                "control": number(reading.control),
                "change": percent(reading.change),
                "between": between(reading.low, reading.high),
                "users": reading.users,
            }
            for reading in one.readings
        ],
    }


def evidence(rollout: Rollout) -> list[dict[str, Any]]:
    """Return what the gate and the shadow said, with all they measured; nothing where neither spoke.

    A rollout that an earlier rlwd left has what its last look measured, and no more.
    """
    last, gate, shadow = rollout.verdict, rollout.gate, rollout.shadow
    hint = "Its answers to mirrored requests, shown to nobody, beside the champion's."
    found = [
        ("Gate", "What was looked at before anybody met it.", gate, measured(last.numbers, "gate")),
        ("Shadow", hint, shadow, measured(last.numbers, "shadow")),
    ]
    return [
        {
            "title": title,
            "hint": told,
            "outcome": "" if verdict is None else SAID.get(str(verdict.outcome), ""),
            "reasons": () if verdict is None else verdict.reasons,
            "numbers": left if verdict is None else measured(verdict.numbers),
        }
        for title, told, verdict, left in found
    ]


def measured(numbers: Mapping[str, float], kind: str = "") -> list[tuple[str, str]]:
    """Return the numbers of a gate or a shadow by their words; all, or those of one kind.

    >>> measured({"shadow/pairs": 12.0, "gate/x": 1.0}, "shadow"), measured({"gate/recited/a": 0.5})
    ([('Pairs', '12')], [('Recited: a', '0.500')])
    """
    return [
        (
            name.partition("/")[2].replace("_", " ").replace("/", ": ").capitalize(),
            f"{value:,.0f}" if value == int(value) else number(value) or NOT_KNOWN,
        )
        for name, value in numbers.items()
        if name.startswith(f"{kind}/" if kind else "")
    ]
