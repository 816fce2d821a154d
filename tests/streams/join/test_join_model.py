"""The join against a simple model: any order, repeats and crashes give the same ledger.

The model knows nothing of tables: it takes the set of distinct events, and says what each
generation must be worth and where it must end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_by_hand import (
    FEEDBACK,
    GENERATIONS,
    Ledger,
    feedback,
    generation,
    open_ledger,
)
from places_by_hand import Place, new_schema

from rlwd.streams.events.signals import Accepted, Edited, Kept, Rejected, Signal, Undone
from rlwd.streams.log.ports import Record

HORIZON, KEPT_HORIZON = 100.0, 300.0
TEXT = "abcd"

DECISIVE: list[Signal] = [
    *(Accepted(), Rejected(), Undone()),
    *(Edited(final_text="abcx"), Edited(final_text=TEXT)),
]
signals = st.sampled_from(DECISIVE) | st.builds(
    Kept, fraction=st.sampled_from([0.0, 0.5, 1.0]), horizon_seconds=st.just(15.0)
)


@dataclass(frozen=True)
class Act:
    """One feedback of the model."""

    name: str
    about: int
    signal: Signal
    at: float


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[Act]]:
    """Some generations that came, and acts on those and on one that never comes."""
    came = sorted(draw(st.sets(st.integers(0, 3))))
    count = draw(st.integers(0, 8))
    # Distinct times: which of two acts at one instant counts is nobody's promise.
    times = draw(st.lists(st.integers(1, 400), min_size=count, max_size=count, unique=True))
    acts = [
        Act(name=f"f{i}", about=draw(st.integers(0, 4)), signal=draw(signals), at=float(at))
        for i, at in enumerate(times)
    ]
    return came, acts


def expected(came: Sequence[int], acts: Sequence[Act]) -> dict[int, tuple[str, float | None]]:
    """What the ledger must say: fate and reward of every generation that came."""
    result: dict[int, tuple[str, float | None]] = {}
    for number in came:
        own = sorted((a for a in acts if a.about == number), key=lambda a: a.at)
        # The test's spec: kept counts for 300 s, accepted for 100 s, the others for a day.
        own = [
            a
            for a in own
            if a.at <= {Kept: KEPT_HORIZON, Accepted: HORIZON}.get(type(a.signal), math.inf)
        ]
        decisions = [a.signal for a in own if isinstance(a.signal, Accepted | Rejected | Undone)]
        edits = [a.signal for a in own if isinstance(a.signal, Edited)]
        kept = [a.signal for a in own if isinstance(a.signal, Kept)]
        parts = []
        if decisions:
            parts.append(float(isinstance(decisions[-1], Accepted)))
        if edits:
            parts.append(1.0 if edits[-1].final_text == TEXT else 0.75)
        if not parts:
            result[number] = ("censored:no_decision", None)
            continue
        if kept:
            parts.append(kept[-1].fraction)
        result[number] = ("waiting", sum(parts) / len(parts))
    return result


def read_back(ledger: Ledger) -> dict[int, tuple[str, float | None]]:
    """What the ledger says."""
    with ledger.store.reading() as view:
        rows = view.execute(
            "SELECT generation_id, fate, reward FROM episodes WHERE received IS NOT NULL"
        ).fetchall()
    return {int(name[1:]): (fate, reward) for name, fate, reward in rows}


class Crash(BaseException):
    """A kill between ingest and commit."""


@settings(max_examples=120, deadline=None)
@given(history=histories(), data=st.data())
def test_order_repeats_and_crashes_do_not_matter(
    history: tuple[list[int], list[Act]], data: st.DataObject
) -> None:
    """Whatever the delivery, the ledger equals the model, and the records add up."""
    with TemporaryDirectory() as folder:
        check(Path(folder) / "rlwd.db", history, data)


@settings(max_examples=30, deadline=None)
@given(history=histories(), data=st.data())
def test_nor_do_they_on_a_server(
    postgres_url: str, history: tuple[list[int], list[Act]], data: st.DataObject
) -> None:
    """The same on PostgreSQL."""
    check(new_schema(postgres_url), history, data)


def check(place: Place, history: tuple[list[int], list[Act]], data: st.DataObject) -> None:
    came, acts = history
    records = [(GENERATIONS, generation(f"g{n}", 0.0, text=TEXT)) for n in came]
    records += [(FEEDBACK, feedback(a.name, f"g{a.about}", a.signal, a.at)) for a in acts]
    delivery = data.draw(st.permutations(records))
    repeats = data.draw(st.lists(st.sampled_from(records), max_size=4)) if records else []
    delivery = [*delivery, *repeats]
    ledger = open_ledger(place)
    try:
        delivered = 0
        for partition, value in delivery:
            if data.draw(st.booleans(), label="crash before commit"):
                _crash(ledger, partition, value)
                ledger.store.close()
                ledger = open_ledger(place)
            delivered += ledger.take(value, partition=partition).counts.delivered
        ledger.close(read_past=math.inf)
        assert read_back(ledger) == {
            n: (fate, value if value is None else pytest.approx(value))
            for n, (fate, value) in expected(came, acts).items()
        }
        counted = ledger.ask("SELECT SUM(accepted + duplicate + dead_lettered) FROM offsets")[0]
        assert (counted or 0) == delivered == len(delivery)
    finally:
        ledger.store.close()


def _crash(ledger: Ledger, partition: object, value: bytes) -> None:
    start = ledger.ends.get(partition, 0)  # type: ignore[call-overload]
    record = Record(partition=partition, offset=start, key=b"s", value=value)  # type: ignore[arg-type]
    try:
        with ledger.store.transaction() as tx:
            ledger.joiner.ingest(tx, [record], 0.0)
            raise Crash
    except Crash:
        pass
