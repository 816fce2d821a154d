"""Triage timer: what status says of a week whose report is not made."""

import time
from pathlib import Path

from waiting import until

from rlwd.daemon.control.own_command import OwnCommand
from rlwd.daemon.control.triage_timer import AGAIN_SECONDS, PATIENCE_SECONDS, TriageTimer
from rlwd.ops.rollout import candidates_table
from rlwd.ops.triage import triage_tables
from rlwd.ops.triage.settings import TriageSettings
from rlwd.streams.open import open_store


def test_a_week_whose_report_is_not_made_is_a_problem(tmp_path: Path) -> None:
    """From when its process has failed until the week is filed, by whomever; the log has the words."""
    store = open_store(tmp_path / "rlwd.db", {"ops": candidates_table.MIGRATIONS})
    gone = tmp_path / "gone.toml"
    command = OwnCommand(gone, "triage", "--if-due", done="triaged", failed="triage_failed")
    timer = TriageTimer(store, "policy", TriageSettings(every="week"), command)
    now = time.time()
    timer.look(now)
    timer.look(now + PATIENCE_SECONDS)
    assert timer.problem is None
    until(lambda: not command.running, 120.0)
    timer.look(now + PATIENCE_SECONDS + AGAIN_SECONDS / 2)
    assert str(timer.problem).startswith("the week's report was not made")
    assert "status 2" in str(timer.problem)
    with store.transaction() as tx:
        day = int(now // 86_400) + 1
        triage_tables.file_run(tx, "policy", day - 7, day, now)
    timer.look(now + PATIENCE_SECONDS + AGAIN_SECONDS / 2 + 10.0)
    assert timer.problem is None
    store.close()
