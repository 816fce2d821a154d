"""Gate files: what the gate is to ask about is read when a daemon starts, and refused by its place."""

import subprocess
import sys
from pathlib import Path

import pytest
from state_rig import config_of

BAD = {
    "probes": ('{"ask": ""}', "ask must have 1 to"),
    "planted": ('{"tenant": "a", "question": "?", "secret": "12"}', "strings of its form"),
}


@pytest.mark.parametrize("key", BAD)
def test_a_line_that_is_none_stops_the_start(key: str, tmp_path: Path) -> None:
    """`rlwd run` names the key, the file beside the config and the line, wherever it was started from."""
    line, problem = BAD[key]
    config_of(tmp_path, f'[gate]\n{key} = "asked.jsonl"\n')
    (tmp_path / "asked.jsonl").write_text(f"\n{line}\n")
    told = [sys.executable, "-m", "rlwd.daemon", "run", "--config", str(tmp_path / "rlwd.toml")]
    done = subprocess.run(told, cwd="/", capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())
    assert f"gate.{key}: " in said
    assert "asked.jsonl, line 2" in said
    assert problem in said
