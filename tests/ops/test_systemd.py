"""The install path of docs/install.md under a real systemd.

A Debian is booted in namespaces of its own. It takes minutes, and two more for the first debootstrap,
so it runs where RLWD_SYSTEMD=1 asks for it (`make systemd`). The tests go on from one another.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_upgrades import (
    ALL,
    CONFIG,
    INSTALL,
    REQUEST,
    People,
    judged,
    run_by,
    started_next,
    typed,
)
from systemd_machine import NEVER, SystemdMachine
from waiting import until

from rlwd.daemon.exit_status import FAULT, LATER

pytestmark = pytest.mark.timeout(3600)
PAGES, GATEWAY, SECOND = (f"http://127.0.0.1:{port}" for port in (8090, 8080, 8081))
CHAT = f"{GATEWAY}/v1/chat/completions"
UNITS = ALL[:2]


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path
) -> Iterator[SystemdMachine]:
    """A machine on which rlwd was installed, and that started its units at boot."""
    folder = tmp_path_factory.mktemp("machine")
    made = SystemdMachine(folder, tiny_policy)
    yield made
    made.close()


def ready(machine: SystemdMachine) -> None:
    """Wait until the whole loop is well."""
    until(
        lambda: (machine.ask(f"{PAGES}/readyz") or {}).get("ready"),
        NEVER,
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
    until(lambda: "engine" in ((machine.ask(f"{PAGES}/readyz") or {}).get("problems") or {}), NEVER)
    assert "engine: " in machine.show("rlwd", "StatusText")
    machine.run("systemctl", "start", "engine")
    ready(machine)
    assert "error" in machine.ask(f"{PAGES}/statusz", "wrong")
    assert "live" in machine.ask(f"{PAGES}/statusz", "hunter2")
    assert "error" in machine.ask(CHAT, "wrong", REQUEST)
    until(lambda: "choices" in (machine.ask(CHAT, "hunter3", REQUEST) or {}), NEVER)
    until(lambda: generations(machine) >= 1, NEVER)
    modes = machine.run("find", "/var/lib/rlwd", "-name", "*.db", "-printf", "%m %U\n")
    owner = machine.run("id", "-u", "rlwd").strip()
    assert set(modes.split("\n")) - {""} == {f"600 {owner}"}
    assert "hunter" not in machine.journal()


def test_a_router_is_there_and_nobody_pays_for_it(machine: SystemdMachine) -> None:
    """Its unit is not enabled; started where adapters are learned it ends with status 2, once."""
    assert machine.show("rlwd-router", "UnitFileState") == "disabled"
    assert machine.show("rlwd-router", "ActiveState") == "inactive"
    machine.run("systemctl", "start", "--no-block", "rlwd-router")
    machine.wait_shown("rlwd-router", "ActiveState", "failed")
    assert machine.show("rlwd-router", "ExecMainStatus") == str(FAULT)
    machine.run("systemctl", "reset-failed", "rlwd-router")


def test_a_restart_of_a_gateway_refuses_nobody(machine: SystemdMachine) -> None:
    """People who ask while it is restarted, three times, all get their answer."""
    people = People(machine, GATEWAY)
    before = machine.show(UNITS[1], "MainPID")
    for _ in range(3):
        assert machine.run("systemctl", "restart", UNITS[1]) == ""
    assert machine.show(UNITS[1], "MainPID") != before
    told = people.told()
    assert told.keys() == {"answers", "judged"}, told
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
    until(lambda: (machine.ask(f"{PAGES}/livez") or {}).get("alive"), NEVER, pause=0.5)
    machine.run("systemctl", "start", "--no-block", *UNITS)
    until(lambda: int(machine.show("rlwd", "NRestarts")) >= 2, NEVER, pause=0.5)
    assert machine.show("rlwd", "ExecMainStatus") in (str(LATER), "0")
    assert f"status={LATER}" in machine.journal()
    machine.run("systemctl", "stop", "other")
    machine.wait_active(*UNITS)


def test_an_upgrade_keeps_config_and_state(machine: SystemdMachine) -> None:
    """install.sh is run again over what runs: the config is as it was, and after a restart the state."""
    ready(machine)
    machine.shell("echo '# mine' >> /etc/rlwd/rlwd.toml")
    before, known = machine.run("sha256sum", "/etc/rlwd/rlwd.toml"), generations(machine)
    said = machine.shell(f"{INSTALL} {machine.wheel}")
    assert "Installed." in said, said
    assert machine.run("sha256sum", "/etc/rlwd/rlwd.toml") == before
    assert {machine.active(unit) for unit in UNITS} == {"active"}
    assert machine.run("systemctl", "restart", *UNITS) == ""
    ready(machine)
    assert generations(machine) >= known > 0


def test_an_upgrade_under_traffic_refuses_nobody(machine: SystemdMachine) -> None:
    """By the runbook's commands, there and back, while people ask both gateways and judge what they get:
    no request is refused, each answer and each judgement is in the ledger, what runs goes on with files
    that do not change until it is restarted, and a release that something runs is kept.
    """
    machine.run("systemctl", "start", ALL[2])
    machine.wait_active(*ALL)
    ready(machine)
    known, accepted, first = generations(machine), judged(machine), started_next(machine)
    assert {run_by(machine, unit) for unit in ALL[:2]} == {f"/opt/rlwd/releases/{first}"}
    files = (
        f"cd /opt/rlwd/releases/{first} && find . -type f -exec sha256sum {{}} + | sort | sha256sum"
    )
    before, engine = machine.shell(files), run_by(machine, "engine")
    people = People(machine, GATEWAY, SECOND)
    for line in typed(machine, "Upgrade", "rlwd-99.1-*.whl"):
        if "WHEEL" in line:
            assert {run_by(machine, unit) for unit in UNITS} == {f"/opt/rlwd/releases/{first}"}
    second = started_next(machine)
    assert {run_by(machine, unit) for unit in ALL} == {f"/opt/rlwd/releases/{second}"}
    assert f"{second} (current): rlwd 99.1" in machine.shell("sh /src/deploy/install.sh --list")
    assert machine.shell(files) == before
    assert run_by(machine, "engine") == engine
    assert "rlwd" in machine.run("ls", f"{engine}/bin")
    for _ in typed(machine, "Going back", ""):
        pass
    assert {run_by(machine, unit) for unit in ALL} == {f"/opt/rlwd/releases/{first}"}
    told = people.told()
    assert told.keys() == {"answers", "judged"}, told
    until(lambda: generations(machine) == known + told["answers"], NEVER, pause=0.5)
    until(lambda: judged(machine) == accepted + told["judged"], NEVER, pause=0.5)
    assert "everything closes" in machine.run("rlwd", "audit", *CONFIG, user="rlwd")


def test_an_install_that_fails_changes_nothing(machine: SystemdMachine) -> None:
    """A wheel that lacks a module is not switched to; nothing of it is left, and what runs runs on."""
    ready(machine)
    releases = "ls /opt/rlwd/releases; readlink /opt/rlwd/current /opt/rlwd/previous"
    before = machine.shell(releases), [machine.show(unit, "MainPID") for unit in ALL]
    said = machine.shell(f"{INSTALL} /src/rlwd-99.2-*.whl; echo status $?")
    assert "as they were" in said
    assert "status 1" in said
    assert (machine.shell(releases), [machine.show(unit, "MainPID") for unit in ALL]) == before


def test_uninstalling_keeps_the_state(machine: SystemdMachine) -> None:
    """In order: all that was served closes; afterwards only config, state and user are left, and a new
    installation goes on from them; so does one over an environment that stands in /opt/rlwd itself, with
    what was added to that, and back. With --purge nothing is left.
    """
    machine.run("systemctl", "stop", *ALL)
    assert "everything closes" in machine.run("rlwd", "audit", *CONFIG, user="rlwd")
    known = machine.run("sha256sum", "/etc/rlwd/rlwd.toml", "/var/lib/rlwd/rlwd.db")
    said = machine.shell("sh /src/deploy/uninstall.sh")
    assert "rlwd is gone." in said, said
    assert machine.show("rlwd", "LoadState") == "not-found"
    assert machine.shell("ls -d /opt/rlwd /usr/local/bin/rlwd 2>/dev/null") == ""
    assert machine.run("sha256sum", "/etc/rlwd/rlwd.toml", "/var/lib/rlwd/rlwd.db") == known
    added = "/src/packages_by_path-1.0-py3-none-any.whl"
    machine.shell(
        "rm /etc/rlwd/packages.txt; python3 -m venv /opt/rlwd; /opt/rlwd/bin/pip install --quiet --no-deps"
        f" --no-index {machine.wheel} {added}; ln -s /opt/rlwd/bin/rlwd /usr/local/bin/rlwd"
    )
    said = machine.shell(f"{INSTALL} {machine.wheel}")
    assert "Installed." in said, said
    assert added in machine.run("cat", "/etc/rlwd/packages.txt")
    machine.run("systemctl", "start", UNITS[1])
    assert run_by(machine, UNITS[1]).startswith("/opt/rlwd/releases/2")
    assert "in-place (current)" in machine.shell("sh /src/deploy/install.sh --back")
    machine.run("systemctl", "restart", UNITS[1])
    assert run_by(machine, UNITS[1]) == "/opt/rlwd"
    machine.run("systemctl", "start", *UNITS)
    machine.wait_active(*UNITS)
    until(lambda: generations(machine) > 0, NEVER, pause=0.5)
    used = machine.shell("sh /src/deploy/uninstall.sh --purge")
    assert "currently used by process" in used, "the engine runs as that user"
    assert "rlwd.db" in machine.shell("ls /var/lib/rlwd")
    machine.run("systemctl", "stop", "engine")
    assert "with its config and its state" in machine.shell("sh /src/deploy/uninstall.sh --purge")
    left = "ls -d /etc/rlwd /var/lib/rlwd /opt/rlwd 2>/dev/null; getent passwd rlwd"
    assert machine.shell(left) == ""
