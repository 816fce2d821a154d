"""A small ledger to join into: one policy, a spec with short horizons, a clock that is passed in."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.answers.answer_tallies import count_fates
from rlwd.streams.events.event import Feedback, FeedbackEvent, GenerationEvent, encode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.signals import Signal
from rlwd.streams.join.joiner import Ingested, Joiner
from rlwd.streams.log.ports import Partition, Record
from rlwd.streams.open import open_store
from rlwd.streams.state.store import Store

SPEC = Spec(
    name="test",
    parts={"accepted": 1.0, "edit_similarity": 1.0, "kept": 1.0},
    decision={"default": 100.0},
    horizons={"accepted": 100.0, "kept": 300.0},
)
GENERATIONS = Partition(topic="generations", index=0)
FEEDBACK = Partition(topic="feedback", index=0)


def generation(generation_id: str, at: float, **more: Any) -> bytes:
    """Write a trainable generation received at `at`."""
    known = {
        "session_id": "s",
        # Each a conversation of its own, unless a test says otherwise.
        "session_found": "chance",
        "version": "policy@v000000-00000000",
        "prompt_token_ids": (1, 2),
        "completion_token_ids": (3,),
        "logprobs": (-0.5,),
        "text": "abcd",
        "finish_reason": "stop",
    }
    return encode_event(
        GenerationEvent(
            id=generation_id,
            source="/gateway/test",
            specversion="1.0",
            time=datetime.fromtimestamp(at, UTC),
            receivedtime=datetime.fromtimestamp(at, UTC),
            data=Generation(generation_id=generation_id, **{**known, **more}),
        )
    )


def feedback(feedback_id: str, generation_id: str, signal: Signal, at: float, **more: Any) -> bytes:
    """Write feedback received at `at`."""
    return encode_event(
        FeedbackEvent(
            id=feedback_id,
            source="/feedback/test",
            specversion="1.0",
            time=datetime.fromtimestamp(more.pop("acted", at), UTC),
            receivedtime=datetime.fromtimestamp(at, UTC),
            data=Feedback(
                feedback_id=feedback_id,
                generation_id=generation_id,
                session_id="s",
                signal=signal,
                **more,
            ),
        )
    )


@dataclass
class Ledger:
    """A joiner on a real state database, fed by hand."""

    store: Store
    joiner: Joiner
    ends: dict[Partition, int] = field(default_factory=dict)

    def take(
        self, *values: bytes, partition: Partition = GENERATIONS, now: float = 0.0
    ) -> Ingested:
        """Ingest values as the next records of a partition."""
        start = self.ends.get(partition, 0)
        records = [
            Record(partition=partition, offset=start + i, key=b"s", value=value)
            for i, value in enumerate(values)
        ]
        with self.store.transaction() as tx:
            result = self.joiner.ingest(tx, records, now)
        self.joiner.committed()
        self.ends[partition] = start + len(values)
        return result

    def close(self, read_past: float) -> int:
        """Close horizons as if everything received before had been read."""
        with self.store.transaction() as tx:
            return self.joiner.close_horizons(tx, read_past, read_past=read_past)

    def fates(self) -> dict[str, int]:
        """Count fates."""
        with self.store.reading() as view:
            return count_fates(view, "policy")

    def ask(self, sql: str, *parameters: Any) -> Any:
        """Return the first row of a query."""
        with self.store.reading() as view:
            return view.execute(sql, parameters).fetchone()


def open_ledger(path: Path | str, spec: Spec = SPEC) -> Ledger:
    """Open a ledger; opening it again is what a restart would see, with another spec or the same."""
    store = open_store(path)
    joiner = Joiner("policy", Scorer(spec), spec.decision_seconds)
    ledger = Ledger(store, joiner)
    with store.transaction() as tx:
        ledger.ends = joiner.resume(tx, [GENERATIONS, FEEDBACK])
    return ledger
