"""Answer numbers: the numbers that every answer carries, by the names that metrics know them by."""

import math
from collections.abc import Callable, Iterable

import msgspec
import numpy as np

from ...rewards.behaviours.behaviour import BEHAVIOURS
from ...streams.answers.answer_rows import AnswerRow
from ..statistics.metric import MetricSettings


def as_number(value: float | None) -> float:
    """Return a number as an array holds it: nan where there is none."""
    return np.nan if value is None else value


def kept_of(parts: bytes | None) -> float | None:
    """Return what of an answer was kept, by its reward's parts: at the longest horizon that has a value.

    Parts named `kept` (the longest horizon measured) and `kept@SECONDS` are; one under a name of the
    spec's own is not known as such.

    >>> kept_of(b'{"kept@300": [1.0, 0.5], "kept@3600": [0.5, 1.0], "kept@43200": [null, 1.0]}')
    0.5
    """
    if not parts or b'"kept' not in bytes(parts):
        return None
    found = dict[float, float]()
    for name, told in msgspec.json.decode(parts).items():
        horizon = _kept_horizon(name)
        if horizon is not None and told[0] is not None:
            found[horizon] = float(told[0])
    return found[max(found)] if found else None


def _kept_horizon(part: str) -> float | None:
    """Return the seconds after which a part measures what was kept; None of a part that does not."""
    of, at, seconds = part.partition("@")
    if of != "kept":
        return None
    try:
        return float(seconds) if at else math.inf
    except ValueError:  # A name of the spec's own.
        return None


def _behaviour(name: str) -> Callable[[AnswerRow], float | None]:
    """Return what reads a behaviour off a row."""

    def read(row: AnswerRow) -> float | None:
        found: dict[str, float] = msgspec.json.decode(row.behaviours) if row.behaviours else {}
        return found.get(name)

    return read


NUMBERS: dict[str, Callable[[AnswerRow], float | None]] = {
    "reward": lambda row: row.reward,
    "kept": lambda row: kept_of(row.parts),
    "failed": lambda row: row.failed,
    "cut_off": lambda row: row.empty or row.cut,
    "latency": lambda row: row.latency,
    "tokens": lambda row: row.tokens,
    "prompt_tokens": lambda row: row.prompt_tokens,
    "cached_tokens": lambda row: row.cached_tokens,
    "tool_calls": lambda row: row.tool_calls,
    "first_turn": lambda row: row.first_turn,
    **{name: _behaviour(name) for name in BEHAVIOURS},
}
"""The numbers that every answer carries, by the names that metrics know them by."""


def numbers_of(metrics: Iterable[MetricSettings]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the numbers that metrics need, and those of the product's own.

    Raises ValueError for one that no answer carries, or that is rlwd's and said to be the product's.
    """
    needed, own = {"reward"}, set[str]()
    for metric in metrics:
        asked, where = metric.definition, f"rollout.metric {metric.name}"
        for name in filter(None, (asked.value, asked.over)):
            if metric.own and name in NUMBERS:
                raise ValueError(f"{where}: own is true, and {name} is a number of rlwd's")
            if not metric.own and name not in NUMBERS and name != "decided":
                raise ValueError(
                    f"{where}: no answer carries {name}; there are {', '.join(NUMBERS)}, and with"
                    " own = true the numbers that your product gives its answers"
                )
            (own if metric.own else needed).add(name)
    return tuple(sorted(needed - {"decided"})), tuple(sorted(own))
