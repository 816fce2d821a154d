"""The daemon's tables, filled through the real join."""

from pathlib import Path
from typing import Any

from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback, generation

from rlwd.learner.ledger import checkpoints_table, seal
from rlwd.ops.rollout import candidates_table
from rlwd.rewards.behaviours.behaviour import Measuring
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.events.signals import Accepted, Rejected
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.open import open_store
from rlwd.streams.state import lease


def open_daemon_ledger(
    path: Path | str, spec: Spec = SPEC, *, measure: Measuring | None = None
) -> Ledger:
    """Open a ledger with every folder's tables, as `rlwd run` does."""
    daemon = (*checkpoints_table.MIGRATIONS, *lease.MIGRATIONS, *seal.MIGRATIONS)
    store = open_store(path, {"daemon": daemon, "ops": candidates_table.MIGRATIONS})
    joiner = Joiner("policy", Scorer(spec), spec.decision_seconds, measure=measure)
    return Ledger(store, joiner)


def decide(ledger: Ledger, name: str, at: float, *, taken: bool = True, **more: object) -> None:
    """Let one answer be served and accepted, or turned down, half a second later."""
    ledger.take(generation(name, at, **more))
    signal = Accepted() if taken else Rejected()
    ledger.take(feedback(f"{name}.f", name, signal, at + 0.5), partition=FEEDBACK)


def fill(
    ledger: Ledger, count: int, *, prefix: str = "s.g", at: float = 1000.0, **more: Any
) -> list[str]:
    """Make so many ready episodes, every other one accepted; return their ids."""
    names = [f"{prefix}{number:03d}" for number in range(count)]
    ledger.take(*(generation(name, at + i, **more) for i, name in enumerate(names)))
    ledger.take(
        *(
            feedback(f"{name}.f", name, Rejected() if i % 2 else Accepted(), at + i + 0.5)
            for i, name in enumerate(names)
        ),
        partition=FEEDBACK,
    )
    return names


__all__ = ["FEEDBACK", "GENERATIONS", "decide", "fill", "open_daemon_ledger"]
