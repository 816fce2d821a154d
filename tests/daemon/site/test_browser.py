"""The pages in a real Chromium, of a real daemon: desktop and phone, light and dark."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lone_daemon import LoneDaemon
from pages_by_hand import ServedPages, served
from playwright.sync_api import Browser, Page
from real_browser import DESKTOP, PHONE, axe_finds, chromium, window
from rollouts_by_hand import told_story
from told_ledger import told_ledger
from triage_by_hand import group, report
from waiting import until

from rlwd.daemon.config import load_config
from rlwd.daemon.store import existing_store
from rlwd.daemon.triage.report_files import write_report as write_triage
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.flags.gateway_report import GatewayReport, write_report
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.servers.process import LOOPBACK, free_port
from rlwd.ops.stages.record import Stage

CONFIG = """\
state = "."
[learner]
model = "no model: this daemon only shows and lets out"
[engine]
urls = ["http://{host}:{nobody}"]
[rollout]
steps = [0.05, 0.45]
step_seconds = 7200.0
deadline_seconds = 216000.0
margin = 0.08
[http]
port = {port}
"""


class Deployment:
    """A daemon on a state with a past, and what its tables say."""

    def __init__(self, folder: Path) -> None:
        told_story(folder, now=time.time()).ledger.store.close()
        path = folder / "rlwd.toml"
        path.write_text(CONFIG.format(host=LOOPBACK, nobody=free_port(), port=free_port()))
        self.config = load_config(path)
        self.daemon = LoneDaemon(path)
        self.url = f"http://{LOOPBACK}:{self.daemon.port}"
        self.store = existing_store(self.config)
        with self.store.reading() as view:
            self.versions = [one.version for one in rollouts_table.history(view, "policy")]

    @property
    def stage(self) -> Stage:
        """Where the newest rollout is."""
        with self.store.reading() as view:
            return rollouts_table.history(view, "policy")[-1].stage

    @property
    def held(self) -> str:
        """Who holds rollouts, and why; empty where nobody does."""
        with self.store.reading() as view:
            held = rollouts_table.hold(view, "policy")
        return held.sentence if held else ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A daemon that runs."""
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    with deployment.daemon:
        yield deployment
    deployment.store.close()


def paths(deployment: Deployment) -> list[str]:
    return [
        "/",
        "/rollouts",
        "/problems",
        "/learner",
        "/ledger",
        "/answers",
        "/signals",
        "/tools",
        "/readings",
        *(f"/rollouts/{name}" for name in deployment.versions),
    ]


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedPages, list[str]]]:
    """Pages of a state in which everything has happened once, and of its batch and answers."""
    told = told_ledger(tmp_path_factory.mktemp("told"))
    folder = tmp_path_factory.mktemp("config")
    with served(folder, told.ledger.store) as pages:
        pages.vitals.report("learner", "it cannot start: no such model")
        pages.vitals.report("log", "away")
        pages.vitals.report("log", None)
        answers = [f"/answers/{name}" for name in (told.edited, told.trained[0], told.greedy[0])]
        name = "gateway@a-host-with-quite-a-long-name.example.com:8080"
        write_report(
            folder / "flags.json", GatewayReport(gateway=name, generation=1, at=time.time())
        )
        rows = ["/records/generations/0", "/records/generations/0/16", f"/gateways/{name}"]
        lists = ["/answers?part=edit_similarity", "/answers?tool=none", "/nothing"]
        triaged = group("search fails as timeout", state="new", evidence=(told.edited,))
        write_triage(folder / "triage", report("2026-11-16", triaged, group("edited in reply")))
        first = [
            "/problems",
            "/runbook",
            "/learner",
            "/ledger",
            "/signals",
            "/triage",
            "/batches/1",
        ]
        yield pages, [*first, *answers, *rows, *lists]
    told.ledger.store.close()


def fits(page: Page, path: str) -> None:
    """A page is no wider than its window, and neither is a table than its frame."""
    wide, seen = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= seen, f"{path}: {wide} of {seen} pixels"
    for table in page.query_selector_all(".frame"):
        assert table.evaluate("one => one.scrollWidth <= one.clientWidth + 1"), path


