"""The pages below the overview: from a row to the answers behind it, and to what the commands say."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from daemon_by_hand import decide, open_daemon_ledger
from ledger_by_hand import GENERATIONS, generation
from pages_by_hand import ServedPages, served
from places_by_hand import new_schema
from told_ledger import EVIL, GREEDY, SECRET, ToldLedger, told_ledger

from rlwd.daemon.explain.explain import explain
from rlwd.daemon.http.query import ListPlace
from rlwd.daemon.lists import answer_list, answer_ways
from rlwd.daemon.views.answer import read_answer
from rlwd.daemon.views.batch import read_batch
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.join.erasure import erase
from rlwd.streams.state.transaction import Rows, Transaction

PLACES = ("/learner", "/ledger", "/signals", "/problems", "/answers", "/batches/1", "/batches/2")
LINK = re.compile(r'href="(/(?:answers|batches|rollouts)[^"#]*)')


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToldLedger]:
    """A state in which everything has happened once."""
    made = told_ledger(tmp_path_factory.mktemp("state"))
    yield made
    made.ledger.store.close()


@pytest.fixture(scope="module")
def pages(told: ToldLedger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPages]:
    """Its pages."""
    with served(tmp_path_factory.mktemp("config"), told.ledger.store) as pages:
        pages.vitals.report("engine", EVIL)
        yield pages


def links(text: str) -> list[str]:
    return [unescape(one) for one in LINK.findall(text)]


def story(told: ToldLedger, name: str) -> dict[str, Any]:
    with told.ledger.store.reading() as view:
        return explain(view, "policy", name)


def test_every_fate_leads_to_its_answers_and_each_to_its_story(
    pages: ServedPages, told: ToldLedger
) -> None:
    """From the ledger's row by two links to what `rlwd explain` says of the very answer."""
    ledger = pages.text("/ledger")
    assert "the sums close" in ledger
    for fate, count in told.ledger.fates().items():
        to = f"/answers?fate={fate.replace(':', '%3A')}"
        assert to in links(ledger)
        names = [one for one in links(pages.text(to)) if one.startswith("/answers/")]
        assert len(names) == count, fate
        for name in names:
            assert story(told, name.removeprefix("/answers/"))["fate"] == fate
            pages.text(name)


def test_a_storys_page_says_what_the_commands_say(pages: ServedPages, told: ToldLedger) -> None:
    """Version, batch, reward with its parts, every signal with whether it counts, and its session."""
    name = told.trained[0]
    said, text = story(told, name), pages.text(f"/answers/{name}")
    assert said["batch"]["batch"] == 1
    for part in (said["fate"], said["served"]["record"], said["feedback"][0]["feedback_id"]):
        assert part in text
    assert 'href="/batches/1"' in text
    assert f'href="/rollouts/{told.versions[1].version.replace("@", "%40")}"' in text
    assert "decides" in text
    assert f"reward {said['reward']['value']:.3f}" in text
    assert "edit_similarity" in text


def test_no_page_shows_what_anybody_wrote(pages: ServedPages, told: ToldLedger) -> None:
    """Of texts their length stands there; the answer's own text, and an edit's, stand nowhere."""
    assert SECRET in str(story(told, told.edited)["feedback"])
    text = pages.text(f"/answers/{told.edited}")
    assert f"final text: {len(SECRET) + 10} letters" in text
    assert "value: 0.25" in text
    for path in (
        *PLACES,
        f"/answers/{told.edited}",
        f"/answers/{told.greedy[0]}",
        "/answers/s3.g0",
    ):
        assert SECRET not in pages.text(path), path


def test_what_others_named_is_not_markup(pages: ServedPages, told: ToldLedger) -> None:
    """A segment, a problem or an id that somebody made up cannot put a script on a page."""
    for path in (*PLACES, f"/answers/{told.greedy[0]}", "/answers?fate=excluded:greedy"):
        assert EVIL not in pages.text(path), path
    assert "&lt;script&gt;" in pages.text("/answers?fate=excluded:greedy")
    for path in (f"/answers/{EVIL}", f"/answers?segment={EVIL}", f"/answers?{EVIL}=1"):
        answer = pages.client.get(path)
        assert EVIL not in answer.text
        assert "&lt;script&gt;" in answer.text


