"""The install path of docs/install.md under a real systemd.

A Debian is booted in namespaces of its own. It takes minutes, and two more for the first debootstrap,
so it runs where RLWD_SYSTEMD=1 asks for it (`make systemd`). The tests go on from one another.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from systemd_machine import SystemdMachine
from waiting import until
from wheel_building import build_wheel

from rlwd.daemon.exit_status import FAULT, LATER

pytestmark = pytest.mark.timeout(1800)
PAGES, GATEWAY = "http://127.0.0.1:8090", "http://127.0.0.1:8080"
CHAT = f"{GATEWAY}/v1/chat/completions"
REQUEST = json.dumps(
    {"model": "rlwd", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
)
UNITS = ("rlwd", "rlwd-gateway@8080")
CONFIG = ("--config", "/etc/rlwd/rlwd.toml")
INSTALL = 'PIP_OPTIONS="--no-deps --no-index --quiet --force-reinstall" sh /src/deploy/install.sh /src/*.whl'
PEOPLE = """
import collections, json, os, sys, threading, urllib.request as r
seen = collections.Counter()
def one():
    while not os.path.exists("/tmp/enough"):
        q = r.Request(sys.argv[1], data=sys.argv[2].encode())
        q.add_header("Authorization", "Bearer hunter3")
        q.add_header("Content-Type", "application/json")
        try: seen[r.urlopen(q, timeout=300).status] += 1
        except Exception as problem: seen[repr(problem)] += 1
threads = [threading.Thread(target=one) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path
) -> Iterator[SystemdMachine]:
    """A machine on which rlwd was installed, and that started its units at boot."""
    folder = tmp_path_factory.mktemp("machine")
    made = SystemdMachine(folder, build_wheel(folder), tiny_policy)
    yield made
    made.close()


def ready(machine: SystemdMachine) -> None:
    """Wait until the whole loop is well."""
    until(
        lambda: (machine.ask(f"{PAGES}/readyz") or {}).get("ready"),
        300.0,
        pause=0.5,
        told=machine.journal,
    )


def generations(machine: SystemdMachine) -> int:
    return int((machine.ask(f"{PAGES}/statusz", "hunter2") or {}).get("generations", 0))


def test_both_units_run_as_installed(machine: SystemdMachine) -> None:
    """Daemon and gateway are ready before any engine is, and serve once one is there; each takes its
    secret; they share one state folder and keep its files to themselves.
    """
    machine.wait_active(*UNITS)
    until(lambda: "engine" in ((machine.ask(f"{PAGES}/readyz") or {}).get("problems") or {}))
    assert "engine: " in machine.show("rlwd", "StatusText")
    machine.run("systemctl", "start", "engine")
    ready(machine)
    assert "error" in machine.ask(f"{PAGES}/statusz", "wrong")
    assert "live" in machine.ask(f"{PAGES}/statusz", "hunter2")
    assert "error" in machine.ask(CHAT, "wrong", REQUEST)
    until(lambda: "choices" in (machine.ask(CHAT, "hunter3", REQUEST) or {}), 60.0)
    until(lambda: generations(machine) >= 1, 60.0)
    modes = machine.run("find", "/var/lib/rlwd", "-name", "*.db", "-printf", "%m %U\n")
    owner = machine.run("id", "-u", "rlwd").strip()
    assert set(modes.split("\n")) - {""} == {f"600 {owner}"}
    assert "hunter" not in machine.journal()


def test_a_restart_of_a_gateway_refuses_nobody(machine: SystemdMachine) -> None:
    """People who ask while it is restarted, three times, all get their answer."""
    people = subprocess.Popen(
        machine.inside("python3", "-c", PEOPLE, CHAT, REQUEST), stdout=subprocess.PIPE, text=True
    )
    before = machine.show(UNITS[1], "MainPID")
    for _ in range(3):
        assert machine.run("systemctl", "restart", UNITS[1]) == ""
    assert machine.show(UNITS[1], "MainPID") != before
    machine.run("touch", "/tmp/enough")
    told, _ = people.communicate(timeout=600)
    assert json.loads(told).keys() == {"200"}, told
    assert machine.show(UNITS[1], "NFileDescriptorStore") == "1"


def test_what_is_killed_comes_back(machine: SystemdMachine) -> None:
    """After a SIGKILL both are started again, and the daemon goes on from its tables."""
    before, known = {unit: machine.show(unit, "MainPID") for unit in UNITS}, generations(machine)
    for unit in UNITS:
        machine.run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", unit)
        machine.wait_shown(unit, "NRestarts", "1")
    machine.wait_active(*UNITS)
    assert all(machine.show(unit, "MainPID") not in ("0", before[unit]) for unit in UNITS)
    ready(machine)
    assert generations(machine) >= known > 0


