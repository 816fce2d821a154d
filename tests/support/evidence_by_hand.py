"""Evidence of answers, from what matters to a test."""

from typing import Any

from rlwd.rewards.spec.verification import FULL
from rlwd.rewards.trust.evidence import Evidence


def evidence(number: int = 0, **more: Any) -> Evidence:
    """Write one answer to a user of its own, about a prompt of its own, decided on an hour from others."""
    known: dict[str, Any] = {
        "user": ("t", f"user-{number}"),
        "tenant": "t",
        "segment": "mail",
        "reward": float(number % 2),
        "verification": FULL,
        "answered_at": 3600.0 * number,
        "acted_at": 3600.0 * number + 30.0,
        "latency": 1.0,
        "prompt": tuple(1000 * number + i for i in range(20)),
        "completion": tuple(range(100)),
        "said": (),
        "asked": None,
    }
    return Evidence(**{**known, **more})
