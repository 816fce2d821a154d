"""Mutated records: whatever comes, nothing is raised and every record is accounted for."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from fuzz import FEEDBACK, GENERATIONS, LARGE_EVERY, fuzz, records
from mutation import LARGE_BYTES, Records, signal

from rlwd.streams.events.event import MalformedEvent, decode_event
from rlwd.streams.events.signals import SIGNALS


def test_all_that_comes_is_accounted_for(tmp_path: Path) -> None:
    """20,000 records, 10 MB ones among them: delivered = accepted + duplicate + dead-lettered."""
    found = fuzz(tmp_path, 20_000, seed=1)
    assert found.problems == ()
    assert found.closes
    assert found.delivered == 20_000
    # It is no test if all of it were junk, or none.
    assert min(found.accepted, found.dead_lettered) > 5_000
    assert min(found.duplicate, found.scored) > 300


def test_a_record_unaccounted_for_does_not_close(tmp_path: Path) -> None:
    """One record lost, counted twice, or left unforwarded is found."""
    found = fuzz(tmp_path, 300, seed=2)
    assert found.closes
    for wrong in (
        {"delivered": found.delivered - 1},
        {"accepted": found.accepted + 1},
        {"dead_lettered": found.dead_lettered - 1},
        {"forwarded": found.forwarded - 1},
        {"problems": ("something",)},
    ):
        assert not replace(found, **wrong).closes


def test_a_seed_repeats_its_records() -> None:
    """What one run found can be run again; another seed finds something else."""
    one = list(records(500, seed=3))
    assert one == list(records(500, seed=3))
    assert one != list(records(500, seed=4))
    assert {topic for topic, _, _ in one} == {GENERATIONS, FEEDBACK}


def test_records_are_valid_before_they_are_bent() -> None:
    """Every kind of signal is drawn, and everything that is drawn can be read."""
    source, kinds = Records(random.Random(5)), Counter[str]()
    for _ in range(2000):
        record = source.draw()
        decode_event(orjson.dumps(record))
        kinds[record["data"].get("signal", {}).get("kind", "")] += 1
    assert kinds.keys() == {"", *(str(kind.__struct_config__.tag) for kind in SIGNALS)}
    assert signal(random.Random(6)) == signal(random.Random(6))


def test_bent_records_are_mostly_refused_and_some_are_large() -> None:
    """Bending does something: about half cannot be read, in hundreds of ways."""
    said, largest = Counter[str](), 0
    for _, _, raw in records(LARGE_EVERY, seed=7):
        largest = max(largest, len(raw))
        try:
            decode_event(raw)
        except MalformedEvent as problem:
            said[str(problem)] += 1
    assert largest >= LARGE_BYTES
    assert 0.3 * LARGE_EVERY < said.total() < 0.7 * LARGE_EVERY
    assert len(said) > 200


@pytest.mark.parametrize(("fix", "seed"), [("check_depth", 1), ("check_time", 1), ("as_reason", 4)])
def test_what_fuzzing_found_it_finds_again(
    fix: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a bound taken out, ingest, the audit or the dead-letter topic fails as it once did."""
    without = str if fix == "as_reason" else lambda *_: None
    monkeypatch.setattr(f"rlwd.streams.events.event.{fix}", without)
    with pytest.raises((RecursionError, ValueError)):
        fuzz(tmp_path, 20_000, seed=seed)
