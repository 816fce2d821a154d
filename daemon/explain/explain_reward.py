"""Explain reward: how one answer's reward comes about, signal by signal, part by part, cost by cost."""

from typing import Any

import msgspec

from ...rewards.spec.reward import Reward, taken_off, weighted_mean
from ...rewards.spec.scorer import Scorer
from ...rewards.spec.spec import DAY, UNDECIDED, Spec
from ...rewards.spec.term import Term
from ...streams.attribution.as_ruled import as_ruled
from ...streams.events.episode import Episode, Timed
from ...streams.events.signals import kind_of
from ...streams.join import offsets
from ...streams.state.transaction import Transaction
from .held_answer import HeldAnswer, load_held

TOLD = frozenset(("name", "tool", "error_class", "rubric", "statement", "direction"))
"""Texts of a signal that say which it is, and hold nothing that a person wrote."""


def explain_reward(
    view: Transaction, policy: str, generation_id: str, spec: Spec, *, ruled: bool = False
) -> dict[str, Any]:
    """Return how an answer's reward comes about under a spec, beside what the state has of it.

    Where it is not the state's own, with `ruled`, feedback on chains is attributed by it.
    `reward` is None where its content was forgotten: it cannot be worked out again. Raises ValueError
    where the answer is not known, or only feedback on it came.
    """
    row = view.execute(
        "SELECT stage, fate, segment, received, reward, parts, spec_version, undecided, revised,"
        " late_reward, late_spec FROM episodes"
        " WHERE policy = ? AND generation_id = ? AND received IS NOT NULL",
        (policy, generation_id),
    ).fetchone()
    if row is None:
        raise ValueError(f"{generation_id}: no such answer of {policy!r}")
    stage, fate, segment, received, reward, parts, version, undecided, revised, *late = row
    scorer = Scorer(spec)
    found = load_held(view, policy, [generation_id], [scorer])
    if ruled:
        found = as_ruled(view, policy, found, scorer)
    mark = offsets.watermark(view, policy)
    return {
        "generation_id": generation_id,
        "segment": segment or "",
        "stage": stage,
        "fate": fate,
        "spec": spec.version,
        "held": bool(found),
        "decision_seconds": spec.decision_seconds(segment or ""),
        "read_seconds": max(0.0, mark - received),
        **(_worked_out(HeldAnswer(found[0], fate, mark), spec) if found else {"reward": None}),
        "stored": {
            "reward": reward,
            "spec": version,
            "undecided": bool(undecided),
            "parts": None if parts is None else msgspec.json.decode(parts),
            "in_comparisons": late[0] if revised else None if undecided else reward,
            "in_comparisons_by": (late[1] or version) if revised else version,
        },
    }


def _worked_out(answer: HeldAnswer, spec: Spec) -> dict[str, Any]:
    episode, reward = answer.episode, answer.reward(spec)
    counted = spec.within_horizons(episode)
    terms = spec.terms_in(episode.generation.segment)
    weights = {} if reward is None else {one.name: one.weight for one in reward.parts}
    return {
        "signals": [
            _signal(one, episode, spec, terms.parts + terms.costs) for one in episode.feedback
        ],
        "parts": [_term(term, episode, counted, weights) for term in terms.parts],
        "costs": [
            _term(term, episode, counted, {term.name: term.weight_in(episode)})
            | _over(term, episode)
            for term in terms.costs
        ],
        **_sum(reward, spec),
    }


def _sum(reward: Reward | None, spec: Spec) -> dict[str, Any]:
    low, high = spec.range or (0.0, 1.0)
    if reward is None:
        return {"mean": None, "taken_off": None, "raw": None, "range": [low, high], "reward": None}
    mean = weighted_mean(reward.parts) if reward.undecided is None else None
    off = taken_off(reward.costs)
    base = mean if reward.undecided is None else reward.undecided
    return {
        "mean": mean,
        UNDECIDED: reward.undecided,
        "taken_off": off,
        "raw": None if base is None else base - off,
        "range": [low, high],
        "reward": reward.value,
    }


def _signal(timed: Timed, episode: Episode, spec: Spec, terms: tuple[Term, ...]) -> dict[str, Any]:
    signal = timed.feedback.signal
    after, horizon = (
        timed.received_at - episode.received_at,
        spec.horizons.get(kind_of(signal), DAY),
    )
    return {
        "kind": kind_of(signal),
        "feedback_id": timed.feedback.feedback_id,
        "attributed": None
        if timed.attribution is None
        else msgspec.structs.asdict(timed.attribution),
        "after_seconds": after,
        "horizon_seconds": horizon,
        "counts": after <= horizon,
        "decides": after <= horizon and spec.decides(signal),
        "own_horizons": {
            term.name: after <= term.horizon for term in terms if term.horizon is not None
        },
        "said": {
            name: value
            for name, value in msgspec.to_builtins(signal).items()
            if name in TOLD or isinstance(value, int | float | bool)
        },
    }


def _over(term: Term, episode: Episode) -> dict[str, Any]:
    """Return over how many answers a cost is taken, and where among them this one stands."""
    spent = episode.chain
    if term.over is None or spent is None:
        return {"over": None}
    return {
        "over": {
            "rule": term.over.name,
            "discount": term.over.discount,
            "answers": int(spent.amounts.turns),
            "uncounted": spent.uncounted,
            "steps": spent.steps,
            "amounts": spent.amounts._asdict(),
        }
    }


def _term(
    term: Term, episode: Episode, counted: Episode, weights: dict[str, float]
) -> dict[str, Any]:
    return {
        "name": term.name,
        "of": term.of,
        "natural": term.natural(episode, counted),
        "value": term.ask(episode, counted),
        "clip": None if term.clip is None else list(term.clip),
        "scale": term.scale,
        "weight": term.weight,
        "weighs": weights.get(term.name, term.weight),
        "horizon_seconds": term.horizon,
    }
