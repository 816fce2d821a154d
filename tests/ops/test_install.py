"""install.sh where it is cut off, led astray or given what it cannot use; its tools are stand-ins.

tests/ops/test_systemd.py runs it as it is; tests/ops/test_releases.py has what it calls.
"""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from deployed import DEPLOY

PLACES = (
    *("/opt/rlwd", "/etc/rlwd", "/etc/systemd", "/run/systemd", "/var/lib/rlwd", "/var/cache/rlwd"),
    *("/usr/local", "/root/", "/home/"),
)
PYTHON = """#!/bin/sh
# A stand-in for Python: makes what looks like an environment, installs and checks nothing.
case "$*" in
    *"-m venv "*)
        for folder in "$@"; do :; done
        units=$folder/lib/python3.11/site-packages/rlwd/ops/deploy
        mkdir -p "$folder/bin" "$units" && cp "$0" "$folder/bin/python" && cp "$0" "$folder/bin/rlwd"
        cp "DEPLOY/"*.service DEPLOY/rlwd.toml "$units" ;;
    *"-m pip install"*) echo "$@" >> "MACHINE/asked" ;;
    *"import pathlib"*) . "MACHINE/checks" ;;
esac
case " $* " in *" -m "*) case " $* " in *" -I "*) ;; *) echo "not isolated: $*" >&2; exit 9 ;; esac ;; esac
"""
STAND_INS = {
    "id": "echo 0",
    "systemctl": ":",
    "systemd-sysusers": ":",
    "setpriv": 'while test "${1#--}" != "$1"; do shift; done; exec "$@"',
}


