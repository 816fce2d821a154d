"""Versions, and how far their release has come, without a learner or an engine."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import msgspec
import numpy as np
from safetensors.numpy import save_file

from rlwd.learner.candidate import Candidate, Probe, version_name
from rlwd.learner.digests import adapter_digest
from rlwd.ops.engine.fleet import FleetAnswers
from rlwd.ops.rollout import rollouts_table, transitions
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.stages.record import Move, Stage
from rlwd.ops.statistics.verdict import Verdict, VerdictKind
from rlwd.streams.state.store import Store


def version(number: int, folder: Path, *, bits: int | None = None) -> Candidate:
    """Write a sound adapter and return its version; with another's `bits` it has its weights."""
    scratch = folder / f".adapter-{number}"
    scratch.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": 1}
    (scratch / "adapter_config.json").write_text(json.dumps(config))
    fill = np.float32(number if bits is None else bits)
    weights = {
        f"layer.{half}.weight": np.full(shape, fill, np.float32)
        for half, shape in (("lora_A", (1, 2)), ("lora_B", (2, 1)))
    }
    save_file(weights, scratch / "adapter_model.safetensors")
    digest = adapter_digest(scratch)
    name = version_name("policy", number, digest)
    return Candidate(
        version=name,
        sequence=number,
        digest=digest,
        path=scratch.rename(folder / name),
        probe=Probe(token_ids=(1, 2), logprobs=(-1.0,)),
        held_out=None,
        metrics={},
    )


def at_once(asked: Callable[[], FleetAnswers]) -> "Future[FleetAnswers]":
    """Ask the engines before returning, so that a test sees what came of it."""
    future: Future[FleetAnswers] = Future()
    future.set_result(asked())
    return future


def spoil(adapter: Path) -> None:
    """Change one bit of an adapter's weights on disk."""
    weights = adapter / "adapter_model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)


def register(store: Store, controller: RolloutController, candidate: Candidate) -> None:
    """Write a version down as durable."""
    with store.transaction() as tx:
        controller.register(tx, candidate, 1.0)


def let_out(store: Store, controller: RolloutController, candidate: Candidate) -> None:
    """Bring a version to its first users."""
    register(store, controller, candidate)
    with store.transaction() as tx:
        controller.offer(tx, candidate, None, 1.0)
        controller.offer(tx, candidate, Verdict(outcome=VerdictKind.PASS), 1.0)
        controller.observe(tx, None, 1.0)


def promote(store: Store, controller: RolloutController, candidate: Candidate) -> None:
    """Make a version the champion, its rollout settled, without people to judge it."""
    let_out(store, controller, candidate)
    with store.transaction() as tx:
        before = rollouts_table.current(tx, controller.policy)
        assert before is not None
        for stage in (Stage.PROMOTED, Stage.SETTLED):
            move = Move(stage=stage, step=0, at=2.0, reason="people liked it")
            after = msgspec.structs.replace(before, stage=stage, trail=(*before.trail, move))
            before = transitions.save_move(tx, controller.policy, before, after, 2.0)
