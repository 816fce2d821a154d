"""SystemdMachine: a Debian in namespaces of its own whose process 1 is systemd, with rlwd installed."""

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from waiting import until
from wheel_building import build_wheel, later_wheel, small_wheel

DEPLOY = Path(__file__).parents[2] / "ops" / "deploy"
BOOT = Path(__file__).with_name("systemd_boot.sh")
DEBIAN = Path.home() / ".cache" / "rlwd" / "debian-12-systemd"
NEVER = 900.0
"""Seconds after which what is waited for does not come, on however busy a machine."""
PACKAGES = "--include=systemd,python3,python3-venv"
ASK = """
import sys, urllib.error, urllib.request as r
q = r.Request(sys.argv[1], data=sys.argv[3].encode() or None)
q.add_header("Authorization", "Bearer " + sys.argv[2])
q.add_header("Content-Type", "application/json")
try: print(r.urlopen(q).read().decode())
except urllib.error.HTTPError as e: print(e.read().decode())
"""


def debian(ask: str = "RLWD_SYSTEMD") -> Path:
    """Return the root that debootstrap made; skips the test where that, or namespaces, cannot be had."""
    if os.environ.get(ask) != "1":
        pytest.skip(f"takes minutes: {ask}=1 runs it")
    for tool in ("debootstrap", "unshare", "nsenter"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here")
    if os.geteuid() != 0:
        pytest.skip("only root may make namespaces and mounts")
    if not (DEBIAN / "done").exists():
        shutil.rmtree(DEBIAN, ignore_errors=True)
        DEBIAN.parent.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", PACKAGES, "bookworm", str(DEBIAN)]
        subprocess.run(command, check=True)
        (DEBIAN / "done").touch()
    return DEBIAN


class SystemdMachine:
    """A machine that was installed as docs/install.md says, with a model and an engine's unit.

    In /src are the wheels of what is installed, of 99.1 after it, and of 99.2, which lacks a module.
    """

    def __init__(self, folder: Path, model: Path) -> None:
        wheel = build_wheel(folder)
        self.wheel = f"/src/{wheel.name}"
        later_wheel(wheel, "99.1")
        later_wheel(wheel, "99.2", without="rlwd/daemon/config.py")
        small_wheel(folder, "packages_by_path", {"packages_by_path.pth": "/packages\n"})
        self.log = folder / "boot.log"
        mounted = folder / "machine"
        mounted.mkdir()
        namespaces = ("--pid", "--fork", "--kill-child", "--mount", "--ipc", "--uts", "--net")
        command = ["unshare", *namespaces, "--cgroup", "sh", str(BOOT), str(debian()), str(mounted)]
        command += [str(wheel), str(DEPLOY), sysconfig.get_path("purelib"), str(model)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        until(self.booted, NEVER, pause=0.2, told=self.log.read_text)

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

    def inside(self, *command: str, user: str = "root") -> list[str]:
        """Return the command that runs a command inside."""
        as_user = ["runuser", "-u", user, "--"] if user != "root" else []
        return ["nsenter", "-t", str(self.init), "-a", "-r", "-w", *as_user, *command]

    def run(self, *command: str, user: str = "root") -> str:
        """Run a command inside; return what it says."""
        done = subprocess.run(
            self.inside(*command, user=user), capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def shell(self, line: str) -> str:
        """Run a line of shell inside; return what it says."""
        return self.run("sh", "-c", line)

    def active(self, unit: str) -> str:
        """The state of a unit as systemd says it."""
        return self.run("systemctl", "is-active", unit).strip()

    def show(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, "-p", key, "--value").strip()

    def wait_shown(self, unit: str, key: str, value: str) -> None:
        """Wait until a property of a unit is this."""
        until(lambda: self.show(unit, key) == value, NEVER, pause=0.5, told=self.journal)

    def wait_active(self, *units: str) -> None:
        """Wait until units are active."""
        for unit in units:
            self.wait_shown(unit, "ActiveState", "active")

    def ask(self, url: str, token: str = "", body: str = "") -> Any:
        """Return a page's JSON, or None while nobody answers; errors count as answers."""
        told = self.run("python3", "-c", ASK, url, token, body)
        try:
            return json.loads(told)
        except ValueError:
            return None

    def journal(self) -> str:
        """The last lines of our units."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", "rlwd*", "-n", "200")[-9000:]

    def close(self) -> None:
        """End process 1, and with it everything inside."""
        self.process.kill()
        self.process.wait()
