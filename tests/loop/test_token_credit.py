"""Credit per token, from what people wrote to what the learner was given."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from ledger_by_hand import feedback, generation
from lone_daemon import BATCH, Workshop

from rlwd.learner.sealed import SealedBatch
from rlwd.learner.spelt_tokens import load_spelt_tokens
from rlwd.streams.events.signals import Edited, Rejected
from rlwd.streams.log.embedded_log import EmbeddedSink

ANSWER, LEFT = "keep this drop that", "keep this"


@pytest.fixture
def workshop(tmp_path: Path, tiny_policy: Path) -> Iterator[Workshop]:
    """A state folder whose daemon learns the tiny policy."""
    workshop = Workshop(tmp_path, tiny_policy, passes=1, poll_seconds=0.05)
    yield workshop
    workshop.close()


def test_an_edit_reaches_the_update_token_by_token(workshop: Workshop) -> None:
    """A daemon seals each edited answer with a credit for its tokens, and its learner uses it."""
    tokens = load_spelt_tokens(workshop.model)
    assert tokens is not None
    letters = {tokens.spell([number])[0]: number for number in range(256)}  # type: ignore[index]
    ids = tuple(letters[bytes([byte])] for byte in ANSWER.encode())
    with workshop.daemon("one"):
        workshop.until(lambda: bool(workshop.ask("SELECT version FROM champions")))
        ((version,),) = workshop.ask("SELECT version FROM champions")
        sink, now = EmbeddedSink(workshop.config.log_path), time.time()
        for number in range(BATCH):
            name, edited = f"e{number}.g", number % 2
            answer = {"completion_token_ids": ids, "logprobs": (-5.5607,) * len(ids)}
            record = generation(name, now, version=version, text=ANSWER, **answer)
            said = Edited(final_text=LEFT) if edited else Rejected()
            sink.send(workshop.config.stream.generations, name, record)
            sink.send(
                workshop.config.stream.feedback, name, feedback(f"f{number}", name, said, now)
            )
        sink.flush(10.0)
        sink.close()
        workshop.until(lambda: bool(workshop.manifests))
        ((content,),) = workshop.ask("SELECT content FROM batches")
    batch = msgspec.json.decode(content, type=SealedBatch)
    assert len(batch.episodes) == BATCH
    for one in batch.episodes:
        if one.reward == 0.0:
            assert one.credit == ()
            continue
        stood, gone = one.credit[: len(LEFT)], one.credit[len(LEFT) + 1 :]
        assert min(stood) > 0 > max(gone)
    assert workshop.manifests[0].metrics["credit/by_token"] == pytest.approx(0.5)
