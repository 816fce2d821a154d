"""Log in by a proxy's header: a real daemon behind a real nginx, and who tries to be somebody else."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from lone_daemon import LoneDaemon
from nginx_server import NginxServer
from rollouts_by_hand import CrowdedHouse

from rlwd.daemon.config import load_config
from rlwd.daemon.http.access import Access
from rlwd.daemon.store import existing_store
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port

PROXY = "127.0.0.2"
"""Where the proxy asks from: who connects from 127.0.0.1 goes past it."""
PEOPLE = {"annabel": "of the house", "mallory": "no good"}
SITE = "rlwd.example.com"
CONFIG = """\
state = "."
[learner]
model = "no model: this daemon only shows and lets out"
[engine]
urls = ["http://{host}:{nobody}"]
[rollout]
steps = [0.05, 0.45]
[http]
port = {port}
token = "the token"
user_header = "X-Forwarded-User"
proxies = ["{proxy}"]
names = ["{site}"]
"""


class House:
    """A daemon, and the proxy before it."""

    def __init__(self, folder: Path) -> None:
        crowd = CrowdedHouse(folder)
        crowd.turn(60.0, 0)
        crowd.ledger.store.close()
        path, port = folder / "rlwd.toml", free_port()
        values = {"host": LOOPBACK, "nobody": free_port(), "port": port}
        path.write_text(CONFIG.format(**values, proxy=PROXY, site=SITE))
        self.config = load_config(path)
        self.daemon = LoneDaemon(path)
        (place := folder / "nginx").mkdir()
        self.proxy = NginxServer(place, port, PROXY, PEOPLE)

    def ask(self, path: str, *, who: str = "annabel", **more: str) -> httpx.Response:
        """Ask through the proxy, as a browser that has a password."""
        headers = {"Host": SITE, **more}
        auth = (who, PEOPLE[who])
        return httpx.get(f"{self.proxy.url}{path}", headers=headers, auth=auth, verify=NO_TLS)

    def send(self, form: str, *, who: str = "annabel", **more: str) -> httpx.Response:
        """Send the form that pauses rollouts, through the proxy."""
        headers = {"Host": SITE, "Origin": f"https://{SITE}", **more}
        fields = {"form": form, "action": "pause", "by": "root", "reason": "because"}
        url, auth = f"{self.proxy.url}/decide", (who, PEOPLE[who])
        return httpx.post(url, data=fields, headers=headers, auth=auth, verify=NO_TLS)

    def token(self, who: str = "annabel") -> str:
        """Return the token of a form that a person was shown."""
        found = re.search(r'name="form" value="(\w+)"', self.ask("/rollouts", who=who).text)
        assert found is not None
        return found[1]

    @property
    def held(self) -> str:
        """Who holds rollouts; empty where nobody does."""
        store = existing_store(self.config)
        with store.reading() as view:
            held = rollouts_table.hold(view, "policy")
        store.close()
        return held.sentence if held else ""

    def raw(self, request: str, source: str) -> str:
        """Send bytes as they are to the daemon, past the proxy, from an address of this machine."""
        with closing(
            socket.create_connection((LOOPBACK, self.daemon.port), 30, (source, 0))
        ) as one:
            one.sendall(request.replace("\n", "\r\n").encode())
            return one.makefile("rb").read().decode(errors="replace")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Both, running."""
    house = House(tmp_path_factory.mktemp("house"))
    with house.daemon, house.proxy:
        yield house


def test_whom_the_proxy_let_in_is_who_decides(house: House) -> None:
    """By the name that it asked the password for, whatever header came with the request."""
    assert (
        httpx.get(f"{house.proxy.url}/", headers={"Host": SITE}, verify=NO_TLS).status_code == 401
    )
    for name in ("X-Forwarded-User", "x-forwarded-user", "X_Forwarded_User", "X-Forwarded_User"):
        text = house.ask("/rollouts", **{name: "mallory"}).text
        assert ("annabel" in text, "mallory" in text) == (True, False), name
    sent = house.send(house.token(), **{"X-Forwarded-User": "mallory"})
    assert sent.status_code == 303, sent.text
    assert house.held.startswith("rollouts are paused by annabel: because")