@pytest.mark.parametrize(("width", "dark"), [(DESKTOP, False), (PHONE, True)])
def test_pages_below_fit_and_axe_finds_nothing(
    browser: Browser, below: tuple[ServedPages, list[str]], width: int, dark: bool
) -> None:
    """Problems, courses, a batch and answers' stories: whole, within the window, and accessible."""
    pages, paths = below
    with window(browser, pages.url, width=width, dark=dark) as (page, said):
        for path in (*paths, "/answers?stage=none"):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == {"/answers?stage=none": 400, "/nothing": 404}.get(path, 200), (
                path
            )
            fits(page, path)
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert axe_finds(page) == [], path
            fits(page, path)
    assert [one for one in said if not re.search("status of 40[04]", one)] == []


def test_from_a_fate_to_an_answers_story_by_the_keyboard(
    browser: Browser, below: tuple[ServedPages, list[str]]
) -> None:
    """The first stop leads past the links on top; what has the focus is seen to have it."""
    with window(browser, below[0].url, width=PHONE) as (page, said):
        page.goto("/ledger")
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="To the content")
        assert skip.evaluate("one => one === document.activeElement")
        assert skip.evaluate("one => one.getBoundingClientRect().left >= 0")
        page.get_by_role("link", name="excluded: greedy").focus()
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid"
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Answers, excluded: greedy").wait_for()
        page.get_by_role("link", name="s2.g000").focus()
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="s2.g000").wait_for()
        assert page.title() == "s2.g000 · rlwd"
        assert page.get_by_role("heading", name="What it is worth").is_visible()
    assert said == []


def test_a_link_to_the_runbook_shows_its_entry_open(
    browser: Browser, below: tuple[ServedPages, list[str]]
) -> None:
    """From a refused record, and from one entry to another on the page."""
    with window(browser, below[0].url) as (page, said):
        page.goto("/records/generations/0/16")
        page.get_by_role("link", name="the runbook").click()
        entry = page.locator("#rlwddeadletters")
        entry.get_by_text("a product writes what is no event").wait_for()
        assert entry.evaluate("one => one.open")
        page.evaluate("location.hash = '#rlwdlogunread'")
        page.locator("#rlwdlogunread").get_by_text(
            "the broker is away; a partition's offset"
        ).wait_for()
    assert said == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_loads_whole_and_fits(
    browser: Browser, deployment: Deployment, width: int, dark: bool
) -> None:
    """Nothing is refused, missing or wider than the window, and nothing on the page is an error."""
    with window(browser, deployment.url, width=width, dark=dark) as (page, said):
        for path in paths(deployment):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 200
            fits(page, path)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(17, 21, 27)") is dark
    assert said == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(
    browser: Browser, deployment: Deployment, width: int, dark: bool
) -> None:
    """Names, contrast, headings, landmarks and tables are as they should be, with forms open too."""
    with window(browser, deployment.url, width=width, dark=dark) as (page, _):
        for path in (*paths(deployment), "/rollouts/unknown", "/login"):
            page.goto(path)
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert axe_finds(page) == [], path


def test_a_chart_can_be_read_without_seeing_it(browser: Browser, deployment: Deployment) -> None:
    """It has a name and a description, and opens as a table by the keyboard alone."""
    with window(browser, deployment.url) as (page, _):
        page.goto(f"/rollouts/{deployment.versions[0]}")
        reward = page.get_by_role("region", name="Reward", exact=True)
        chart = reward.get_by_role("img", name="Reward: candidate minus control")
        assert chart.is_visible()
        told = chart.locator("desc").text_content()
        assert told is not None
        assert "At the last one candidate minus control is" in told
        reward.locator("summary").focus()
        page.keyboard.press("Enter")
        assert reward.get_by_role("table").is_visible()
        assert reward.locator("tbody tr").count() > 5