def test_a_batch_leads_to_its_version_and_its_answers(pages: ServedPages, told: ToldLedger) -> None:
    """Applied: what it made, its answers by fate, and each of them. Sealed: that it waits."""
    text = pages.text("/batches/1")
    assert told.versions[1].version.partition("@")[2] in text
    assert {f"/answers/{name}" for name in told.trained} <= set(links(text))
    assert "/answers?batch=1&fate=trained" in links(text)
    assert len(re.findall(r'class="id"', pages.text("/answers?batch=1&fate=trained"))) == 8
    assert "has not applied it yet" in pages.text("/batches/2")


def test_every_row_leads_on(pages: ServedPages, told: ToldLedger) -> None:
    """Each row of the tables of ledger, learner, batch, answers and signals has a link."""
    for path in ("/ledger", "/learner", "/batches/1", "/answers", "/signals"):
        text = pages.text(path)
        rows = re.findall(r"<tr>(?:(?!</tr>).)*<td.*?</tr>", text, re.DOTALL)
        assert rows, path
        assert [one for one in rows if "<a " not in one] == [], path


def test_the_learner_says_what_is_beyond_its_bar_first(
    pages: ServedPages, told: ToldLedger
) -> None:
    """Of the newest update by name, value, bar and what to do; each number has its course."""
    text = pages.text("/learner")
    assert "2 of 3 numbers are beyond their bar" in text
    assert "effective sample size: 0.120, bar at least 0.3" in text
    assert text.index("effective sample size: 0.120") < text.index("Updates, newest first")
    titles = re.findall(r"<h3>([\w ,0-9-]+?) <", text)
    assert titles == ["effective sample size", "KL to v0, nats a token", "mismatch, k3"]
    assert "2 versions, from v000001 to v000002. Last 0.120. 1 beyond the bar." in text


def test_signals_are_counted_by_kind_and_version(pages: ServedPages, told: ToldLedger) -> None:
    """How many of each kind, how late, what does not count; and what each version's answers are worth."""
    text = pages.text("/signals")
    for kind in ("accepted", "rejected", "edited", "copied", "rated"):
        assert f'href="/answers?signal={kind}"' in text
    assert f"/answers/{told.edited}" in links(pages.text("/answers?signal=edited"))
    assert "default@" in text
    assert "edit_similarity" in text


def test_problems_say_since_when_and_what_to_do(told: ToldLedger, tmp_path: Path) -> None:
    """With the runbook's cause, check and cure; what is over is told of too."""
    with served(tmp_path, told.ledger.store) as pages:
        assert "none now" in pages.text("/problems")
        pages.vitals.report("learner", "no such model")
        pages.vitals.report("skipped", "each of the newest 3 batches made no version")
        text = pages.text("/problems")
        wrong = text[: text.index("The runbook")]
        for said in ("2 now", "no such model", "Cause", "Check", "Cure", "under 1 s ago"):
            assert said in wrong, said
        assert "what they say. Out of memory: lower <code>learner.pack_tokens</code>" in wrong
        assert 'href="/learner"' in wrong
        assert '<span class="count">2</span>' in pages.text("/ledger")
        pages.vitals.report("learner", None)
        text = pages.text("/problems")
        assert "What is over" in text
        assert "1 now" in text


