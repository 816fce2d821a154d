"""`make proof`: what takes long is run once, goes on where it was stopped, and what was not run is named."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import proof
import pytest
import typer
from proof_parts import PARTS, Part, Run
from proof_run import ROOT
from real_runs import runs_table
from waiting import until

from rlwd.daemon.cli import app
from rlwd.streams.state.file_lock import lock_file

PAGE = ROOT / "docs" / "proof.md"
COMMANDS = [pytest.param(run, id=f"{part.name}-{run.name}") for part in PARTS for run in part.runs]


def writes(seed: int, *, more: str = "", **known: Any) -> Run:
    """A run that counts itself in `begun`, does `more`, and leaves a report."""
    code = (
        "import pathlib, sys, time, os\n"
        f"folder = pathlib.Path(sys.argv[1]); (folder / 'begun').open('a').write('{seed} ')\n"
        f"{more}\n"
        f"(folder / '{seed}.json').write_text('done')\n"
    )
    return Run(
        name=f"seed-{seed}",
        seed=seed,
        command=("-c", code, "{folder}"),
        reports=(f"{seed}.json",),
        minutes=5,
        **known,
    )


def part(*runs: Run, **known: Any) -> Part:
    return Part(name="short", asks="does it go on?", page="docs/proof.md", runs=runs, **known)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command on a table of parts; return its status and what it says."""

    def said(asked: Part, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["proof", *arguments, "--state", str(tmp_path)])
        status = proof.main((asked,))
        return status, capsys.readouterr().out

    return said


def test_what_left_its_report_is_not_run_again(say: Any, tmp_path: Path) -> None:
    """A run that failed is named with its output and begins again; the others keep their reports."""
    fails = "sys.exit('no luck') if not (folder / 'lucky').exists() else None"
    asked = part(writes(0), writes(1, more=fails), writes(2))
    status, told = say(asked, "short")
    assert status == 1
    assert "run now: short seed-0, short seed-2" in told
    assert f"failed: short seed-1 (status 1; {tmp_path}/short/seed-1.txt)" in told
    assert "no luck" in (tmp_path / "short" / "seed-1.txt").read_text()
    (tmp_path / "short" / "lucky").touch()
    status, told = say(asked, "short")
    assert status == 0
    assert "run now: short seed-1\n" in told
    assert re.search(r"run before: short seed-0( \(\S+\))?, seed-2", told)
    assert (tmp_path / "short" / "begun").read_text() == "0 1 2 1 "
    record = orjson.loads((tmp_path / "short" / "seed-1.run.json").read_bytes())
    assert record["status"] == 0
    assert "cores of" in record["machine"]


