"""What leaves as a text leaves by one rule: a trace in MLflow and an export, by the tenant's settings."""

from pathlib import Path
from typing import Any

import pytest
from ledger_by_hand import generation, open_ledger

from rlwd.ops.tracking.answer_trace import trace_records
from rlwd.streams.redaction.privacy import PrivacySettings, TenantPrivacy
from rlwd.streams.writers.exported import exported_sessions

PRIVACY = PrivacySettings(
    tenants={
        "open": TenantPrivacy(purposes=("count", "train", "share")),
        "asks": TenantPrivacy(consent="opt_in", purposes=("count", "train", "share")),
        "shows": TenantPrivacy(purposes=("count", "share")),
    }
)
SHARE, TRAIN = ("count", "train", "share"), ("count", "train")

CASES: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"purposes": TRAIN}, False),
    ({"purposes": SHARE}, True),
    ({"purposes": ("count", "share")}, True),
    ({"purposes": ("count",)}, False),
    ({"consent": False}, False),
    ({"tenant": "open"}, True),
    ({"tenant": "open", "purposes": TRAIN}, False),
    ({"tenant": "open", "consent": False}, False),
    ({"tenant": "asks"}, False),
    ({"tenant": "asks", "purposes": SHARE}, True),
    ({"tenant": "shows"}, True),
    ({"tenant": "open", "variant": "shadow"}, False),
    ({"tenant": "open", "side_request": "title"}, False),
    ({"tenant": "open", "captured": False}, False),
]


@pytest.mark.parametrize(("said", "leaves"), CASES)
def test_a_trace_and_an_export_show_the_same(
    tmp_path: Path, said: dict[str, Any], leaves: bool
) -> None:
    """Both, or neither: whatever the record says and its tenant's settings mean by it."""
    ledger = open_ledger(tmp_path / "rlwd.db")
    ledger.joiner.reader.privacy = PRIVACY
    ledger.take(generation("s.g1", 1.0, **said))
    with ledger.store.reading() as view:
        exported = [
            answer.id
            for session in exported_sessions(view, "policy", privacy=PRIVACY)
            for answer in session.answers
        ]
        traced = trace_records(view, "policy", "policy", ["s.g1"], PRIVACY)
    assert (exported, [*traced]) == ((["s.g1"], ["s.g1"]) if leaves else ([], []))
