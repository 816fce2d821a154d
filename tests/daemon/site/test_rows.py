"""Rows that lead on: gateways, partitions, refused records, tools and parts of the reward spec."""

import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from daemon_by_hand import FEEDBACK
from ledger_by_hand import feedback
from pages_by_hand import ServedPages, served
from places_by_hand import new_schema
from told_ledger import EVIL, SECRET, ToldLedger, told_ledger

from rlwd.ops.flags import intents_table
from rlwd.ops.flags.assignment import ServedVersion
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.flags.gateway_report import GatewayReport, write_report
from rlwd.ops.flags.gateways_table import put_reports
from rlwd.ops.rollout import champions_table
from rlwd.streams.events.signals import Accepted, Edited, ToolResult
from rlwd.streams.state.transaction import Transaction

LOST = "never came, my friend.g1"
TOOL = "bash; rm -rf"


def story(folder: Path, url: str = "") -> ToldLedger:
    """Add to a told state what rows lead to: calls of tools, refused records, feedback on nothing."""
    told = told_ledger(folder, new_schema(url) if url else None)
    ledger = told.ledger
    for number, name in enumerate((*told.trained[:2], told.edited)):
        signal = ToolResult(tool=TOOL if number else "search", error_class=None)
        said = feedback(f"{name}.call", name, signal, 9600.0 + number)
        ledger.take(said, partition=FEEDBACK)
    text = Edited(final_text=SECRET)
    ledger.take(feedback("lost", LOST, text, 9700.0), partition=FEEDBACK)
    ledger.take(b'{"type": "x", "source": "/shop", "data": {"text": "%s"}}' % SECRET.encode())
    for number in range(60):
        said = feedback(f"late{number}", "", Accepted(), 9800.0 + number)
        ledger.take(said.replace(b'"kind":"accepted"', b'"kind":1'), partition=FEEDBACK)
    ledger.close(9_000_000.0)
    return told


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToldLedger]:
    """The state."""
    made = story(tmp_path_factory.mktemp("state"))
    yield made
    made.ledger.store.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the flag file is."""
    return tmp_path_factory.mktemp("config")


@pytest.fixture(scope="module")
def pages(told: ToldLedger, folder: Path) -> Iterator[ServedPages]:
    """Its pages."""
    with served(folder, told.ledger.store) as pages:
        yield pages


def rows_of(text: str) -> list[str]:
    """Return the rows of all tables that say something."""
    rows = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*<td.*?</tr>", text, re.DOTALL)
    return [row for row in rows if "colspan" not in row]


def led_to(text: str, words: str) -> str:
    """Return where the link with these words leads."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>{re.escape(words)}</a>', text)
    assert found is not None, words
    return unescape(found[1])


def listed(text: str) -> set[str]:
    """Return the answers on a page."""
    return set(re.findall(r'class="id" href="/answers/([^"]+)"', text))


def intend(tx: Transaction, generation: int, at: float) -> None:
    """Decide on flags by which the champion serves everybody."""
    found = champions_table.champion(tx, "policy")
    champion = ServedVersion(version=found.version, digest=found.digest)
    state = FlagState(
        policy="policy", generation=generation, salt="s", champion=champion, anchor=champion
    )
    intents_table.intend(tx, state, at)
    intents_table.confirm(tx, "policy", generation, at)


def test_a_refused_record_leads_to_why_and_what_to_do(pages: ServedPages) -> None:
    """From the ledger's partition by its list to the record: reason, names, the answer; and no text."""
    ledger = pages.text("/ledger")
    assert [row for row in rows_of(ledger.partition('id="records"')[2]) if "<a " not in row] == []
    partition = pages.text(led_to(ledger, "feedback/0"))
    assert "Refused" in partition
    pages_seen, records = 1, set[str]()
    while True:
        records |= set(re.findall(r'href="(/records/feedback/0/\d+)"', partition))
        found = re.search(r'href="([^"]+)" rel="next"', partition)
        if found is None:
            break
        partition, pages_seen = pages.text(unescape(found[1])), pages_seen + 1
    assert (len(records), pages_seen) == (61, 2)
    told = {path: pages.text(path) for path in records}
    assert not [path for path, text in told.items() if SECRET in text]
    lost = next(text for text in told.values() if "unknown_generation" in text)
    assert LOST in lost
    assert 'href="/problems#rlwddeadletters"' in lost
    same = pages.text(led_to(lost, "Others that were refused for the same"))
    assert len(re.findall(r'href="/records/feedback/0/\d+"', same)) == 1
    junk = pages.text(led_to(pages.text("/ledger"), "generations/0"))
    of_shop = pages.text(re.findall(r'href="(/records/generations/0/\d+)"', junk)[0])
    assert "/shop" in of_shop
    assert SECRET not in of_shop
    assert pages.client.get("/records/feedback/0/99999").status_code == 404
    assert pages.client.get("/records/other/0").status_code == 404
    assert pages.client.get("/records/feedback/x").status_code == 400


