"""A planted person: somebody whose words stand wherever the state may hold them, and the words."""

from pathlib import Path
from typing import Any

from daemon_by_hand import FEEDBACK, decide
from ledger_by_hand import Ledger, feedback, generation

from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.batches_table import pending_batch, write_batch
from rlwd.learner.ledger.seal import seal
from rlwd.ops.flags.assignment import hash_user
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import Edited
from rlwd.streams.events.tool_use import OfferedTool, ToolCall
from rlwd.streams.log.claim_check import store_payload

KEY = b"key"
PLANTED = "her-planted-secret"
TRACES = (PLANTED.encode(), b"987654321", b"987654322")
"""Her words, and the tokens that spell them."""


def plant(ledger: Ledger, folder: Path) -> None:
    """Serve ann, and bob after her; seal, and lay aside what was too large for the log."""
    ann, bob = hash_user("ann", KEY), hash_user("bob", KEY)
    call = ToolCall(id="c1", name="f", arguments=f'{{"a": "{PLANTED}"}}', parses=False, fits=None)
    said = InputMessage(role="user", text=PLANTED)
    hers: dict[str, Any] = {
        "user_hash": ann,
        "text": PLANTED,
        "reasoning": PLANTED,
        "tool_calls": (call,),
        "input": (said,),
        "tools": (OfferedTool(name="f", digest="d"),),
        "session_found": "named",
        "prompt_token_ids": (987_654_321, 2),
        "completion_token_ids": (987_654_322,),
    }
    result = InputMessage(role="tool", text=PLANTED, tool_call_id="c1")
    follows: dict[str, Any] = {
        "session_found": "named",
        "prompt_token_ids": (987_654_321, 2, 987_654_322, 5),
        "input": (result, said),
        "earlier_answers": 1,
    }
    decide(ledger, "s.g1", 1.0, **hers)
    ledger.take(feedback("e1", "s.g1", Edited(final_text=PLANTED), 2.0), partition=FEEDBACK)
    decide(ledger, "s.g2", 3.0, user_hash=bob, **follows)
    decide(ledger, "s.g3", 4.0, user_hash=ann, **{**follows, "text": PLANTED})
    decide(ledger, "t.g1", 5.0, user_hash=bob, session_id="t", text="his")
    with ledger.store.transaction() as tx:
        settings = BatchSettings(episodes=2, held_out=0.0, user_share=1.0)
        assert seal(
            tx,
            "policy",
            settings,
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=9.0,
        )
        waiting = pending_batch(tx, "policy")
        assert waiting is not None
        write_batch(folder / "batches", waiting[0], waiting[1])
        tx.execute("UPDATE batches SET state = 'applied', sequence = 1")
    oversize = folder / "spool" / "oversize"
    oversize.mkdir(parents=True)
    large = feedback("f9", "s.g1", Edited(final_text=PLANTED), 2.0)
    (oversize / "x.json").write_bytes(large)
    store_payload(folder / "data", generation("s.g9", 6.0, user_hash=ann, text=PLANTED))
