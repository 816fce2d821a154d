"""The runbook's page: where the links of alerts lead, for whoever was woken."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from daemon_by_hand import open_daemon_ledger
from pages_by_hand import ServedPages, served

ALERTS = Path(__file__).parents[3] / "ops" / "deploy" / "alerts.yaml"
PLACE = re.compile(r"\{\{ else \}\}http://127\.0\.0\.1:8090(/\w+)\{\{ end \}\}#(\w+)$")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPages]:
    """Pages behind a token, of a daemon that has a problem."""
    folder = tmp_path_factory.mktemp("state")
    ledger = open_daemon_ledger(folder / "rlwd.db")
    with served(folder, ledger.store, 'token = "secret"') as pages:
        pages.vitals.report("engine", "http://10.0.0.7:8000 is away")
        yield pages
    ledger.store.close()


def test_every_alerts_link_leads_to_its_entry(pages: ServedPages) -> None:
    """Without a token: the place that the link names is on the page, with what to do."""
    document = yaml.safe_load(ALERTS.read_text())
    shown: dict[str, str] = {}
    for rule in (one for group in document["groups"] for one in group["rules"]):
        found = PLACE.search(rule["annotations"]["runbook_url"])
        assert found is not None, rule["alert"]
        path, anchor = found.groups()
        text = shown.setdefault(path, pages.text(path))
        entry = text.partition(f'id="{anchor}"')[2].partition("</section>")[0]
        assert rule["alert"] in entry
        assert entry.count("<dt>") == 3, rule["alert"]


def test_it_tells_strangers_nothing_of_the_daemon(pages: ServedPages) -> None:
    """Who shows no token reads what is public anyway: no problem, no link among the pages, no form."""
    text = pages.text("/runbook")
    assert "10.0.0.7" not in text
    assert "<form" not in text
    assert "<nav" not in text
    told = pages.client.get("/runbook", headers={"Authorization": "Bearer secret"})
    assert "<nav" in told.text


def test_a_name_that_points_here_reads_no_more(tmp_path: Path) -> None:
    """Where no token is asked for, a page of the web under its owner's name is nobody we know."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    with served(tmp_path, ledger.store) as pages:
        assert "<nav" in pages.text("/runbook")
        told = pages.client.get("/runbook", headers={"Host": "evil.example"})
        assert (told.status_code, "<nav" in told.text) == (200, False)
    ledger.store.close()
