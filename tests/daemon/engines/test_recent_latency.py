"""How long a gateway's requests take now, as it tells the daemon."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from gateway_rig import HELLO, GatewayRig, LoopThread, wait_for

from rlwd.daemon.engines.recent_latency import WINDOW_SECONDS, RecentLatency
from rlwd.ops.flags.gateway_report import read_reports


class Requests:
    """Requests at times that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.latency = RecentLatency(lambda: self.now)

    def ended(self, seconds: float, finish: str = "stop") -> None:
        with self.latency.waiting(self.now - seconds, lambda: finish):
            pass

    @property
    def p95(self) -> float | None:
        return self.latency.p95()


def test_it_is_of_the_last_seconds() -> None:
    """The 95th percentile by nearest rank; what ended before the window counts no more."""
    requests = Requests()
    assert requests.p95 is None
    for number in range(1, 101):
        requests.ended(number / 100)
    assert requests.p95 == pytest.approx(0.95)
    requests.now += WINDOW_SECONDS
    assert requests.p95 is None


def test_a_request_that_hangs_counts_before_it_ends() -> None:
    """With what it has taken so far, and only where that is longer than others take."""
    requests = Requests()
    requests.ended(2.0)
    with requests.latency.waiting(requests.now, lambda: "stop"):
        requests.now += 1.0
        assert requests.p95 == 2.0
        requests.now += 4.0
        assert requests.p95 == 5.0
    with requests.latency.waiting(requests.now, lambda: "stop"):
        requests.now += 3600.0
        assert requests.p95 == 3600.0


@pytest.mark.parametrize("finish", ["refused", "error"])
def test_what_nobody_waited_for_does_not_count(finish: str) -> None:
    """A refusal that comes at once does not make slow answers look fast."""
    requests = Requests()
    requests.ended(0.001, finish)
    assert requests.p95 is None


def told(client: httpx.Client) -> float | None:
    lines = client.get("/metrics").text.splitlines()
    found = [
        one.split()[1] for one in lines if one.startswith("rlwd_gateway_recent_latency_seconds ")
    ]
    return float(found[0]) if found else None


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


def test_it_is_told_while_people_ask(tmp_path: Path, loop: LoopThread) -> None:
    """The report beside the flags and the metric have it; before the first request neither has."""
    with ExitStack() as stack:
        rig = GatewayRig(tmp_path, loop, stack)
        rig.set_flags()
        client = rig.open()
        said: Callable[[], float | None] = lambda: next(read_reports(rig.flags)).p95_seconds
        wait_for(lambda: any(read_reports(rig.flags)))
        assert (said(), told(client)) == (None, None)
        rig.engine.pause = 0.3
        assert client.post("/v1/chat/completions", json=HELLO).status_code == 200
        assert (told(client) or 0.0) >= 0.3
        wait_for(lambda: (said() or 0.0) >= 0.3)
