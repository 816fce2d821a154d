"""Who was erased since a backup is erased again by itself, however the state came back."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from rlwd.daemon.config import Config
from rlwd.daemon.store import existing_store

Run = Callable[..., tuple[int, str]]


def rows(config: Config, sql: str, *parameters: Any) -> list[Any]:
    store = existing_store(config)
    with store.reading() as view:
        found = list(view.execute(sql, parameters).fetchall())
    store.close()
    return found


def answers_to(config: Config, user: str) -> int:
    """Return how many answers to somebody still have their content."""
    held = (
        "SELECT COUNT(*) FROM episodes JOIN contents USING (policy, generation_id)"
        " WHERE user_hash = ?"
    )
    return int(rows(config, held, user)[0][0])


@pytest.fixture
def somebody(config: Config) -> str:
    """The hash of a person whose answers the state holds."""
    most = "SELECT user_hash FROM episodes GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT 1"
    ((found,),) = rows(config, most)
    assert answers_to(config, found) > 0
    return str(found)


def lose(config: Config, *, all_of_it: bool = False) -> None:
    """Move the state away as docs/runbook.md says; the list of erasures stays."""
    for path in config.state_path.iterdir():
        if all_of_it or path.name != "erased.jsonl":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_restore_erases_again(tmp_path: Path, config: Config, run: Run, somebody: str) -> None:
    """Named by hash, with what was found; and said plainly where no list is there."""
    live, backup = config.state_path.parent, str(tmp_path / "backup")
    assert run(live, "backup", backup)[0] == 0
    assert run(live, "erase", "--hashed", somebody)[0] == 0
    lose(config)
    status, said = run(live, "restore", backup)
    assert (status, f"erased again: {somebody} (" in said) == (0, True), said
    assert answers_to(config, somebody) == 0
    assert rows(config, "SELECT user_hash FROM erased") == [(somebody,)]
    assert run(live, "audit")[0] == 0
    lose(config, all_of_it=True)
    status, said = run(live, "restore", backup)
    wanted = f"{config.erasures_path}: is not there, so nobody is known who was erased after 20"
    assert (status, wanted in said) == (0, True), said
    assert answers_to(config, somebody) > 0


def test_a_restore_that_was_cut_off_at_its_end_is_ended(
    tmp_path: Path, config: Config, run: Run, somebody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of it in place the second one goes on: it erases, and lets the daemon begin."""
    live, backup = config.state_path.parent, str(tmp_path / "backup")
    assert run(live, "backup", backup)[0] == 0
    assert run(live, "erase", "--hashed", somebody)[0] == 0
    lose(config)

    def cut_off(*_: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr("rlwd.daemon.backup.restore.erase_again", cut_off)
        assert run(live, "restore", backup)[0] == 2
    assert run(live, "audit")[0] == 2, "nothing begins before"
    shutil.copytree(backup, tmp_path / "another")
    status, said = run(live, "restore", str(tmp_path / "another"))
    assert (status, f"all of another backup is there: `rlwd restore {backup}`" in said) == (2, True)
    status, said = run(live, "restore", backup)
    assert (status, f"erased again: {somebody} (" in said) == (0, True), said
    assert run(live, "status")[0] == 0


def test_a_daemon_erases_again_before_it_takes_in(
    config: Config, tiny_policy: Path, run: Run, somebody: str
) -> None:
    """A database that was put back by other means than ours is no way round the list."""
    live, before = config.state_path.parent, config.state_path / "rlwd.db"
    kept = before.read_bytes()
    assert run(live, "erase", "--hashed", somebody)[0] == 0
    for beside in config.state_path.glob("rlwd.db-*"):
        beside.unlink()
    before.write_bytes(kept)
    shutil.copytree(tiny_policy, live / "policy")
    file = live / "rlwd.toml"
    file.write_text(file.read_text().replace("bake_seconds = 1.0", "bake_seconds = 0.0"))
    with (live / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "rlwd.daemon", "run", "--config", str(live / "rlwd.toml")],
            stderr=log,
        )
    try:
        until(
            lambda: "control_started" in (live / "log").read_text(),
            120.0,
            told=(live / "log").read_text,
        )
    finally:
        daemon.terminate()
        daemon.wait(60)
    told = [json.loads(line) for line in (live / "log").read_text().splitlines()]
    messages = [one["message"] for one in told]
    assert messages.index("erased_again") < messages.index("control_started")
    assert [one["user"] for one in told if one["message"] == "erased_again"] == [somebody]
    assert answers_to(config, somebody) == 0
