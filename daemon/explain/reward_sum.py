"""Reward sum: how one answer's reward comes about, in one line."""

from collections.abc import Mapping
from typing import Any


def reward_sum(story: Mapping[str, Any]) -> str:
    """Return how parts and costs come to the reward, or why there is none; `explain_reward` told the story."""
    if story["reward"] is None:
        left = story["decision_seconds"] - story["read_seconds"]
        if left > 0:
            return (
                f"no reward: nothing decisive came yet; its decision is over in {length_of(left)}"
            )
        return "no reward: nothing decisive came, and the spec has no value for that here"
    valued = story["undecided"] is not None
    base = f"undecided {story['undecided']:.3f}" if valued else f"mean {story['mean']:.3f}"
    low, high = story["range"]
    mapped = "" if (low, high) == (0.0, 1.0) else f", on [{low:g}, {high:g}]"
    return f"{base} - costs {story['taken_off']:.3f} = {story['raw']:.3f}{mapped}: reward {story['reward']:.3f}"


def length_of(seconds: float) -> str:
    """Return a length of time.

    >>> length_of(42.0), length_of(7200.0)
    ('42.0 s', '2.0 h')
    """
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
