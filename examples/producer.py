"""A product with a serving stack of its own: writes both topics itself, with no gateway between.

    python producer.py kafka HOST:9092
    python producer.py embedded state/log.db

The embedded log is for one machine, and its writer is rlwd's own; on Kafka any client does.
"""

import hmac
import json
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

Send = Callable[[str, str, bytes], None]
USER_KEY = b"a key of your own, kept as long as the data"


def event(kind: str, source: str, name: str, data: dict[str, object]) -> bytes:
    """Return a CloudEvent: who wrote it, under which name, when it happened and when it came."""
    now = datetime.now(UTC).isoformat()
    envelope = {"specversion": "1.0", "type": kind, "source": source, "id": name}
    return json.dumps({**envelope, "time": now, "receivedtime": now, "data": data}).encode()


def answered(send: Send, person: str, session: str) -> str:
    """Write one answer with what the engine said of its tokens; return the generation's id."""
    generation_id = f"{session}.{uuid.uuid4().hex[:24]}"
    user_hash = hmac.digest(USER_KEY, person.encode(), "sha256")[:16].hex()
    generation = {
        "generation_id": generation_id,
        "session_id": session,
        "user_hash": user_hash,
        "consent": True,
        "segment": "reply",
        "policy": "policy",
        "version": "policy@v000000-00000000",  # the adapter that answered, as the engine names it
        "prompt_token_ids": [11, 42, 7],
        "completion_token_ids": [5, 9, 2],
        "logprobs": [-0.3, -1.2, -0.01],  # of each completion token, after the temperature
        "text": "Of course.",
        "sampling": {"temperature": 1.0},
        "finish_reason": "stop",
    }
    record = event("rlwd.generation.v1", "/my-product", generation_id, generation)
    send("rlwd.generations", session, record)
    return generation_id


def acted(send: Send, session: str, generation_id: str, signal: dict[str, object]) -> None:
    """Write what the person did; the same source and id again is known as a repetition."""
    feedback_id = f"{generation_id}:{signal['kind']}"
    data = {"feedback_id": feedback_id, "generation_id": generation_id, "session_id": session}
    record = event("rlwd.feedback.v1", "/my-product", feedback_id, {**data, "signal": signal})
    send("rlwd.feedback", session, record)


def main(kind: str, place: str) -> None:
    """Write one answer and one acceptance; all of it is durable when this returns."""
    if kind == "kafka":
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=place, acks="all", enable_idempotence=True)

        def send(topic: str, key: str, value: bytes) -> None:
            producer.send(topic, key=key.encode(), value=value)

        flush = producer.flush
    else:
        from pathlib import Path

        from rlwd.streams.log.embedded_log import EmbeddedSink

        sink = EmbeddedSink(Path(place))
        send, flush = sink.send, lambda: sink.flush(10.0)
    generation_id = answered(send, "ada@example.com", "ticket-4715")
    acted(send, "ticket-4715", generation_id, {"kind": "accepted"})
    flush()
    print(generation_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