def test_a_list_goes_on_by_key_until_its_end(told: ToldLedger, tmp_path: Path) -> None:
    """Each answer is shown once, also where many came at the same instant."""
    ledger = open_daemon_ledger(tmp_path / "many.db")
    names = {f"p.g{number:03d}" for number in range(130)}
    for number, name in enumerate(sorted(names)):
        decide(ledger, name, 1000.0 + number // 40, sampling=GREEDY)
    ledger.close(9000.0)
    for query in ("fate=excluded:greedy", "", "variant="):
        seen, path = list[str](), f"/answers?{query}"
        with served(tmp_path, ledger.store) as pages:
            while path:
                text = pages.text(path)
                seen += re.findall(r'class="id" href="/answers/([^"]+)"', text)
                found = re.search(r'href="([^"]+)" rel="next"', text)
                path = unescape(found[1]) if found else ""
        assert len(seen) == len(names), query
        assert set(seen) == names
    ledger.store.close()


def test_a_page_reads_so_many_rows_and_no_more(
    told: ToldLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what is asked for is rare a page may be empty, says how far it looked, and goes on."""
    monkeypatch.setattr(answer_list, "WINDOW", 5)
    query, seen = {"signal": "edited"}, list[str]()
    with told.ledger.store.reading() as view:
        for _ in range(20):
            page = answer_list.read_answers(view, "policy", query)
            assert page["read"] <= 5
            seen += [row["id"] for row in page["rows"]]
            if not page["next"]:
                break
            query = {"signal": "edited", "after": parse_qs(page["next"])["after"][0]}
    assert seen == [told.edited]


def test_what_was_learned_from_is_found_whatever_came_since(
    pages: ServedPages, told: ToldLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger's row of `trained` leads to them, though the newest answers are all others."""
    monkeypatch.setattr(answer_list, "WINDOW", 8)
    path, seen = "/answers?fate=trained", set[str]()
    while path:
        text = pages.text(path)
        names = set(re.findall(r'class="id" href="/answers/([^"]+)"', text))
        assert names, f"{path}: nothing, and it goes on"
        seen |= names
        found = re.search(r'href="([^"]+)" rel="next"', text)
        path = unescape(found[1]) if found and len(seen) < len(told.trained) else ""
    assert seen == set(told.trained)


def test_a_server_is_asked_the_same(tmp_path: Path, postgres_url: str) -> None:
    """On PostgreSQL every page says what it says on SQLite, and lists go on by key."""
    told = told_ledger(tmp_path, new_schema(postgres_url))
    with served(tmp_path, told.ledger.store) as pages:
        for path in (*PLACES, f"/answers/{told.edited}"):
            assert SECRET not in pages.text(path)
    ways = [{"fate": fate} for fate in ("excluded:greedy", "trained")]
    ways += [{"batch": "1"}, {"stage": "sealed"}, {}]
    with told.ledger.store.reading() as view:
        for query in ways:
            whole = answer_list.read_answers(view, "policy", query)["rows"]
            assert len(whole) > 3
            assert _in_twos(view, query) == [row["id"] for row in whole], query
    told.ledger.store.close()


def _in_twos(view: Transaction, query: dict[str, str]) -> list[str]:
    seen, after = list[str](), ""
    while True:
        page = answer_list.read_answers(view, "policy", {**query, "after": after}, page=2)
        seen += [row["id"] for row in page["rows"]]
        if not page["next"]:
            return seen
        after = parse_qs(page["next"])["after"][0]


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"fate": "excluded:greedy"}, "episodes_ended"),
        ({"experiment": "x"}, "episodes_salt"),
        ({"experiment": "x", "day": "2026-01-31", "variant": "candidate"}, "episodes_salt"),
        ({"fate": "trained"}, "episodes_batch"),
        ({"fate": "trained", "version": "v"}, "episodes_batch"),
        ({"stage": "ready"}, "episodes_due"),
        ({"batch": "1"}, "episodes_batch"),
        ({"signal": "edited"}, "sqlite_autoindex_episodes_1 (policy=? AND generation_id=?)"),
    ],
)
def test_no_list_reads_the_whole_table(told: ToldLedger, asked: dict[str, str], index: str) -> None:
    """Each goes along an index, in its order: what is not shown is not read."""
    way, left = answer_ways.way_of("policy", asked)
    for after in (None, ListPlace(5.0, "s.g")):
        sql, values = way.sql(after, 10, left.get("signal", ""))
        with told.ledger.store.reading() as view:
            plan = str(view.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall())
        assert f"USING INDEX {index}" in plan or f"USING COVERING INDEX {index}" in plan, plan
        assert "SCAN e" not in plan


