"""Forms: they do what the commands do, for those who may, from our own page alone."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pages_by_hand import ServedPages, served
from rollouts_by_hand import CrowdedHouse

from rlwd.daemon.http.access import COOKIE, FAILURES, SESSION_SECONDS, Access
from rlwd.daemon.site.forms import own_path
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.rollout import candidates_table, rollouts_table
from rlwd.ops.stages.record import Rollout, Stage

TOKEN = 'token = "secret"'
BROWSER = {"Accept": "text/html"}


@pytest.fixture
def house(tmp_path: Path) -> CrowdedHouse:
    """A release whose version 1 is with its first people."""
    house = CrowdedHouse(tmp_path)
    house.turn(60.0, 0)
    house.make(0.8)
    house.until_met()
    return house


@pytest.fixture
def pages(house: CrowdedHouse, tmp_path: Path) -> Iterator[ServedPages]:
    """Its pages, on this machine alone."""
    with served(tmp_path, house.ledger.store) as pages:
        yield pages


def rollout_of(house: CrowdedHouse) -> Rollout:
    with house.ledger.store.reading() as view:
        found = rollouts_table.find(view, "policy", house.v1.version)
    assert found is not None
    return found


def log_in(pages: ServedPages, token: str, name: str = "ann", **more: str) -> httpx.Response:
    headers = {"Origin": pages.url, "Sec-Fetch-Site": "same-origin"}
    form = {"name": name, "token": token, "next": "/rollouts"}
    return pages.client.post("/login", data=form, headers={**headers, **more})


def test_promote_serves_everybody_and_says_who_and_why(
    pages: ServedPages, house: CrowdedHouse
) -> None:
    """As `rlwd promote`: trail, tables and flag file; sent again it changes nothing."""
    answer = pages.send("promote", house.v1.version, reason="the launch is today")
    assert answer.status_code == 200
    assert "is served to everybody" in answer.text
    after = rollout_of(house)
    assert after.stage is Stage.PROMOTED
    assert after.trail[-1].reason.startswith("ann: the launch is today (by hand, over: ")
    assert "ann: the launch is today" in answer.text
    flags = read_flags(house.folder / "flags.json")
    assert flags is not None
    assert flags.champion.version == house.v1.version
    pages.send("promote", house.v1.version, reason="again")
    assert rollout_of(house) == after


def test_reject_takes_it_from_its_users_for_good(pages: ServedPages, house: CrowdedHouse) -> None:
    """As `rlwd reject`: rolled back, quarantined, the learner goes back."""
    answer = pages.send("reject", house.v1.version, reason="it is rude")
    assert "is rejected and never offered again" in answer.text
    after = rollout_of(house)
    assert (after.stage, after.trail[-1].reason) == (Stage.ROLLED_BACK, "ann: it is rude")
    with house.ledger.store.reading() as view:
        assert house.v1.digest in candidates_table.quarantined(view, "policy")


def test_pause_and_resume(pages: ServedPages, house: CrowdedHouse) -> None:
    """Each page says who holds and why, until somebody resumes."""
    pages.send("pause", reason="a holiday")
    for path in ("/", "/rollouts", f"/rollouts/{house.v1.version}"):
        assert "rollouts are paused by ann: a holiday" in pages.text(path)
    answer = pages.send("resume", reason="")
    assert "rollouts go on by themselves" in answer.text
    with house.ledger.store.reading() as view:
        assert rollouts_table.hold(view, "policy") is None


def test_roll_back_gives_everybody_the_champion_before(
    pages: ServedPages, house: CrowdedHouse
) -> None:
    """As `rlwd rollback VERSION`, of a version that is champion."""
    pages.send("promote", house.v1.version)
    answer = pages.send("rollback", house.v1.version, reason="complaints")
    assert f"{house.v0.version} is served" in answer.text
    assert rollout_of(house).trail[-1].reason == "ann: complaints"


def test_a_form_from_an_old_page_decides_nothing(pages: ServedPages, house: CrowdedHouse) -> None:
    """Where another version is under way by now, it is neither promoted nor rejected."""
    for action in ("promote", "reject"):
        answer = pages.send(action, "policy@v000009-00000000")
        assert "not under way any more" in pages.client.get(answer.url).text
    assert rollout_of(house).stage is Stage.CANARY


@pytest.mark.parametrize(("field", "value"), [("by", " "), ("reason", "\n"), ("action", "explode")])
def test_who_and_why_are_asked_for(
    pages: ServedPages, house: CrowdedHouse, field: str, value: str
) -> None:
    """Without either, or for a decision that there is not, nothing is decided and it is said."""
    answer = pages.send(**{"action": "promote", "version": house.v1.version, field: value})
    assert "Not done" in answer.text
    assert rollout_of(house).stage is Stage.CANARY


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ("wrong", {}),
        ("", {}),
        (None, {"Origin": "https://evil.example"}),
        (None, {"Origin": "null"}),
        (None, {"Sec-Fetch-Site": "cross-site"}),
        (None, {"Host": "evil.example"}),
    ],
)
def test_another_sites_page_decides_nothing(
    pages: ServedPages, house: CrowdedHouse, form: str | None, headers: dict[str, str]
) -> None:
    """Without the form's own token, from another origin, or under another's host name: refused."""
    token = pages.form_token() if form is None else form
    data = {"form": token, "action": "promote", "version": house.v1.version, "by": "x"}
    answer = pages.client.post("/decide", data={**data, "reason": "x"}, headers=headers)
    assert answer.status_code == 403
    assert rollout_of(house).stage is Stage.CANARY


@pytest.mark.parametrize("path", ["/", "/rollouts", "/statusz", "/metrics", "/flags"])
def test_a_name_that_points_here_shows_nothing(pages: ServedPages, path: str) -> None:
    """Where no token is asked for, a page of the web under its owner's name reads nothing."""
    for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example"):
        assert pages.client.get(path, headers={"Host": name}).status_code == 403
    for name in ("localhost:8090", "127.0.0.1", "[::1]:8090"):
        assert pages.client.get(path, headers={"Host": name}).status_code != 403


