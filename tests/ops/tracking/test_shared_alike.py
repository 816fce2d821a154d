"""What leaves as a text leaves by one rule: a trace in MLflow and an export, by the tenant's settings."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from ledger_by_hand import generation, open_ledger
from sessions_by_hand import answered

from rlwd.ops.tracking.answer_trace import trace_records
from rlwd.ops.tracking.turn_spans import turn_spans
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.tool_use import ToolCall
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


@pytest.mark.parametrize("agreed", [TRAIN, SHARE])
def test_what_was_written_back_leaves_by_its_own_requests_consent(
    tmp_path: Path, agreed: tuple[str, ...]
) -> None:
    """The answer may leave; the message after it is of a request of which that may not be so."""
    ledger = open_ledger(tmp_path / "rlwd.db")
    more = {"session_found": "named", "user_hash": "ada"}
    ledger.take(
        generation("s.g1", 1.0, purposes=SHARE, **more),
        generation(
            "s.g2",
            2.0,
            purposes=agreed,
            parent_id="s.g1",
            earlier_answers=1,
            input=(InputMessage(role="user", text="my sister is ill"),),
            **more,
        ),
    )
    with ledger.store.reading() as view:
        (session,) = exported_sessions(view, "policy", privacy=PRIVACY)
        traced = trace_records(view, "policy", "policy", ["s.g1"], PRIVACY)
    left = [session.answers[0].derived, traced["s.g1"].assessments]
    assert all("followed_up" in repr(one) for one in left)
    assert ["my sister is ill" in repr(one) for one in left] == [agreed == SHARE] * 2


@pytest.mark.parametrize("deep", ["[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300])
def test_arguments_that_nest_too_deep_are_shown_as_written(deep: str) -> None:
    """A trace can be written whatever a model wrote as arguments."""
    call = ToolCall(id="c1", name="find", arguments=deep, parses=True, fits=None)
    spans = turn_spans(answered("g1", 0.0, tool_calls=(call,), tool_call_count=1), {})
    assert any(one.inputs == {"as written": deep} for one in spans)
    assert all(orjson.dumps(one.inputs) for one in spans)
