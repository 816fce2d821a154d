"""Chaos proof: what must be true of the ledger however often anything was killed."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.config import Config
from rlwd.daemon.demo.crowd import CrowdResults
from rlwd.daemon.store import state_store
from rlwd.daemon.wire import joiner
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.join import episodes_table
from rlwd.streams.join.ingest import Ingest, read_to_end
from rlwd.streams.log.kafka_source import KafkaSource
from rlwd.streams.open import open_store
from rlwd.streams.state.store import Store
from rlwd.streams.state.transaction import Transaction

Rewards = dict[str, float | None]
CHUNK = 500


def missing_from_ledger(view: Transaction, policy: str, tally: CrowdResults) -> list[str]:
    """Return what people got or were promised, and the ledger does not have."""
    generations = {
        row[0]
        for row in view.execute(
            "SELECT generation_id FROM episodes WHERE policy = ? AND received IS NOT NULL",
            (policy,),
        ).fetchall()
    }
    feedback = {
        row[0]
        for row in view.execute(
            "SELECT feedback_id FROM feedback WHERE policy = ?", (policy,)
        ).fetchall()
    }
    problems = [
        f"answer {name} is not in the ledger" for name in tally.answered if name not in generations
    ]
    problems += [
        f"feedback {name} is not in the ledger"
        for name in tally.acknowledged
        if name not in feedback
    ]
    return problems


def rewards_now(store: Store, config: Config) -> Rewards:
    """Return every generation's reward by all that is known of it, sealed or not."""
    score = Scorer(reward_spec(config.reward_spec))
    with store.reading() as view:
        ids = [
            row[0]
            for row in view.execute(
                "SELECT generation_id FROM episodes WHERE policy = ? AND content IS NOT NULL",
                (config.policy,),
            ).fetchall()
        ]
        found: Rewards = {}
        for start in range(0, len(ids), CHUNK):
            for episode in episodes_table.load_episodes(
                view, config.policy, ids[start : start + CHUNK]
            ):
                scored = score(episode)
                found[episode.id] = None if scored is None else round(scored.value, 12)
    return found


def replayed_rewards(config: Config) -> Rewards:
    """Read both topics again from their beginning into a fresh state; return its rewards."""
    with TemporaryDirectory(prefix="rlwd-chaos-") as folder:
        store = open_store(Path(folder) / "rlwd.db")
        # A group and a member of its own: the live one's offsets decide nothing here either.
        kafka = msgspec.structs.replace(
            config.stream.kafka, group_id="rlwd-chaos-proof", group_instance_id=""
        )
        topics = (config.stream.generations, config.stream.feedback)
        ingest = Ingest(store, joiner(config), partial(KafkaSource, kafka, topics))
        read_to_end(ingest)
        ingest.source.close()
        found = rewards_now(store, config)
        store.close()
    return found


def prove(config: Config, tally: CrowdResults, kills: Mapping[str, int]) -> dict[str, Any]:
    """Return what was done and what is wrong; `problems` is empty where all of it holds."""
    store = state_store(config)
    manifests = read_manifests(config.state_path / "checkpoints")
    with store.reading() as view:
        found = audit(view, config.policy, manifests, [Path(config.gateway.spool)])
        problems = list(found.problems)
        problems += missing_from_ledger(view, config.policy, tally)
    problems += _compare(config, store)
    document = {
        "kills": dict(kills),
        "answers": len(tally.answered),
        "feedback": len(tally.acknowledged),
        "requests_failed": tally.failed,
        "checkpoints": len(manifests),
        "lost_at_gateway": found.lost_at_gateway,
        "audit": found.as_document()["records"],
        "problems": problems,
    }
    store.close()
    return document


def _compare(config: Config, store: Store) -> list[str]:
    live = rewards_now(store, config)
    again = replayed_rewards(config)
    different = sorted(
        name for name in live.keys() | again.keys() if live.get(name) != again.get(name)
    )
    return [f"{name}: live {live.get(name)}, replayed {again.get(name)}" for name in different[:20]]
