"""Exported: sessions out of the state, on either database."""

import json

from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.streams.events.signals import Accepted
from rlwd.streams.writers.atif_writer import trajectories
from rlwd.streams.writers.exported import exported_sessions


def test_sessions_leave_whole_and_apart(ledger: Ledger) -> None:
    """Two tenants' sessions of one name are two; each has its answers by time, feedback and reward."""
    named = {"session_found": "named", "purposes": ("count", "train", "share")}
    ledger.take(
        generation("s.g1", 1.0, text="one", **named),
        generation("s.g2", 3.0, text="two", parent_id="s.g1", **named),
        generation("t.g1", 2.0, text="theirs", tenant="acme", **named),
        generation("u.g1", 4.0, session_id="u", text="secret", consent=False),
    )
    ledger.take(feedback("f", "s.g2", Accepted(), 5.0), partition=FEEDBACK)
    with ledger.store.reading() as view:
        found = list(exported_sessions(view, "policy"))
        alone = list(exported_sessions(view, "policy", "u"))
    assert [(one.id, [a.event.data.text for a in one.answers]) for one in found] == [
        ("s", ["theirs"]),
        ("s", ["one", "two"]),
    ]
    assert alone == []
    last = found[1].answers[1]
    assert last.parent == "s.g1"
    assert [one.data.feedback_id for one in last.feedback] == ["f"]
    assert last.reward is not None
    assert last.reward["value"] == 1.0
    written = json.dumps([document for one in found for document in trajectories(one)])
    assert "secret" not in written
