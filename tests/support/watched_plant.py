"""Watched plant: a loop that a real Prometheus looks at, by our alert rules with seconds for minutes."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
from kafka_server import KafkaServer
from plant import Plant
from prometheus_server import PrometheusServer
from waiting import until

from rlwd.ops.servers.process import LOOPBACK, NO_TLS

CONSUMER = """\
#!{python}
# Kafka's own script is not among its jars: this reads as it does.
import sys
from kafka import KafkaConsumer
reader = KafkaConsumer(sys.argv[sys.argv.index("--topic") + 1], bootstrap_servers="{kafka}", auto_offset_reset="earliest", consumer_timeout_ms=5000)
print(*(each.value.decode() for each in reader), sep="\\n")
"""


def hurried(rules: str) -> str:
    """Return alert rules with seconds for minutes; three starts of a process have to fit in half an hour."""
    rules = rules.replace("[30m]", "[2h]")
    seconds = {"m": 1, "h": 60}
    rules = re.sub(
        r"(?<=for: )(\d+)([mh])", lambda found: f"{int(found[1]) * seconds[found[2]]}s", rules
    )
    return re.sub(
        r"\[(\d+)([mh])(:1m)?\]",
        lambda found: f"[{int(found[1]) * seconds[found[2]]}s{':1s' if found[3] else ''}]",
        rules,
    )


class Watched(Plant):
    """A plant that Prometheus looks at; engine and broker are the test's to take away."""

    kafka: KafkaServer
    prometheus: PrometheusServer

    def several_workers(self, which: str) -> None:
        """Let a gateway have two workers from its start on."""
        self.gateways[which].command += ["--workers", "2"]

    def workers(self, which: str) -> list[int]:
        """Return the processes of a gateway's workers."""
        process = self.gateways[which].process
        assert process is not None
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [int(each) for each in found.split()]

    def fire(self, *names: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until each of these alerts has fired, at once or one after another."""
        fired = set[str]()

        def all_fired(firing: set[str]) -> bool:
            fired.update(firing)
            return fired.issuperset(names)

        self._wait(all_fired, meanwhile)

    def end(self, *names: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until none of these fires any more."""
        self._wait(lambda firing: not set(names) & firing, meanwhile)

    def _wait(self, true: Callable[[set[str]], bool], meanwhile: Callable[[], object]) -> None:
        def looked() -> bool:
            meanwhile()
            return true(self.prometheus.firing())

        until(looked, 400.0, pause=0.5, told=lambda: f"{self.prometheus.firing()} {self.live()}")

    def named(self, problem: str) -> bool:
        """Return whether statusz, readyz and metrics all name a problem; false where none does."""
        pages = [self.get("statusz"), self.get("readyz")]
        seen = {problem in page.json()["problems"] for page in pages}
        seen.add(f'rlwd_problem{{name="{problem}"}} 1.0' in self.get("metrics").text)
        return seen == {True}

    def get(self, page: str) -> httpx.Response:
        url = f"http://{LOOPBACK}:{self.http_port}/{page}"
        return httpx.get(url, timeout=30, trust_env=False, verify=NO_TLS)

    def metric(self, line: str) -> bool:
        return f"\n{line}\n" in self.get("metrics").text