class Machine:
    """A folder that has all that install.sh writes to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scripts = folder, folder / "with space"
        self.scripts.mkdir()
        user, group = os.getuid(), os.getgid()
        for script in ("install.sh", "uninstall.sh"):
            text = (DEPLOY / script).read_text()
            for place in PLACES:
                text = text.replace(place, f"{folder}{place}")
            text = text.replace("-o rlwd -g rlwd", f"-o {user} -g {group}")
            text = text.replace("-g rlwd", f"-g {group}").replace("-o root", f"-o {user}")
            (self.scripts / script).write_text(text)
        for name in ("releases.sh", "rlwd.sysusers"):
            shutil.copy(DEPLOY / name, self.scripts)
        (folder / "checks").write_text(":")
        for place in ("etc", "opt", "usr/local/bin", "var/lib"):
            (folder / place).mkdir(parents=True)
        self.tools = folder / "tools"
        self.tools.mkdir()
        for name, lines in STAND_INS.items():
            self.tool(name, f"#!/bin/sh\n{lines}\n")
        python = PYTHON.replace("MACHINE", str(folder)).replace("DEPLOY", str(DEPLOY))
        self.tool("python3", python)

    def tool(self, name: str, text: str) -> None:
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def install(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Type it."""
        return self.type("install.sh", *arguments)

    def type(self, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Type another one."""
        return subprocess.run(
            ["sh", str(self.scripts / script), *arguments],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}", "EXTRAS": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def releases(self) -> set[str]:
        return {one.name for one in (self.folder / "opt/rlwd/releases").iterdir()}

    @property
    def current(self) -> Path:
        return (self.folder / "opt/rlwd/current").resolve(strict=True)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_stops_late_and_what_is_started_next_is_there(machine: Machine) -> None:
    """Cut off after the switch, by a signal or a disk, it takes nothing away that a link names."""
    assert machine.install("rlwd.whl").returncode == 0, machine.install("rlwd.whl").stderr
    first = machine.current
    machine.tool(
        "sync", '#!/bin/sh\ncase "$2" in */releases/*) ;; *) kill -TERM $PPID; exit 1 ;; esac\n'
    )
    done = machine.install("rlwd.whl")
    assert done.returncode != 0
    assert machine.current != first
    assert "what is started next" in done.stderr
    (machine.tools / "sync").unlink()
    # Neither of both runs: one goes back to the first.
    assert machine.install("--back").returncode == 0
    assert machine.current == first


def test_each_release_brings_its_own_units(machine: Machine) -> None:
    """All three, and none is enabled: who has no router pays for none. A release before the first with a
    router has no unit of one: going back to it takes that away, and changes all else."""
    units = machine.folder / "usr/local/lib/systemd/system"
    three = {path.name for path in DEPLOY.glob("*.service")}
    assert machine.install("rlwd.whl").returncode == 0
    (before,) = machine.current.glob("lib/python3*/site-packages/rlwd/ops/deploy")
    (before / "rlwd-router.service").unlink()
    first = machine.current
    assert machine.install("rlwd.whl").returncode == 0
    assert {path.name for path in units.iterdir()} == three
    assert not list((machine.folder / "etc").rglob("*.wants"))
    done = machine.install("--back")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in units.iterdir()} == three - {"rlwd-router.service"}
    assert machine.current == first
    assert machine.type("uninstall.sh").returncode == 0
    assert not list(units.iterdir())


def test_it_stops_early_and_nothing_has_changed(machine: Machine) -> None:
    """A config that the release does not take leaves the one before, and nothing of the new one."""
    assert machine.install("rlwd.whl").returncode == 0
    before, first = machine.releases, machine.current
    (machine.folder / "checks").write_text("exit 1")
    done = machine.install("rlwd.whl")
    assert (done.returncode, "as they were" in done.stderr) == (1, True)
    assert (machine.releases, machine.current) == (before, first)


def test_what_a_cut_off_upgrade_left_is_taken_away_first(machine: Machine) -> None:
    """Halves of releases do not fill the disk that the next upgrade needs."""
    half = machine.folder / "opt/rlwd/releases/20200101-000000"
    half.mkdir(parents=True)
    (machine.folder / "checks").write_text("exit 1")
    assert machine.install("rlwd.whl").returncode == 1
    assert machine.releases == set()


def test_a_link_in_the_state_folder_leads_root_nowhere(machine: Machine) -> None:
    """The user of rlwd may put one there; what it names stays as it was."""
    target = machine.folder / "etc/shadows"
    target.mkdir()
    target.chmod(0o755)  # Whatever the umask: a command that a test ran in this process has set it.
    state = machine.folder / "var/lib/rlwd"
    state.mkdir()
    (state / "models").symlink_to(target)
    done = machine.install("rlwd.whl")
    assert done.returncode == 0, done.stderr
    assert target.stat().st_mode & 0o777 == 0o755
    (state / "models").unlink()
    assert machine.install("rlwd.whl").returncode == 0
    assert (state / "models").is_dir()


def test_a_python_that_no_unit_sees_is_refused(machine: Machine) -> None:
    """ProtectHome hides what lies in a home: each start would fail. It is said before anything is made."""
    home = machine.folder / "root/.pyenv"
    home.mkdir(parents=True)
    shutil.move(machine.tools / "python3", home / "python3.12")
    (machine.tools / "python3").symlink_to(home / "python3.12")
    done = machine.install("rlwd.whl")
    assert done.returncode == 1
    assert f"{home}/python3.12: the units see nothing there" in done.stderr
    assert machine.releases == set()


def test_uninstalling_ends_what_runs_and_names_what_stays(machine: Machine) -> None:
    """Ingest members too, whose units are the operator's; and not while an installation is at work."""
    assert machine.install("rlwd.whl").returncode == 0
    (machine.folder / "run/systemd/system").mkdir(parents=True)
    machine.tool("systemctl", f'#!/bin/sh\necho "$@" >> "{machine.folder}/told"\n')
    units = machine.folder / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "rlwd-ingest-two.service").touch()
    with (machine.folder / "opt/rlwd/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = machine.type("uninstall.sh")
        assert (refused.returncode, "is at work" in refused.stderr) == (1, True)
    done = machine.type("uninstall.sh")
    assert done.returncode == 0, done.stderr
    assert "rlwd-*.service" in (machine.folder / "told").read_text()
    assert "rlwd-ingest-two.service is your own" in done.stderr
    assert not (machine.folder / "opt/rlwd").exists()
