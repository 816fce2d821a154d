"""Replay: recorded events through the whole of ingest, join and rewards, with a report.

The same code as live, on an embedded log in a temporary folder: what a replay counts is what the
daemon would have counted.
"""

import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from ...rewards.spec.scorer import Scorer
from ...rewards.spec.spec import reward_spec
from ...streams.answers import answer_tallies
from ...streams.events.event import FeedbackEvent, MalformedEvent, decode_event, encode_event
from ...streams.join import offsets
from ...streams.join.ingest import Ingest, read_to_end
from ...streams.join.joiner import Joiner
from ...streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from ...streams.log.ports import EventSink
from ...streams.open import open_store
from ...streams.readers.formats import EVENTS, MalformedRow, OnError, read_events, trace_format
from ...streams.readings.unread import ReadingScope
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..shown_json import shown_json

GENERATIONS, FEEDBACK = "rlwd.generations", "rlwd.feedback"
POLICY = "replay"
NAMED_ROWS = 20
"""Most rows that could not be read which a report names."""


def run_replay(
    file: Path, format: str, *, report: Path | None, spec: Path | None, state: Path | None
) -> None:
    """Replay a file and print, or write, the report.

    Rows that cannot be read are counted and named in the report, and the others are replayed. Raises
    ValueError for an unknown format, and where no row can be read.
    """
    with tempfile.TemporaryDirectory(prefix="rlwd-replay-") as scratch:
        folder = state if state is not None else Path(scratch)
        document = replay(file, format, folder, spec=str(spec) if spec else "")
    if report is None:
        print(shown_json(document))
    else:
        report.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def replay(file: Path, format: str, folder: Path, *, spec: str = "") -> dict[str, Any]:
    """Feed one recorded file through log, join and rewards in a folder; return the report.

    Replaying the same file again into the same folder changes no number but the duplicates.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.db"
    bad_rows: list[str] = []
    count = write_log(EmbeddedSink(log), file, format, lambda row: bad_rows.append(str(row)))
    readable = count - len(bad_rows) if format == EVENTS else count
    if readable == 0:
        why = f"; the first of {len(bad_rows)}: {bad_rows[0]}" if bad_rows else ": it holds no rows"
        raise ValueError(f"{file}: nothing here can be read as {format}{why}")
    loaded = reward_spec(spec)
    store = open_store(folder / "rlwd.db")
    joiner = Joiner(
        POLICY,
        Scorer(loaded),
        loaded.decision_seconds,
        # Whoever replays a recording vouches for it: the key stays where it was made.
        readings=ReadingScope(unproven=True),
    )
    ingest = Ingest(store, joiner, partial(EmbeddedSource, log, (GENERATIONS, FEEDBACK)))
    drain(ingest)
    ingest.source.close()
    document = describe_replay(store)
    store.close()
    return {**document, "unreadable": len(bad_rows), "unreadable_rows": bad_rows[:NAMED_ROWS]}


def write_log(sink: EventSink, file: Path, format: str, on_error: OnError | None = None) -> int:
    """Write a recorded file's events to a log as their products would have; return how many.

    A row that cannot be read is given to `on_error`, or raised.
    """
    count = 0
    for topic, key, value in trace_records(file, format, on_error):
        sink.send(topic, key, value)
        count += 1
        if count % 500 == 0:
            sink.flush(60.0)
    sink.flush(60.0)
    sink.close()
    return count


def trace_records(
    file: Path, format: str, on_error: OnError | None = None
) -> Iterator[tuple[str, str, bytes]]:
    """Yield topic, key and bytes of each record of a file; malformed events of ours are among them."""
    if format == EVENTS:
        for number, raw in read_events(file):
            try:
                topic, key = _route(raw)
            except MalformedEvent as problem:
                if on_error is not None:
                    on_error(MalformedRow(f"{file}:{number}: {problem}"))
                # It goes where it becomes a dead letter.
                topic, key = GENERATIONS, ""
            yield topic, key, raw
        return
    for event in trace_format(format)(file, on_error=on_error):
        feedback = isinstance(event, FeedbackEvent)
        yield FEEDBACK if feedback else GENERATIONS, event.data.session_id, encode_event(event)


def _route(raw: bytes) -> tuple[str, str]:
    """Return topic and key of a raw line; raises MalformedEvent where it is no event."""
    event = decode_event(raw)
    topic = FEEDBACK if isinstance(event, FeedbackEvent) else GENERATIONS
    return topic, event.data.session_id


def drain(ingest: Ingest) -> None:
    """Take in all there is, and then close every horizon: a recording has an end."""
    read_to_end(ingest)
    with ingest.store.transaction() as tx:
        while ingest.joiner.close_horizons(tx, 0.0, read_past=math.inf):
            pass


def describe_replay(store: Store, policy: str = POLICY) -> dict[str, Any]:
    """Return what the joined and scored episodes say."""
    with store.reading() as view:
        counts = offsets.record_counts(view, policy).values()
        parts = _parts(view, policy)
        return {
            "generations": sum(answer_tallies.count_fates(view, policy).values()),
            "accepted": sum(one.get("accepted") == 1.0 for one in parts),
            "rejected": sum(one.get("accepted") == 0.0 for one in parts),
            "kept": _kept(view, policy),
            "copied": _signals(view, policy, "copied"),
            "dead_letters": sum(one.dead_lettered for one in counts),
            "duplicates": sum(one.duplicate for one in counts),
            "fates": answer_tallies.count_fates(view, policy),
            "reward": _mean(view, policy),
        }


def _parts(view: Transaction, policy: str) -> list[dict[str, float | None]]:
    rows = view.execute(
        "SELECT parts FROM episodes WHERE policy = ? AND parts IS NOT NULL", (policy,)
    ).fetchall()
    return [{name: value for name, (value, _) in orjson.loads(row[0]).items()} for row in rows]


def _signals(view: Transaction, policy: str, kind: str) -> int:
    row = view.execute(
        "SELECT COUNT(*) FROM feedback WHERE policy = ? AND kind = ? AND dead = 0"
        " AND spread_of IS NULL",
        (policy, kind),
    ).fetchone()
    return int(row[0])


def _kept(view: Transaction, policy: str) -> dict[str, float]:
    rows = view.execute(
        "SELECT payload FROM feedback WHERE policy = ? AND kind = 'kept' AND dead = 0", (policy,)
    ).fetchall()
    at: dict[float, list[float]] = defaultdict(list)
    for (payload,) in rows:
        signal = orjson.loads(payload)["signal"]
        at[signal["horizon_seconds"]].append(signal["fraction"])
    return {f"{horizon:g}": math.fsum(at[horizon]) / len(at[horizon]) for horizon in sorted(at)}


def _mean(view: Transaction, policy: str) -> dict[str, float | int | None]:
    # Summed here: what a database's AVG says depends on the order in which it finds the rows, and two
    # versions' reports are compared byte by byte.
    rewards = [
        row[0]
        for row in view.execute(
            "SELECT reward FROM episodes WHERE policy = ? AND reward IS NOT NULL", (policy,)
        ).fetchall()
    ]
    mean = math.fsum(rewards) / len(rewards) if rewards else None
    return {"episodes": len(rewards), "mean": mean}