def test_another_persons_or_sites_form_decides_nothing(house: House) -> None:
    """A form's token is of whom it was shown to, and neither another site nor a browser's hint gets by."""
    before, own = house.held, house.token()
    refused = [
        house.send(own, who="mallory"),
        house.send("", who="annabel"),
        house.send(own, Origin="https://evil.example"),
        house.send(own, Origin=f"https://evil.{SITE}"),
        house.send(own, Origin="null"),
        house.send(own, **{"Sec-Fetch-Site": "same-site"}),
    ]
    assert [one.status_code for one in refused] == [403] * len(refused)
    assert house.held == before


def test_a_planted_session_changes_nobody(house: House) -> None:
    """Who the proxy names is that one still, with a cookie of another person's session, or a forged one."""
    planted = Access("the token").begin_session("the token", "mallory")
    for cookie in (
        f"rlwd_session={planted}",
        "rlwd_session=x.y.z",
        f"a=b; rlwd_session={planted}",
    ):
        text = house.ask("/rollouts", Cookie=cookie).text
        assert ("annabel" in text, "mallory" in text) == (True, False)
    assert "set-cookie" not in house.ask("/rollouts", Cookie=f"rlwd_session={planted}").headers


HEAD = "GET /statusz HTTP/1.1\nConnection: close\nHost: {host}\n{more}\n"


@pytest.mark.parametrize(
    ("source", "host", "more", "status", "says"),
    [
        (PROXY, SITE, "X-Forwarded-User: annabel\n", 200, '"fates"'),
        # Past the proxy, from an address that it does not have.
        ("127.0.0.1", SITE, "X-Forwarded-User: annabel\n", 401, "a token is needed"),
        ("127.0.0.1", SITE, f"X-Forwarded-User: annabel\nX-Forwarded-For: {PROXY}\n", 401, "token"),
        # A proxy that adds its header to the one that came: one of the two is a stranger's.
        (PROXY, SITE, "X-Forwarded-User: mallory\nX-Forwarded-User: annabel\n", 403, "came 2 times"),
        (PROXY, SITE, "x-forwarded-user: mallory\nX-FORWARDED-USER: annabel\n", 403, "came 2 times"),
        (PROXY, SITE, "X-Forwarded-User: \nX-Forwarded-User: annabel\n", 403, "came 2 times"),
        # Other spellings are other headers, and what is none is no request.
        (PROXY, SITE, "X_Forwarded_User: annabel\n", 401, "token"),
        (PROXY, SITE, "X-Forwarded-User : annabel\n", 400, ""),
        (PROXY, SITE, "X-Forwarded-User: \n", 401, "token"),
        # A page of the web under a name that leads here, in the browser of somebody on the proxy's machine.
        (PROXY, "evil.example", "X-Forwarded-User: annabel\n", 403, "none of http.names"),
        (PROXY, f"evil.{SITE}", "X-Forwarded-User: annabel\n", 403, "none of http.names"),
        (PROXY, f"{SITE.upper()}:8443", "X-Forwarded-User: annabel\n", 200, '"fates"'),
        # The token is proof enough, whatever else came.
        (PROXY, "evil.example", "X-Forwarded-User: a\nAuthorization: Bearer the token\n", 200, "fates"),
    ],
)  # fmt: skip
def test_who_goes_past_the_proxy_is_nobody(
    house: House, source: str, host: str, more: str, status: int, says: str
) -> None:
    """The header is believed once, from the proxy's address, under the site's name; else it is said why not."""
    answer = house.raw(HEAD.format(host=host, more=more), source)
    assert answer.split()[1] == str(status), answer
    assert says in answer