def test_what_was_not_run_is_named_with_its_reason(
    say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other seeds, no time left, a part that comes first, data that is not there."""
    monkeypatch.delenv("RLWD_DATA", raising=False)
    asked = part(writes(0), writes(1), writes(2, needs=("real/seed-2.json",)))
    _, told = say(asked, "short", "--seeds", "0", "2")
    assert "not run: short seed-1: not among the seeds that were asked for" in told
    assert "not run: short seed-2: needs PART=real first" in told
    _, told = say(asked, "short", "--minutes", "1")
    assert "not run: short seed-1: takes about 5 minutes, longer than what is left" in told
    _, told = say(part(writes(3), data=True), "short")
    assert "not run: short seed-3: RLWD_DATA names no folder of recorded feedback" in told
    with pytest.raises(SystemExit):
        say(asked, "short", "--seeds", "0", "7")
    with pytest.raises(SystemExit):
        say(asked, "short", "--minutes", "nan")
    _, told = say(asked)
    assert "    run: seed-0\n    not run: seed-1, seed-2; about 10 minutes" in told


def test_a_report_of_another_command_is_none_of_todays(say: Any, tmp_path: Path) -> None:
    """It is named and left where it is; once it is moved away the run begins again."""
    assert say(part(writes(0, more="'as before'")), "short")[0] == 0
    _, told = say(part(writes(0)), "short")
    report = tmp_path / "short" / "0.json"
    assert f"not run: short seed-0: {report} is of another command; move it away" in told
    assert (tmp_path / "short" / "begun").read_text() == "0 "
    report.unlink()
    assert "run now: short seed-0" in say(part(writes(0)), "short")[1]


def test_half_a_report_of_a_run_that_was_broken_off_is_none(say: Any, tmp_path: Path) -> None:
    """Some write what they have as they go: there is an output then, and no record."""
    (tmp_path / "short").mkdir()
    for name in ("0.json", "seed-0.txt", "1.json"):
        (tmp_path / "short" / name).write_text("half")
    _, told = say(part(writes(0), writes(1)), "short")
    assert "run now: short seed-0\n" in told
    assert "run before: short seed-1" in told


def test_what_another_process_is_at_is_left_to_it(say: Any, tmp_path: Path) -> None:
    """Its folder is not removed under it, and the other runs are done."""
    (tmp_path / "short").mkdir()
    held = lock_file(tmp_path / "short" / "seed-0.lock")
    _, told = say(part(writes(0), writes(1)), "short")
    os.close(held)
    assert f"not run: short seed-0: process {os.getpid()} is at it" in told
    assert "run now: short seed-1" in told


def test_tables_that_cannot_be_made_are_a_failure(say: Any) -> None:
    """What was run is kept, and the status says that not all went well."""
    status, told = say(part(writes(0), ends=(("-c", "raise SystemExit(3)"),)), "short")
    assert status == 1
    assert "failed: short raise SystemExit(3) (status 3)" in told


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_in_the_middle_stops_the_run_and_says_what_is_missing(
    tmp_path: Path, stop: signal.Signals
) -> None:
    """A kill or a terminal that closes ends the run that goes on; it has no report, and the next time it begins again."""
    script = tmp_path / "small.py"
    script.write_text(
        "import signal\n"
        "import sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # The session may have been begun by nohup.
        "from test_proof import part, writes\n"
        "import proof\n"
        "slow = \"(folder / 'pid').write_text(str(os.getpid())); time.sleep(600)\"\n"
        "sys.exit(proof.main((part(writes(0), writes(1, more=slow), writes(2)),)))\n"
    )
    state = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, script, "short", "--state", state],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    pid = state / "short" / "pid"
    until(lambda: pid.exists() and pid.read_text() != "", 120.0)
    process.send_signal(stop)
    told, _ = process.communicate()
    assert process.returncode == 128 + stop
    assert "run now: short seed-0" in told
    assert "not run: short seed-1: stopped before it was done" in told
    assert "not run: short seed-2: stopped before it was done" in told
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not (state / "short" / "1.json").exists()


def test_a_part_that_there_is_not_is_refused_by_name(
    say: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which there are."""
    with pytest.raises(SystemExit):
        say(part(writes(0)), "rael")
    assert "PART=rael: there is none; there are short and all" in capsys.readouterr().err


@pytest.mark.parametrize("run", COMMANDS)
def test_a_command_names_a_module_and_options_that_there_are(run: Run) -> None:
    """A renamed option would be found after hours of other runs."""
    assert run.command[0] == "-m"
    module, options = run.command[1], {one for one in run.command if one.startswith("--")}
    if module == "rlwd.daemon":
        command = typer.main.get_command(app).commands[run.command[2]]  # type: ignore[attr-defined]
        known = {name for parameter in command.params for name in parameter.opts}
        assert options <= known
        return
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    text = Path(found.origin).read_text()
    assert all(f'"{option}"' in text for option in options)


def test_runs_of_a_part_have_names_of_their_own() -> None:
    """Two of one name would be one report."""
    for each in PARTS:
        names = [run.name for run in each.runs]
        assert len(set(names)) == len(names)


def test_the_page_of_proof_has_every_part() -> None:
    """Who reads it finds the command of each figure, and no part that there is not."""
    named = set(re.findall(r"PART=([a-z]+)", PAGE.read_text()))
    assert named == {each.name for each in PARTS}


def test_seeds_stand_beside_one_another() -> None:
    """A run without an exam, or that never got there, leaves its cells empty or says so."""
    one: dict[str, Any] = {
        "accept_rate": {"first_tenth": 0.05, "last_tenth": 0.89},
        "answers_until_four_fifths": None,
        "event_to_served_s": {"p50": None, "p95": None, "parts": {}},
        "versions": {"offered": 8, "promoted": 5, "rolled_back": 0},
        "requests": {"sent": 1514, "failed": 0},
        "wall_s": 750.0,
    }
    shares = {"unseen": 0.02, "reworded": 0.03, "everyday": 0.75}
    other = {**one, "exam": {"before": shares, "after": {**shares, "unseen": 0.87}}}
    table = runs_table({"seed-0": one, "seed-1": other})
    assert "| accepted: first and last tenth | 0.05 → 0.89 | 0.05 → 0.89 |" in table
    assert "| answers until 0.80 of 200 | never | never |" in table
    assert "| things and kinds never asked about |  | 0.02 → 0.87 |" in table