def test_what_is_wrong_is_not_tried_again(machine: SystemdMachine) -> None:
    """A misspelt key ends both with status 2, once, with the line that says so; nothing holds the port."""
    machine.run("systemctl", "stop", *UNITS)
    assert {machine.show(unit, "Result") for unit in UNITS} == {"success"}
    machine.shell("sed -i '1i polcy = \"x\"' /etc/rlwd/rlwd.toml")
    machine.run("systemctl", "start", "--no-block", *UNITS)
    for unit in UNITS:
        machine.wait_shown(unit, "ActiveState", "failed")
        assert machine.show(unit, "ExecMainStatus") == str(FAULT)
        assert machine.show(unit, "NRestarts") == "0"
    assert "polcy" in machine.journal()
    for unit in UNITS:
        said = machine.run("journalctl", "--no-pager", "-o", "cat", "-u", unit, "-p", "err")
        assert "rlwd: " in said, "the runbook's first command shows why"
        assert "polcy" in said
    assert machine.ask(f"{GATEWAY}/livez") is None
    machine.shell("sed -i 1d /etc/rlwd/rlwd.toml")


def test_what_may_pass_is_tried_until_it_does(machine: SystemdMachine) -> None:
    """While another daemon has the lease the unit ends with 75 and is tried again; then it runs."""
    machine.shell(
        "systemd-run --quiet --unit other -p User=rlwd -p KillSignal=SIGKILL"
        " -p LoadCredential=http-token:/etc/rlwd/secrets/http-token rlwd run " + " ".join(CONFIG)
    )
    until(lambda: (machine.ask(f"{PAGES}/livez") or {}).get("alive"), 120.0, pause=0.5)
    machine.run("systemctl", "start", "--no-block", *UNITS)
    until(lambda: int(machine.show("rlwd", "NRestarts")) >= 2, 120.0, pause=0.5)
    assert machine.show("rlwd", "ExecMainStatus") in (str(LATER), "0")
    assert f"status={LATER}" in machine.journal()
    machine.run("systemctl", "stop", "other")
    machine.wait_active(*UNITS)


def test_an_upgrade_keeps_config_and_state(machine: SystemdMachine) -> None:
    """install.sh is run again over what runs: the config is as it was, and after a restart the state."""
    ready(machine)
    machine.shell("echo '# mine' >> /etc/rlwd/rlwd.toml")
    before, known = machine.run("sha256sum", "/etc/rlwd/rlwd.toml"), generations(machine)
    said = machine.shell(INSTALL)
    assert "Installed." in said, said
    assert machine.run("sha256sum", "/etc/rlwd/rlwd.toml") == before
    assert {machine.active(unit) for unit in UNITS} == {"active"}
    assert machine.run("systemctl", "restart", *UNITS) == ""
    ready(machine)
    assert generations(machine) >= known > 0


def test_uninstalling_keeps_the_state(machine: SystemdMachine) -> None:
    """In order: all that was served closes; afterwards only config, state and user are left, and a new
    installation goes on from them. With --purge nothing is left.
    """
    machine.run("systemctl", "stop", *UNITS)
    assert "everything closes" in machine.run("rlwd", "audit", *CONFIG, user="rlwd")
    known = machine.run("sha256sum", "/etc/rlwd/rlwd.toml", "/var/lib/rlwd/rlwd.db")
    said = machine.shell("sh /src/deploy/uninstall.sh")
    assert "rlwd is gone." in said, said
    assert machine.show("rlwd", "LoadState") == "not-found"
    assert machine.shell("ls -d /opt/rlwd /usr/local/bin/rlwd 2>/dev/null") == ""
    assert machine.run("sha256sum", "/etc/rlwd/rlwd.toml", "/var/lib/rlwd/rlwd.db") == known
    machine.shell(
        "python3 -m venv /opt/rlwd; echo /packages > /opt/rlwd/lib/python3.11/site-packages/p.pth"
    )
    assert "Installed." in machine.shell(INSTALL)
    machine.run("systemctl", "start", *UNITS)
    machine.wait_active(*UNITS)
    until(lambda: generations(machine) > 0, 60.0, pause=0.5)
    used = machine.shell("sh /src/deploy/uninstall.sh --purge")
    assert "currently used by process" in used, "the engine runs as that user"
    assert "rlwd.db" in machine.shell("ls /var/lib/rlwd")
    machine.run("systemctl", "stop", "engine")
    assert "with its config and its state" in machine.shell("sh /src/deploy/uninstall.sh --purge")
    left = "ls -d /etc/rlwd /var/lib/rlwd /opt/rlwd 2>/dev/null; getent passwd rlwd"
    assert machine.shell(left) == ""
