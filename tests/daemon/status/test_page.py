"""The page for people: from real tables, over real HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from daemon_by_hand import fill, open_daemon_ledger
from ledger_by_hand import Ledger
from releases_by_hand import let_out, promote, register, version

from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.server import StatusServer, Vitals
from rlwd.daemon.status.snapshot import difference_of, read_status
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.servers.process import LOOPBACK, free_port
from rlwd.ops.stages.settings import RolloutSettings


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Tables in which nothing has happened."""
    return open_daemon_ledger(tmp_path / "rlwd.db")


@pytest.fixture
def page(ledger: Ledger) -> Iterator[tuple[str, Vitals]]:
    """The page's address, and what the loop may say on it."""
    vitals, port = Vitals(), free_port()
    server = StatusServer(
        vitals,
        Metrics().registry,
        lambda: read_status(ledger.store, "policy"),
        host=LOOPBACK,
        port=port,
    )
    server.start()
    yield f"http://{LOOPBACK}:{port}/", vitals
    server.stop()


def look(address: str) -> str:
    answer = httpx.get(address, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def test_before_anything_happened_it_says_so(page: tuple[str, Vitals]) -> None:
    """An empty state is a page too."""
    text = look(page[0])
    assert "nothing was offered yet" in text
    assert "nothing was delivered yet" in text


def test_it_says_what_serves_what_was_learned_and_what_is_wrong(
    page: tuple[str, Vitals], ledger: Ledger, tmp_path: Path
) -> None:
    """Counts, versions with their stage, the loop's own words and every problem by name."""
    fill(ledger, 16)
    controller = RolloutController("policy", RolloutSettings())
    versions = [version(number, tmp_path) for number in range(3)]
    register(ledger.store, controller, versions[0])
    promote(ledger.store, controller, versions[1])
    let_out(ledger.store, controller, versions[2])
    address, vitals = page
    vitals.live = {"champion": versions[1].version, "learner": "step 3 of 9", "epoch": 7}
    vitals.report("engine", "http://one: away")
    text = look(address)
    for said in (versions[1].version, "settled", "canary", "step 3 of 9", "epoch 7", ">16<"):
        assert said in text
    assert "not ready" in text
    assert "http://one: away" in text
    assert text.index(versions[2].version) < text.index(f"<td>{versions[1].version}")


def test_what_others_wrote_is_not_markup(page: tuple[str, Vitals], ledger: Ledger) -> None:
    """A reason that an operator typed cannot put a script on the page."""
    address, vitals = page
    vitals.report("engine", "<script>alert(1)</script>")
    assert "<script>" not in look(address)


def test_numbers_that_are_none_are_left_out() -> None:
    """Before anything was compared a person reads nothing, and no `nan` or `inf`."""
    nothing, endless = float("nan"), float("inf")
    assert (
        difference_of(None, None) == difference_of(nothing, 0.1) == difference_of(endless, 1) == ""
    )
    assert difference_of(0.25, 0.1) == "+0.250 ± 0.100"
    assert difference_of(0.25, endless) == difference_of(0.25, None) == "+0.250"