def test_a_tool_leads_to_the_answers_that_called_it(pages: ServedPages, told: ToldLedger) -> None:
    """Not to those that called another one."""
    assert listed(pages.text("/answers?tool=search")) == {told.trained[0]}
    query = "/answers?tool=bash%3B+rm+-rf"
    assert listed(pages.text(query)) == {told.trained[1], told.edited}
    assert "Answers, that called bash; rm -rf" in pages.text(query)
    assert pages.client.get(f"{query}&signal=edited").status_code == 400


def test_a_part_of_the_spec_leads_to_the_answers_on_which_it_says_something(
    pages: ServedPages, told: ToldLedger
) -> None:
    """With what it says on each, also from the answer's own page."""
    spec = pages.text("/signals").partition("The reward spec")[2]
    assert [row for row in rows_of(spec) if "<a " not in row] == []
    path = led_to(spec, "edit_similarity")
    assert led_to(pages.text(f"/answers/{told.edited}"), "edit_similarity") == path
    text = pages.text(path)
    assert told.edited in listed(text)
    assert not set(told.greedy) & listed(text), "nobody edited these"
    row = next(one for one in rows_of(text) if told.edited in one)
    value = re.search(r'data-label="edit_similarity" class="num">([^<]+)', row)
    assert value is not None
    assert 0.0 <= float(value[1]) <= 1.0


def test_a_gateway_leads_to_what_it_serves_and_since_when_there_are_newer_flags(
    pages: ServedPages, told: ToldLedger, folder: Path
) -> None:
    """One that acts on old flags, and one that fell silent, which nobody else shows any more."""
    now, name = time.time(), f"gw/{EVIL}"
    flags = folder / "flags.json"
    with told.ledger.store.transaction() as tx:
        for number in (1, 2):
            intend(tx, number, now - 100.0 / number)
        reports = [("near", 2, now), (name, 1, now), ("gone", 2, now - 3000.0)]
        put_reports(
            tx,
            "policy",
            [GatewayReport(gateway=g, generation=n, at=at) for g, n, at in reports[1:]],
        )
    write_report(flags, GatewayReport(gateway="near", generation=2, at=now))
    overview = pages.text("/")
    part = overview[overview.index('id="gateways"') : overview.index("Generations by fate")]
    assert [row for row in rows_of(part) if "<a " not in row] == []
    assert EVIL not in part
    near, gone = (pages.text(led_to(part, one)) for one in ("near", "gone"))
    assert "acts on the newest flags" in near
    assert "generation 2, decided" in near
    behind = pages.text(unescape(re.findall(r'href="(/gateways/\?id=gw[^"]+)"', part)[0]))
    assert "acts on older flags" in behind
    assert "take it out of the balancer" in behind
    assert EVIL not in behind
    assert "It has said nothing for more than a minute" in gone
    assert led_to(near, "the newest of it") in behind
    assert pages.client.get("/gateways/nobody").status_code == 404


def test_a_server_says_the_same(tmp_path: Path, postgres_url: str) -> None:
    """On PostgreSQL partitions, refused records, tools and parts are read likewise."""
    told = story(tmp_path, postgres_url)
    with served(tmp_path, told.ledger.store) as pages:
        partition = pages.text("/records/feedback/0")
        assert "Refused" in pages.text(
            re.findall(r'href="(/records/feedback/0/\d+)"', partition)[0]
        )
        assert listed(pages.text("/answers?tool=search")) == {told.trained[0]}
        assert told.edited in listed(pages.text("/answers?part=edit_similarity"))
    told.ledger.store.close()
