"""Remade: a batch that was damaged or forgotten is sealed again to the same hash, or there is none."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon_by_hand import FEEDBACK, decide
from laned_ledger import by_number, ledger_with, sealed
from ledger_by_hand import feedback, generation
from manifests_by_hand import manifest

from rlwd.learner.candidate import Manifest
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.ledger.lane_choice import LaneRules
from rlwd.learner.ledger.remade import Remaking, held_episodes, kept_batch, remade_batch
from rlwd.learner.ledger.token_credits import whole_answer
from rlwd.learner.sealed import SealedBatch, batch_hash
from rlwd.streams.events.signals import Edited

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
    wanted = manifest_of(batch)
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
        again = remade_batch(tx, "policy", wanted, REMAKING, partial(held_episodes, tx, "policy"))
    assert again == batch


@pytest.mark.parametrize("replaces", [None, "first"])
def test_an_edit_that_was_read_after_the_sealing_is_not_in_the_batch(
    tmp_path: Path, replaces: str | None
) -> None:
    """Though it was received before, as of a daemon that lagged, or takes the place of the one that was sealed."""
    lanes = LaneRules(
        settings=LaneSettings(),
        own_words=lambda tenant: True,
        spell=lambda ids: [bytes([one]) for one in ids],
    )
    ledger, ids = ledger_with(tmp_path, lanes), tuple(b"bad")
    shown = {"text": "bad", "completion_token_ids": ids, "logprobs": (-1.0,) * len(ids)}
    ledger.take(generation("g", 1000.0, version="policy@v000030-00000000", **shown))
    for name, text, then in (("first", "good", None), ("second", "better", replaces)):
        said = feedback(name, "g", Edited(final_text=text), 1001.0, replaces=then)
        if name == "second":
            batch = sealed(ledger, lanes)
        ledger.take(said, partition=FEEDBACK)
    assert batch is not None
    assert batch.episodes[0].correction is not None
    assert batch.episodes[0].correction.text == "good"
    remaking = replace(REMAKING, lanes=lanes)
    with ledger.store.transaction() as tx:
        held = partial(held_episodes, tx, "policy")
        assert remade_batch(tx, "policy", manifest_of(batch), remaking, held) == batch


def manifest_of(batch: SealedBatch) -> Manifest:
    return manifest(
        1,
        0,
        batch_hash=batch_hash(batch),
        spec_version=batch.spec_version,
        episode_ids=tuple(one.generation_id for one in batch.episodes),
        held_out_ids=tuple(one.generation_id for one in batch.held_out),
        offsets=batch.offsets,
    )
