"""Who opens a page waits for no count that was made before: it is made anew beside, and then shown."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from daemon_by_hand import fill, open_daemon_ledger
from ledger_by_hand import Ledger
from waiting import until

from rlwd.daemon.config import load_config
from rlwd.daemon.site import counted, pages
from rlwd.daemon.site.page_server import build_pages
from rlwd.daemon.status.flag_page import FlagPage
from rlwd.daemon.status.snapshot import describe
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port
from rlwd.streams.state.transaction import Transaction


class Counts:
    """Counts as the pages do, once it is `going`."""

    def __init__(self) -> None:
        self.made, self.waits, self.going = 0, False, threading.Event()

    def describe(self, view: Transaction, policy: str) -> dict[str, object]:
        """Count, once it may."""
        self.waits = not self.going.is_set()
        assert self.going.wait(60.0)
        self.made, self.waits = self.made + 1, False
        return describe(view, policy)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Every count takes long, and is due again at once where somebody asks."""
    counts = Counts()
    monkeypatch.setattr(pages, "describe", counts.describe)
    monkeypatch.setattr(counted, "SOON", -1.0)
    monkeypatch.setattr(counted, "MOST_OFTEN", 0.0)
    return counts


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Eight answers."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    fill(ledger, 8)
    yield ledger
    ledger.store.close()


@pytest.fixture
def client(tmp_path: Path, ledger: Ledger, counts: Counts) -> Iterator[httpx.Client]:
    """The pages of the daemon in control."""
    path, port = tmp_path / "rlwd.toml", free_port()
    path.write_text('state = "."\n[learner]\nmodel = "base"\n')
    flags = FlagPage("", lambda: None)
    server = build_pages(load_config(path), ledger.store, {}, port=port, flags=flags).server
    server.start()
    url = f"http://{LOOPBACK}:{port}"
    with httpx.Client(base_url=url, trust_env=False, timeout=60, verify=NO_TLS) as client:
        yield client
    counts.going.set()
    server.stop()


def test_who_comes_before_the_first_count_is_told(client: httpx.Client, counts: Counts) -> None:
    """The page says what it waits for and is asked for again by the browser; what counts nothing is there."""
    early = client.get("/")
    assert (early.status_code, early.headers["Refresh"]) == (503, "2")
    assert "counted for the first time" in early.text
    assert client.get("/rollouts").status_code == 200
    counts.going.set()
    until(lambda: client.get("/").status_code == 200)


def test_a_page_is_shown_while_its_counts_are_made_anew(
    client: httpx.Client, ledger: Ledger, counts: Counts
) -> None:
    """The first visitor finds them made; the next see the old ones, with their time, and soon the new."""
    counts.going.set()
    until(lambda: counts.made > 0)
    first = client.get("/statusz").json()
    assert first["generations"] == 8
    counts.going.clear()
    until(lambda: client.get("/statusz").status_code == 200 and counts.waits)
    fill(ledger, 4, prefix="t.g", at=2000.0)
    held = client.get("/statusz").json()
    assert (held["generations"], client.get("/").status_code) == (8, 200)
    counts.going.set()
    until(lambda: client.get("/statusz").json()["generations"] == 12)
    assert client.get("/statusz").json()["counted_at"] > first["counted_at"]
