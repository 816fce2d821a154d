"""Answer page: one generation's story and how its reward comes about, without what anybody wrote."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ...ops.rollout import rollouts_table
from ...rewards.spec.spec import Spec
from ...streams.state.transaction import Transaction
from ..charts.words import duration, fate_words
from ..explain.explain import answer_story
from ..explain.explain_reward import TOLD, explain_reward
from ..explain.reward_sum import reward_sum
from ..http.query import NotHere
from ..lists.answer_list import KINDS

NEIGHBOURS = 50
"""Turns of its session that are shown at most, on either side; the command prints all."""


def read_answer(view: Transaction, policy: str, generation_id: str, spec: Spec) -> dict[str, Any]:
    """Return the page's content: what `rlwd explain` and `rlwd rewards explain` say, read by keys alone.

    Texts that people or models wrote are left out; their lengths stand in their place. Raises NotHere.
    """
    story = answer_story(view, policy, generation_id)
    if story is None:
        raise NotHere(
            f"{generation_id}: no such generation, and no feedback on it."
            " Feedback on a session or a reference is told by rlwd explain."
        )
    came = story["served"]["at"] is not None
    worth = explain_reward(view, policy, generation_id, spec) if came else None
    trained = story["trained_version"]
    versions = {story["served"]["version"], trained} - {None, ""}
    turns = story["session"]["turns"]
    here = turns.index(generation_id) if generation_id in turns else 0
    return {
        "story": story,
        "worth": worth,
        "served_at": datetime.fromisoformat(story["served"]["at"]).timestamp() if came else None,
        "fate": fate_words(story["fate"]),
        "signals": [_signal(one, worth) for one in story["feedback"]],
        "parts": list(_parts(worth)) if worth and worth["held"] else [],
        "costs": worth["costs"] if worth and worth["held"] else [],
        "sum": _sum(worth),
        "turns": turns[max(0, here - NEIGHBOURS) : here + NEIGHBOURS],
        "turn_count": len(turns),
        # A version that never had a rollout has no page to lead to.
        "let_out": {one for one in versions if rollouts_table.find(view, policy, one) is not None},
    }


def without_texts(signal: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a signal says, each value in words: numbers and names whole, of texts the length alone.

    >>> list(without_texts({"kind": "edited", "final_text": "no", "share": 0.5}))
    ['final text: 2 letters', 'share: 0.5']
    """
    for name, value in signal.items():
        if name in ("kind", "type") or value is None or value in ("", [], {}):
            continue
        words = name.replace("_", " ")
        if name in TOLD or isinstance(value, bool):
            yield f"{words}: {str(value).lower() if isinstance(value, bool) else value}"
        elif isinstance(value, int | float):
            yield f"{words}: {value:g}"
        else:
            many = "letters" if isinstance(value, str) else "values"
            yield f"{words}: {len(value):,} {many}"


def _signal(one: Mapping[str, Any], worth: Mapping[str, Any] | None) -> dict[str, Any]:
    told = one["signal"]
    known = (worth or {}).get("signals", ())
    counted = next((each for each in known if each["feedback_id"] == one["feedback_id"]), None)
    return {
        **one,
        "kind": (kind := told.get("kind") or told.get("type") or ""),
        "known": kind in KINDS,
        "said": "; ".join(without_texts(told)),
        "counts": _counts(one, counted),
        "after": None if counted is None else duration(counted["after_seconds"]),
        "of": (one["attributed"] or {}).get("about", {}).get("answer", ""),
    }


def _counts(one: Mapping[str, Any], counted: Mapping[str, Any] | None) -> str:
    if one["dead_lettered"]:
        return "no, it was refused"
    if counted is None:
        return "not known"
    return "decides" if counted["decides"] else "yes" if counted["counts"] else "no, too late"


def _parts(worth: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts with what each brings to the mean."""
    known = [one for one in worth["parts"] if one["value"] is not None]
    total = sum(one["weighs"] for one in known)
    valued = worth.get("undecided") is not None
    for one in worth["parts"]:
        brings = one["value"] is not None and total and not valued
        yield {**one, "brings": one["value"] * one["weighs"] / total if brings else None}


def _sum(worth: Mapping[str, Any] | None) -> str:
    """Return how parts and costs come to the reward, or why nobody can say."""
    if worth is None:
        return "Its generation has not come: only feedback on it did."
    if not worth["held"]:
        return (
            "Its content was forgotten, or never kept (retention, an erasure or consent):"
            " what it is worth cannot be worked out again."
        )
    return reward_sum(worth)
