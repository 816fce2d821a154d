"""`rlwd explain` shows where a generation stands in its conversation."""

from pathlib import Path

import orjson
import pytest
from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import FEEDBACK, feedback, open_ledger
from talks_by_hand import Talk, call, person, result
from typer.testing import CliRunner

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.cli import app
from rlwd.streams.events.signals import FollowedUp


def test_a_turn_is_told_with_its_parent_its_children_and_its_signals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Session, link and rule, switch of versions, subagents, and where each signal comes from."""
    ledger = open_ledger(tmp_path / "state" / "rlwd.db")
    talk, agent = Talk("a"), Talk("agent", session="call-77")
    ledger.take(talk.turn(0.0, version="policy@v000001-1"))
    ledger.take(talk.turn(1.0, calls=(call("call-77", "task"),)))
    ledger.take(agent.turn(2.0))
    ledger.take(talk.turn(3.0, result("call-77", "done"), person("thanks")))
    told = feedback("f1", "s.a1", FollowedUp(text="thanks!", statement="satisfied"), 4.0)
    ledger.take(told, partition=FEEDBACK)
    ledger.store.close()
    config = tmp_path / "rlwd.toml"
    config.write_text('policy = "policy"\n[learner]\nmodel = "model"\n')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    done = CliRunner().invoke(app, ["explain", "s.a1", "--config", str(config)])
    assert done.exit_code == 0, done.output
    story = orjson.loads(capsys.readouterr().out or done.output)
    assert story["session"] == {
        "id": "s",
        "parent": "s.a0",
        "link": "tokens",
        "history": "switched",
        "continued_by": [
            {"generation_id": "s.a2", "link": "tokens", "version": "policy@v000000-00000000"}
        ],
        "subagents": [{"generation_id": "call-77.agent0", "session": "call-77"}],
        "turns": ["s.a0", "s.a1", "s.a2"],
    }
    signals = [(one["signal"]["kind"], one["derived_from"]) for one in story["feedback"]]
    assert sorted(signals, key=str) == [
        ("followed_up", "s.a2"),
        ("followed_up", None),
        ("tool_result", "s.a2"),
    ]


def test_the_audit_closes_over_what_was_derived(tmp_path: Path) -> None:
    """A derived signal is no record, and is counted as none; a posted one beside it is."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    talk = Talk("a")
    ledger.take(*[talk.turn(float(n), calls=(call(f"call-{n}", valid=False),)) for n in range(4)])
    told = feedback("f1", "s.a1", FollowedUp(text="thanks!"), 4.0)
    ledger.take(told, partition=FEEDBACK)
    assert ledger.ask("SELECT COUNT(*) FROM feedback WHERE origin <> ''")[0] > 4
    with ledger.store.reading() as view:
        assert audit(view, "policy", []).closes
    ledger.store.close()