def test_a_page_is_kept_up_to_date_while_nobody_works_on_it(
    browser: Browser, deployment: Deployment
) -> None:
    """What changes is shown without a reload; a form that is open is left alone."""
    with window(browser, deployment.url) as (page, said):
        page.clock.install()
        page.goto("/rollouts")
        page.evaluate("window.same = true")
        with deployment.store.transaction() as tx:
            held = rollouts_table.Hold(by="bob", reason="a test", since=time.time())
            rollouts_table.put_hold(tx, "policy", held)
        with page.expect_response("**/rollouts"):
            page.clock.run_for(5000)
        page.get_by_text("rollouts are paused by bob: a test").wait_for()
        assert page.evaluate("window.same")
        page.get_by_text("Resume rollouts").first.click()
        with deployment.store.transaction() as tx:
            rollouts_table.put_hold(tx, "policy", None)
        page.clock.run_for(20000)
        assert page.get_by_text("rollouts are paused by bob: a test").is_visible()
    assert said == []


def test_forms_act_as_the_commands_do(browser: Browser, deployment: Deployment) -> None:
    """Pause, resume, reject and roll back, filled in by hand: tables and flag file follow, and the page says so."""
    newest = deployment.versions[-1]
    with window(browser, deployment.url, width=PHONE) as (page, said):
        page.goto(f"/rollouts/{newest}")
        page.locator("summary", has_text="Pause rollouts").click()
        form = page.locator("details[open] form")
        form.get_by_role("button").click()
        assert page.url.endswith(newest), "a form without who and why is not sent"
        form.get_by_label("Who").fill("ann@desk")
        form.get_by_label("Why").fill("a look at <it>")
        form.get_by_role("button").click()
        page.get_by_role("status").wait_for()
        assert deployment.held == "rollouts are paused by ann@desk: a look at <it>"
        page.locator("summary", has_text="Resume rollouts").click()
        form = page.locator("details[open] form")
        form.get_by_label("Who").fill("ann@desk")
        form.get_by_role("button").click()
        page.get_by_text("rollouts go on by themselves").wait_for()
        assert deployment.held == ""
        page.locator("summary", has_text="Reject").click()
        form = page.locator("details[open] form")
        form.get_by_label("Who").fill("ann@desk")
        form.get_by_label("Why").fill("it is rude")
        form.get_by_role("button").click()
        page.get_by_text("is rejected and never offered again").wait_for()
        assert page.get_by_text("ann@desk: it is rude").is_visible()
        assert deployment.stage is Stage.ROLLED_BACK
        flags = read_flags(deployment.config.flags_path)
        assert flags is not None
        assert flags.candidate is None
        until(lambda: newest in str(deployment.daemon.ask("statusz")))
        page.goto(f"/rollouts/{deployment.versions[0]}")
        page.locator("summary", has_text="Roll back").click()
        form = page.locator("details[open] form")
        form.get_by_label("Who").fill("ann@desk")
        form.get_by_label("Why").fill("complaints")
        form.get_by_role("button").click()
        page.get_by_text("ann@desk: complaints").wait_for()
        flags = read_flags(deployment.config.flags_path)
        assert flags is not None
        assert flags.champion.version not in deployment.versions, "v0 serves again"
    assert said == []


def test_logging_in(browser: Browser, deployment: Deployment, tmp_path: Path) -> None:
    """A browser is led to the form; a wrong token is said, the right one leads on; logging out ends it."""
    with (
        served(tmp_path, deployment.store, 'token = "secret"') as pages,
        window(browser, pages.url, width=PHONE) as (page, said),
    ):
        page.goto("/rollouts")
        assert page.url.endswith("/login?next=/rollouts")
        page.get_by_label("Your name").fill("Ann")
        page.get_by_label("Token").fill("guess")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").wait_for()
        until(lambda: page.evaluate("1") == 1 and said)  # What the console said may come later.
        assert said.pop().startswith(
            "Failed to load resource: the server responded with a status of 403"
        )
        page.get_by_label("Your name").fill("Ann")
        page.get_by_label("Token").fill("secret")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Rollouts").wait_for()
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("link", name="Overview").click()
        page.get_by_text("Ann", exact=True).wait_for()
        page.get_by_role("button", name="Log out").click()
        # Led away by the form's answer: from here on nobody is logged in.
        page.wait_for_url("**/login**")
        page.goto("/")
        page.wait_for_url("**/login**")
    assert said == []
