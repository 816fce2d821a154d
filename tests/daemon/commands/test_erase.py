"""`rlwd erase`: a person is forgotten, and who learned from them is named."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from daemon_by_hand import decide, open_daemon_ledger
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.commands.erase import run_erase
from rlwd.daemon.config import load_config
from rlwd.learner.ledger.batches_table import batch_path, pending_batch, write_batch
from rlwd.learner.ledger.seal import BatchSettings, seal
from rlwd.ops.flags.assignment import hash_user, tenant_key
from rlwd.streams.events.input_message import InputMessage
from rlwd.streams.events.signals import Edited
from rlwd.streams.events.tool_use import OfferedTool, ToolCall
from rlwd.streams.log.claim_check import store_payload

KEY = b"key"
CONFIG = 'state = "."\n[learner]\nmodel = "base"\n[gateway]\nuser_key = "key"\n'


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two people's answers, sealed into one batch that is being applied."""
    (tmp_path / "rlwd.toml").write_text(CONFIG)
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    for number in range(4):
        user = hash_user("ann" if number % 2 else "bob", KEY)
        decide(ledger, f"s.g{number}", 1.0, user_hash=user)
    with ledger.store.transaction() as tx:
        sealed = seal(
            tx,
            "policy",
            BatchSettings(episodes=4, held_out=0.0),
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=5.0,
        )
        assert sealed is not None
        waiting = pending_batch(tx, "policy")
        assert waiting is not None
    write_batch(tmp_path / "batches", waiting[0], waiting[1])
    return ledger


def run(folder: Path, capsys: pytest.CaptureFixture[str], user: str) -> tuple[int, dict[str, Any]]:
    status = run_erase(load_config(folder / "rlwd.toml"), user, hashed=False)
    return status, orjson.loads(capsys.readouterr().out)


def test_a_batch_that_is_being_applied_is_waited_for(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named and the status says to come again; then its tokens go, from table and disk."""
    status, report = run(tmp_path, capsys, "ann")
    assert status == 1
    assert (report["generations"], report["batches_waiting"]) == (2, [1])
    assert report["learned"] == report["batches_forgotten"] == []
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE batches SET state = 'applied', sequence = 1")
        tx.execute(
            "UPDATE episodes SET stage = 'closed', fate = 'trained', trained_version = 'policy@v1'"
        )
    status, report = run(tmp_path, capsys, "ann")
    assert status == 0
    assert (report["learned"], report["batches_forgotten"]) == (["policy@v1"], [1])
    assert ledger.ask("SELECT LENGTH(content) FROM batches") == (0,)
    assert not batch_path(tmp_path / "batches", 1).exists()
    assert ledger.fates() == {"trained": 4}


def test_a_user_of_a_tenant_is_named_with_it(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody of the same name in another tenant keeps all of theirs."""
    decide(ledger, "t.g1", 9.0, user_hash=hash_user("ann", tenant_key(KEY, "acme")), tenant="acme")
    config = load_config(tmp_path / "rlwd.toml")
    assert run_erase(config, "ann", hashed=False, tenant="acme") == 0
    assert orjson.loads(capsys.readouterr().out)["generations"] == 1
    assert run_erase(config, "ann", hashed=False) == 1
    assert orjson.loads(capsys.readouterr().out)["generations"] == 2


def test_nobody_is_nobody(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody who was never served is remembered as erased, and nothing else happens."""
    status, report = run(tmp_path, capsys, "carol")
    assert (status, report["generations"], report["batches_waiting"]) == (0, 0, [])
    assert ledger.ask("SELECT COUNT(*) FROM erased") == (1,)


def test_feedback_that_the_log_refused_for_its_size_is_deleted_too(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway keeps it beside its spool: hers goes, his stays until its time is over."""
    kept = tmp_path / "spool-8001" / "oversize"
    kept.mkdir(parents=True)
    for name in ("s.g1", "s.g2"):
        (kept / f"{name}.json").write_bytes(feedback("f", name, Edited(final_text="long"), 2.0))
    run(tmp_path, capsys, "ann")
    assert [path.name for path in kept.iterdir()] == ["s.g2.json"]


PLANTED = "her-planted-secret"


def test_no_byte_of_it_is_left_in_the_state(tmp_path: Path) -> None:
    """From the command to the files: record, calls, thoughts, input, edits, derived signals, the prompts
    of others that went on from hers, a sealed batch, and what was too large for the log."""
    (tmp_path / "rlwd.toml").write_text(CONFIG + f'[stream]\ndata_folder = "{tmp_path}/data"\n')
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
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
        write_batch(tmp_path / "batches", waiting[0], waiting[1])
        tx.execute("UPDATE batches SET state = 'applied', sequence = 1")
    oversize = tmp_path / "spool" / "oversize"
    oversize.mkdir(parents=True)
    large = feedback("f9", "s.g1", Edited(final_text=PLANTED), 2.0)
    (oversize / "x.json").write_bytes(large)
    store_payload(tmp_path / "data", generation("s.g9", 6.0, user_hash=ann, text=PLANTED))
    traces = [PLANTED.encode(), b"987654321", b"987654322", ann.encode()]
    before = on_disk(tmp_path)
    assert all(trace in before for trace in traces)
    # The daemon has the database open meanwhile, so that its write-ahead log stays.
    done = CliRunner().invoke(app, ["erase", "ann", "-c", str(tmp_path / "rlwd.toml")])
    assert done.exit_code == 0, done.output
    report = orjson.loads(done.stdout)
    assert (report["generations"], report["others"], report["bytes_gone"]) == (2, 1, True)
    after = on_disk(tmp_path)
    assert [trace for trace in traces[:3] if trace in after] == []
    assert b"his" in after
    ledger.store.close()


def on_disk(folder: Path) -> bytes:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".toml"]
    return b"".join(path.read_bytes() for path in files)
