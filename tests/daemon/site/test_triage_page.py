"""The page of triage: the newest report that was filed, with answers to read, and what it says without one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_by_hand import decide, open_daemon_ledger
from pages_by_hand import ServedPages, served
from triage_by_hand import group, report

from rlwd.daemon.triage.report_files import write_report
from rlwd.ops.triage.triage_report import DriftSeen


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[ServedPages]:
    """Pages of a state that has one answer, and files a report each week."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    decide(ledger, "s.g1", 1000.0)
    with served(tmp_path, ledger.store, more='[triage]\nevery = "week"\n') as pages:
        yield pages
    ledger.store.close()


def test_each_group_leads_to_the_answers_that_show_it(pages: ServedPages, tmp_path: Path) -> None:
    """From the overview to the newest week; a name that a model chose is text, and older weeks are one link away."""
    write_report(tmp_path / "triage", report("2026-11-09", group("old news")))
    assert "/triage" in pages.text("/").split("<main", 1)[1]
    new = group(
        "<b>search</b> fails", state="spiking", evidence=("s.g1",), explains="policy@v000002-1"
    )
    drift = DriftSeen(
        version="policy@v000002-1",
        against="its predecessor",
        behaviour="tools:<i>mail",
        rate=0.61,
        reference=0.1,
        low=0.3,
        high=0.7,
        bar=0.1,
        passed=True,
        looked="2026-11-23",
    )
    week = report("2026-11-16", new, group("undone in reply"), drift=(drift,))
    write_report(tmp_path / "triage", week)
    text = pages.text("/triage")
    assert "2026-11-16 up to 2026-11-23: 0 new, 1 spiking, 1 steady, 0 gone" in text
    assert "&lt;b&gt;search&lt;/b&gt; fails" in text
    assert "<b>search" not in text
    assert "30 of 70 (42.9 %)" in text
    assert 'href="/answers?version=policy%40v000002-1"' in text
    assert "explains it" in text
    assert 'href="/answers/s.g1"' in text
    assert pages.client.get("/answers/s.g1").status_code == 200
    assert "tools:&lt;i&gt;mail" in text
    assert "+0.300 to +0.700" in text
    assert '<span class="tag bad">passed</span>' in text
    older = pages.text("/triage?since=2026-11-09")
    assert "old news" in older
    assert "old news" not in text
    assert 'href="/triage?since=2026-11-09"' in text


def test_without_a_report_it_says_so(pages: ServedPages, tmp_path: Path) -> None:
    """None yet, none of those days, and one that a disk damaged are pages too."""
    assert "No report was filed yet: the first comes when a week" in pages.text("/triage")
    assert "/triage" not in pages.text("/").split("<main", 1)[1]
    assert pages.client.get("/triage?since=2026-11-09").status_code == 404
    assert pages.client.get("/triage?week=1").status_code == 400
    (tmp_path / "triage").mkdir()
    (tmp_path / "triage" / "triage-2026-11-16.json").write_bytes(b'{"policy": "\xff')
    assert "The report cannot be read" in pages.text("/triage")
