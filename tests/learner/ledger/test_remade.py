"""Remade: a batch that was damaged or forgotten is sealed again to the same hash, or there is none."""

from pathlib import Path
from typing import Any

import msgspec
from daemon_by_hand import decide
from laned_ledger import by_number, ledger_with, sealed
from manifests_by_hand import manifest

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.ledger.lane_choice import LaneRules
from rlwd.learner.ledger.remade import Remaking, held_episodes, kept_batch, remade_batch
from rlwd.learner.ledger.token_credits import whole_answer
from rlwd.learner.sealed import batch_hash

KTO = LaneRules(settings=LaneSettings(dpo=0.0))
REMAKING = Remaking(age=lambda head: by_number, credit=whole_answer, lanes=KTO)


def test_a_damaged_batch_with_held_out_people_is_sealed_again(tmp_path: Path) -> None:
    """Whatever its bytes have become it is no error, and from the rows comes the same batch: who was held out
    by user, with his other answers, has the same number."""
    ledger, version = ledger_with(tmp_path, KTO), "policy@v000030-00000000"
    for number in range(64):
        sampling: dict[str, Any] = {"temperature": float(number // 16 == 3)}
        more: dict[str, Any] = {"sampling": sampling, "user_hash": f"u{number % 16}"}
        decide(ledger, f"g{number}", 1000.0 + number, version=version, **more)
    batch = sealed(ledger, KTO, count=64, held_out=0.5)
    assert batch is not None
    assert {bool(one.person) for one in batch.held_out} == {True, False}
    wanted = manifest(
        1,
        0,
        batch_hash=batch_hash(batch),
        spec_version=batch.spec_version,
        episode_ids=tuple(one.generation_id for one in batch.episodes),
        held_out_ids=tuple(one.generation_id for one in batch.held_out),
        offsets=batch.offsets,
    )
    raw = msgspec.json.encode(batch)
    with ledger.store.transaction() as tx:
        for content in (
            raw[:-9],
            raw.replace(b':"policy"', b':"polic\xff"', 1),
            raw[:9] + raw[10:],
        ):
            assert kept_batch(tx, "policy", wanted) == batch
            tx.execute("UPDATE batches SET content = ?", (content,))
            assert kept_batch(tx, "policy", wanted) is None
            tx.execute("UPDATE batches SET content = ?", (raw,))
        again = remade_batch(
            tx, "policy", wanted, REMAKING, lambda ids: held_episodes(tx, "policy", ids)
        )
    assert again == batch
