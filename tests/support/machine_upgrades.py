"""Machine upgrades: what is done to a SystemdMachine's releases, what is seen of them, and people meanwhile."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from runbook_steps import commands
from systemd_machine import SystemdMachine

REQUEST = json.dumps(
    {"model": "rlwd", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
)
ALL = ("rlwd", "rlwd-gateway@8080", "rlwd-gateway@8081")
CONFIG = ("--config", "/etc/rlwd/rlwd.toml")
INSTALL = 'PIP_OPTIONS="--no-deps --no-index --quiet --find-links /src" sh /src/deploy/install.sh'
PEOPLE = """
import collections, json, os, sys, threading, urllib.request as r, uuid
seen = []
def tell(gateways, path, body):
    for number, gateway in enumerate(gateways, 1):
        q = r.Request(gateway + path, data=json.dumps(body).encode())
        q.add_header("Authorization", "Bearer hunter3")
        q.add_header("Content-Type", "application/json")
        try: return json.loads(r.urlopen(q, timeout=300).read())
        except Exception as problem: seen.append(f"{path}, refused by {number}: {problem!r}")
def one(turn):
    while not os.path.exists("/tmp/enough"):
        turn += 1
        gateways = sys.argv[2:][:: (-1) ** turn]
        answer = tell(gateways, "/v1/chat/completions", json.loads(sys.argv[1]))
        if answer is None: continue
        seen.append("answers")
        # Not all alike: of answers that all earn the same none can be learned from, and that is a problem.
        signal = {"kind": ("accepted", "rejected")[turn // 2 % 2]}
        said = {"feedback_id": uuid.uuid4().hex, "generation_id": answer["id"], "signal": signal}
        if tell(gateways, "/v1/feedback", said): seen.append("judged")
threads = [threading.Thread(target=one, args=(n,)) for n in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print(json.dumps(collections.Counter(seen)))
"""


def judged(machine: SystemdMachine) -> int:
    """How many of the things that people did the ledger has."""
    ask = "import sqlite3; print(sqlite3.connect('file:/var/lib/rlwd/rlwd.db?mode=ro', uri=True)"
    return int(
        machine.run(
            "python3", "-c", f"{ask}.execute('SELECT COUNT(*) FROM feedback').fetchone()[0])"
        )
    )


class People:
    """They ask gateways, the next one where the first refuses, and accept half of what they get."""

    def __init__(self, machine: SystemdMachine, *gateways: str) -> None:
        self.machine = machine
        machine.run("rm", "-f", "/tmp/enough")
        command = machine.inside("python3", "-c", PEOPLE, REQUEST, *gateways)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def told(self) -> dict[str, int]:
        """End, and return how many answers they got and judged, and every refusal."""
        self.machine.run("touch", "/tmp/enough")
        said, _ = self.process.communicate(timeout=600)
        return dict(json.loads(said))


def started_next(machine: SystemdMachine) -> str:
    """The release that is started next, by name."""
    return Path(machine.run("readlink", "/opt/rlwd/current").strip()).name


def run_by(machine: SystemdMachine, unit: str) -> str:
    """The environment that a unit's process runs from."""
    line = machine.shell(f"tr '\\0' '\\n' < /proc/{machine.show(unit, 'MainPID')}/cmdline")
    return line.partition("/bin/python")[0]


def typed(machine: SystemdMachine, heading: str, wheel: str) -> Iterator[str]:
    """Type what the runbook says under a heading, for both gateways; yield each line once it ended well."""
    install, gateway = "sh ops/deploy/install.sh", f"systemctl restart {ALL[1]}"
    for line in commands(heading):
        told = re.sub("^rlwd .*", rf"runuser -u rlwd -- \g<0> {' '.join(CONFIG)}", line)
        told = told.replace(f"{install} WHEEL", f"{INSTALL} /src/{wheel}")
        told = told.replace(install, "sh /src/deploy/install.sh")
        told = told.replace(gateway, f"{gateway} && systemctl restart {ALL[2]}")
        said = machine.shell(f"{{ {told}; }} 2>&1; echo status $?")
        assert said.endswith("status 0\n"), f"{line}\n{said}"
        yield line
