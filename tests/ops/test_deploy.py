"""What is deployed by hand: the units, as systemd understands them; tests/ops/test_systemd.py runs them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from deployed import DEPLOY

from rlwd.daemon.exit_status import FAULT

UNITS = ("rlwd.service", "rlwd-gateway@.service", "rlwd-router.service")
MOST_EXPOSURE = 2.0
needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)


def instance(unit: str, folder: Path) -> Path:
    """A copy of a unit whose command exists, under the name of an instance."""
    text = (DEPLOY / unit).read_text().replace("/usr/local/bin/rlwd", "/bin/true")
    copy = folder / unit.replace("@.", "@8080.")
    copy.write_text(text)
    return copy


@needs_analyze
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_a_unit(unit: str, tmp_path: Path) -> None:
    """No key is misspelt, and nothing it names is missing."""
    done = subprocess.run(
        ["systemd-analyze", "verify", str(instance(unit, tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_analyze
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_hardened(unit: str, tmp_path: Path) -> None:
    """The exposure that systemd reckons is 2.0 at most."""
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            *(f"--threshold={int(MOST_EXPOSURE * 10)}", str(instance(unit, tmp_path))),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:]


def test_all_units_are_one_user() -> None:
    """They share the state folder: two users would take it from each other."""
    for key in ("User", "Group", "StateDirectory", "StateDirectoryMode", "UMask"):
        lines = {
            line
            for unit in UNITS
            for line in (DEPLOY / unit).read_text().splitlines()
            if line.startswith(f"{key}=")
        }
        assert len(lines) == 1, key
    assert not any("DynamicUser" in (DEPLOY / unit).read_text() for unit in UNITS)


def test_a_childs_end_for_want_of_memory_is_not_its_units() -> None:
    """By default systemd would end a learner's daemon, a worker's siblings, every other version's server."""
    for unit in UNITS:
        assert "OOMPolicy=continue" in (DEPLOY / unit).read_text().splitlines(), unit


def test_no_unit_is_started_again_with_what_is_wrong() -> None:
    """Each unit comes back whatever ends it, but for the status of what an operator has to put right."""
    for unit in UNITS:
        lines = (DEPLOY / unit).read_text().splitlines()
        assert {"Restart=always", f"RestartPreventExitStatus={FAULT}"} <= {*lines}
        assert "StartLimitIntervalSec=0" in lines