class PlanReader:
    """A view that notes how each statement is read."""

    def __init__(self, view: Transaction) -> None:
        self.view, self.plans = view, list[str]()

    def execute(self, sql: str, parameters: Any = (), /) -> Rows:
        """Note the plan, and run the statement."""
        plan = self.view.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        self.plans += [str(row[3]) for row in plan]
        return self.view.execute(sql, parameters)

    executemany = execute


def test_a_story_and_a_batch_are_read_by_keys_alone(told: ToldLedger) -> None:
    """Each statement names more than the policy, but for the few rows of the log's partitions."""
    with told.ledger.store.reading() as view:
        plans = PlanReader(view)
        read_answer(plans, "policy", told.trained[0], reward_spec(""))
        read_batch(plans, "policy", "1", {})
    searches = [one for one in plans.plans if one.startswith(("SEARCH", "SCAN"))]
    assert len(searches) > 10
    whole = [one for one in searches if "?)" not in one or one.endswith("(policy=?)")]
    assert {one.split()[1] for one in whole} == {"offsets"}, whole


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/answers?stage=closed", 400, "stage: &#39;closed&#39; is none; known: orphan"),
        ("/answers?signal=praise", 400, "signal: &#39;praise&#39; is none; known: accepted"),
        ("/answers?batch=-1", 400, "batch: &#39;-1&#39; is not a number"),
        ("/answers?day=monday", 400, "day: &#39;monday&#39; is no date"),
        ("/answers?after=x", 400, "after: &#39;x&#39; is not where a list goes on"),
        ("/answers?after=nan~x", 400, "is not where a list goes on"),
        ("/answers?after=1e19~x", 400, "is not where a list goes on"),
        ("/answers?fate=excluded:greedy&after=-1e300~x", 400, "is not where a list goes on"),
        ("/answers?color=red", 400, "color: no list is asked for by that; known: fate"),
        ("/answers?fate=" + "x" * 700, 400, "fate: too long"),
        ("/ledger?before=x", 400, "before: &#39;x&#39; is not a number"),
        ("/batches/x", 400, "batch: &#39;x&#39; is not a number"),
        ("/batches/99", 404, "batch 99: there is none of this number"),
        ("/answers/nobody.g1", 404, "nobody.g1: no such generation"),
        ("/answers/%00", 404, "nothing is called so"),
        ("/rollouts/%00", 404, "nothing is called so"),
        ("/nothing", 404, "/nothing: there is no such page"),
        ("/answers/", 404, "/answers/: there is no such page"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(
    pages: ServedPages, path: str, status: int, said: str
) -> None:
    """A page for people, with the name of the value at fault."""
    answer = pages.client.get(path)
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert 'href="/"' in answer.text


def test_nobody_sees_them_without_the_token(told: ToldLedger, tmp_path: Path) -> None:
    """A browser is led to the form and comes back to the very list; whatever else asks gets 401."""
    with served(tmp_path, told.ledger.store, 'token = "secret"') as pages:
        for path in (*PLACES, f"/answers/{told.edited}"):
            assert pages.client.get(path).status_code == 401
            sent = pages.client.get(path, headers={"Accept": "text/html"})
            assert (sent.status_code, sent.text) == (303, "303: See Other")
        sent = pages.client.get("/answers?fate=trained", headers={"Accept": "text/html"})
        assert sent.headers["location"] == "/login?next=/answers?fate%3Dtrained"


def test_what_was_erased_is_on_no_page(tmp_path: Path) -> None:
    """A person who is erased leaves a row with its fate, and neither signal nor reward's parts."""
    told = told_ledger(tmp_path)
    name = "e.g0"
    told.ledger.take(generation(name, 9900.0, user_hash="ann", text=SECRET), partition=GENERATIONS)
    with served(tmp_path, told.ledger.store) as pages:
        assert "nothing decisive came" in pages.text(f"/answers/{name}")
        with told.ledger.store.transaction() as tx:
            erase(tx, "policy", "ann", 9950.0)
        text = pages.text(f"/answers/{name}")
        assert "excluded: erased" in text
        assert "Its content was forgotten, or never kept" in text
        assert name in pages.text("/answers?fate=excluded:erased")
        assert name not in pages.text("/answers")
    told.ledger.store.close()