def test_the_token_begins_a_session(house: CrowdedHouse, tmp_path: Path) -> None:
    """A browser is asked for it, gets a cookie that scripts and other sites never see, and is in."""
    with served(tmp_path, house.ledger.store, TOKEN) as pages:
        sent = pages.client.get("/rollouts", headers=BROWSER)
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/rollouts")
        assert pages.client.get("/rollouts").status_code == 401
        assert "Token" in pages.text("/login")
        wrong = log_in(pages, "wrong")
        assert wrong.status_code == 403
        assert "This is not the token" in wrong.text
        assert "set-cookie" not in wrong.headers
        right = log_in(pages, "secret", "Ann Bee")
        assert (right.status_code, right.headers["location"]) == (303, "/rollouts")
        cookie = right.headers["set-cookie"]
        for part in (f"{COOKIE}=", "HttpOnly", "SameSite=Strict", f"Max-Age={SESSION_SECONDS}"):
            assert part in cookie
        assert "secret" not in cookie
        assert "Ann Bee" in pages.text("/rollouts")
        answer = pages.send("pause", by="", reason="by session")
        assert "Not done" in answer.text
        assert "paused by Ann Bee" in pages.send("pause", by="Ann Bee").text
        pages.client.post("/logout", data={"form": pages.form_token()})
        assert pages.client.get("/rollouts").status_code == 401


def test_a_forged_or_old_session_is_none(house: CrowdedHouse, tmp_path: Path) -> None:
    """Neither another signature, nor another token's, nor one that is over."""
    cookie = Access("secret", clock=lambda: 0.0).begin_session("secret", "ann")
    fresh = Access("secret").begin_session("secret", "ann")
    other = Access("another").begin_session("another", "ann")
    assert cookie is not None
    assert fresh is not None
    with served(tmp_path, house.ledger.store, TOKEN) as pages:
        changed = fresh[:-1] + ("0" if fresh[-1] != "0" else "1")
        for value in (cookie, other, f"9{fresh}", changed, "..", "x", ""):
            answer = pages.client.get("/rollouts", headers={"Cookie": f"{COOKIE}={value}"})
            assert answer.status_code == 401, value
        answer = pages.client.get("/rollouts", headers={"Cookie": f"{COOKIE}={fresh}"})
        assert answer.status_code == 200


def test_guessing_ends_after_a_few(house: CrowdedHouse, tmp_path: Path) -> None:
    """After ten wrong tokens in a minute the form takes none, not even the right one."""
    with served(tmp_path, house.ledger.store, TOKEN) as pages:
        for _ in range(FAILURES):
            assert log_in(pages, "guess").status_code == 403
        told = log_in(pages, "secret")
        assert (told.status_code, "wait a minute" in told.text) == (403, True)
        headers = {"Authorization": "Bearer secret"}
        assert pages.client.get("/rollouts", headers=headers).status_code == 200


def test_who_guesses_keeps_nobody_else_out() -> None:
    """The count is of one address: an operator who knows the token gets in from his own."""
    access = Access("secret")
    for _ in range(FAILURES):
        assert access.begin_session("guess", "eve", "10.0.0.66") is None
    assert access.begin_session("secret", "eve", "10.0.0.66") is None
    assert access.begin_session("secret", "ann", "10.0.0.7") is not None


def test_a_proxys_header_names_the_user(house: CrowdedHouse, tmp_path: Path) -> None:
    """Where it is configured, whom the proxy let in is who decides, whatever the form says."""
    with served(tmp_path, house.ledger.store, 'user_header = "X-User"') as pages:
        assert pages.client.get("/").status_code == 401
        pages.client.headers["X-User"] = "ann@desk"
        assert "ann@desk" in pages.text("/")
        assert "Who <input" not in pages.text("/rollouts")
        assert "paused by ann@desk" in pages.send("pause", by="somebody else").text


@pytest.mark.parametrize("http", ['user_header = "X-User"\nproxies = ["10.0.0.9"]', TOKEN])
def test_a_header_of_nobody_we_know_is_nothing(
    house: CrowdedHouse, tmp_path: Path, http: str
) -> None:
    """From another address than the proxy's, or where no header is configured, it says nothing."""
    with served(tmp_path, house.ledger.store, http) as pages:
        assert pages.client.get("/", headers={"X-User": "ann"}).status_code == 401


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nSet-Cookie: x"]
)
def test_log_in_leads_nowhere_else(path: str) -> None:
    """What comes after it is a page of ours."""
    assert own_path(path) == "/"
