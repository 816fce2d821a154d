"""The units, and the install path of README, under a real systemd.

The trial boots a Debian in namespaces of its own. It takes two minutes, and as many more for the
first debootstrap, so it runs where RLWD_SYSTEMD=1 asks for it (`make systemd`).
"""

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until
from wheel_building import build_wheel

DEPLOY = Path(__file__).parents[2] / "ops" / "deploy"
BOOT = Path(__file__).parents[1] / "support" / "systemd_boot.sh"
DEBIAN = Path.home() / ".cache" / "rlwd" / "debian-12-systemd"
UNITS = ("rlwd.service", "rlwd-gateway@.service")
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


def test_both_units_are_one_user() -> None:
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


class Machine:
    """A Debian whose process 1 is systemd."""

    def __init__(self, folder: Path, wheel: Path, model: Path) -> None:
        self.log = folder / "boot.log"
        mounted = folder / "machine"
        mounted.mkdir()
        namespaces = ("--pid", "--fork", "--kill-child", "--mount", "--ipc", "--uts", "--net")
        command = ["unshare", *namespaces, "--cgroup", "sh", str(BOOT), str(DEBIAN), str(mounted)]
        command += [str(wheel), str(DEPLOY), sysconfig.get_path("purelib"), str(model)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        until(self.booted, 120.0, told=self.log.read_text)

    def booted(self) -> bool:
        """Whether process 1 is systemd, and done with its start."""
        assert self.process.poll() is None, self.log.read_text()
        return self.init is not None and self.run("systemctl", "is-system-running").strip() in (
            "running",
            "degraded",
        )

    @property
    def init(self) -> int | None:
        """The child of `unshare`, once it has become systemd; as the host counts processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for child in map(int, children.split()):
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return child
        return None

    def run(self, *command: str, user: str = "root") -> str:
        """Run a command inside; return what it says."""
        as_user = ["runuser", "-u", user, "--"] if user != "root" else []
        done = subprocess.run(
            ["nsenter", "-t", str(self.init), "-a", "-r", "-w", *as_user, *command],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def active(self, unit: str) -> str:
        """The state of a unit as systemd says it."""
        return self.run("systemctl", "is-active", unit).strip()

    def ask(self, url: str, token: str = "", body: str = "") -> Any:
        """Return a page's JSON, or None while nobody answers; errors count as answers."""
        code = (
            "import sys, urllib.error, urllib.request as r\n"
            "q = r.Request(sys.argv[1], data=sys.argv[3].encode() or None)\n"
            "q.add_header('Authorization', 'Bearer ' + sys.argv[2])\n"
            "q.add_header('Content-Type', 'application/json')\n"
            "try: print(r.urlopen(q).read().decode())\n"
            "except urllib.error.HTTPError as e: print(e.read().decode())\n"
        )
        told = self.run("python3", "-c", code, url, token, body)
        try:
            return json.loads(told)
        except ValueError:
            return None

    def close(self) -> None:
        """End process 1, and with it everything inside."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def machine(tmp_path: Path, tiny_policy: Path) -> Iterator[Machine]:
    """A machine on which rlwd was installed as README says."""
    if os.environ.get("RLWD_SYSTEMD") != "1":
        pytest.skip("takes minutes: RLWD_SYSTEMD=1 runs it")
    for tool in ("debootstrap", "unshare", "nsenter"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here")
    if os.geteuid() != 0:
        pytest.skip("only root may make namespaces and mounts")
    if not (DEBIAN / "done").exists():
        shutil.rmtree(DEBIAN, ignore_errors=True)
        DEBIAN.parent.mkdir(parents=True, exist_ok=True)
        packages = "--include=systemd,python3,python3-venv"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, "bookworm", str(DEBIAN)], check=True
        )
        (DEBIAN / "done").touch()
    made = Machine(tmp_path, build_wheel(tmp_path), tiny_policy)
    yield made
    made.close()


@pytest.mark.timeout(900)
def test_both_units_run_as_installed(machine: Machine) -> None:
    """Daemon and gateway start before any engine, serve once one is there, share one state folder,
    keep their files to themselves, take a secret from a credential, and stop in order.
    """
    until(lambda: machine.active("rlwd") == "active", 120.0, told=lambda: _journal(machine)[-5000:])
    until(lambda: machine.active("rlwd-gateway@8080") == "active", 60.0)
    pages, gateway = "http://127.0.0.1:8090", "http://127.0.0.1:8080"
    until(lambda: "engine" in ((machine.ask(f"{pages}/readyz") or {}).get("problems") or {}))
    assert "engine: " in machine.run("systemctl", "show", "rlwd", "-p", "StatusText")
    machine.run("systemctl", "start", "engine")
    until(
        lambda: (machine.ask(f"{pages}/readyz") or {}).get("ready"),
        180.0,
        pause=0.5,
        told=lambda: _journal(machine)[-5000:],
    )
    assert "error" in machine.ask(f"{pages}/statusz", "wrong")
    assert "live" in machine.ask(f"{pages}/statusz", "hunter2")
    message = {"role": "user", "content": "hello"}
    request = json.dumps({"model": "rlwd", "messages": [message], "max_tokens": 4})
    chat = f"{gateway}/v1/chat/completions"
    until(lambda: "choices" in (machine.ask(chat, "", request) or {}), 60.0)
    until(lambda: machine.ask(f"{pages}/statusz", "hunter2")["generations"] >= 1, 60.0)
    modes = machine.run("find", "/var/lib/rlwd", "-name", "*.db", "-printf", "%m %U\n")
    owner = machine.run("id", "-u", "rlwd").strip()
    assert set(modes.split("\n")) - {""} == {f"600 {owner}"}
    assert "hunter2" not in _journal(machine)
    machine.run("systemctl", "restart", "rlwd")
    until(lambda: machine.active("rlwd") == "active", 60.0)
    machine.run("systemctl", "stop", "rlwd", "rlwd-gateway@8080")
    assert machine.run("systemctl", "show", "rlwd", "-p", "Result").strip() == "Result=success"
    assert machine.run("systemctl", "show", "rlwd", "-p", "NRestarts").strip() == "NRestarts=0"
    config = ("--config", "/etc/rlwd/rlwd.toml")
    assert "everything closes" in machine.run("rlwd", "audit", *config, user="rlwd")


def _journal(machine: Machine) -> str:
    return machine.run("journalctl", "--no-pager", "-o", "cat", "-u", "rlwd*", "-n", "200")
