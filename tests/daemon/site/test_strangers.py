"""What strangers send, and what products call their answers: no page breaks, and none is led astray."""

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from daemon_by_hand import decide, open_daemon_ledger
from pages_by_hand import ServedPages, served

FORM = "application/x-www-form-urlencoded"
NAMES = (
    *(".", "..", "...", "?id=x", "//x", "\\x"),
    *("../login", "../../rollouts", "a/b?c#d", "/first", "%2e%2e", "s;x", "a b+c", "x&y=z"),
    *(
        "new\nline",
        "tab\tend",
        "nb\u00a0sp",
        "turned\u202eround",
        "\u00fc-\u65e5\u672c",
        '"><i>',
        "'",
    ),
)
"""Ids that a product which writes the topics itself may choose."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPages]:
    """Pages behind a token, of answers with such names, and of many whose names are as long as can be."""
    folder = tmp_path_factory.mktemp("state")
    ledger = open_daemon_ledger(folder / "rlwd.db")
    for number, name in enumerate(NAMES):
        decide(ledger, name, 1000.0 + number)
    for number in range(60):
        decide(ledger, f"{number:03d}\u00a0".ljust(511, "x"), 2000.0 + number)
    with served(folder, ledger.store, 'token = "secret"') as pages:
        yield pages
    ledger.store.close()


@pytest.mark.parametrize("route", ["/login", "/logout", "/decide"])
@pytest.mark.parametrize(
    ("kind", "body", "more"),
    [
        ("multipart/form-data", b"x", {}),
        ("multipart/form-data; boundary=x", b"--x\r\nnope", {}),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\xff\r\n--x--", {}),
        (f"{FORM}; charset=bogus", b"token=x", {}),
        (f"{FORM}; charset=base64", b"token=x", {}),
        (f"{FORM}; charset=utf-16", b"token=x", {}),
        (FORM, b"token=%ff%fe\xff&name=%00&next=%0d%0a", {}),
        (FORM, b"token=x", {"Content-Encoding": "gzip"}),
        (FORM, b"a=b&" * 20_000, {}),
        (FORM, b"token=x", {"Cookie": "rlwd_session=\xff.\xff"}),
        (FORM, b"token=x", {"Authorization": "Basic \xff"}),
        ("application/json", b"{}", {}),
        ("", b"token=x", {}),
    ],
)
def test_what_is_no_form_of_ours_is_refused(
    pages: ServedPages, route: str, kind: str, body: bytes, more: dict[str, str]
) -> None:
    """Whoever reaches the port may send anything, and it is no error of the daemon's that wakes somebody."""
    headers = {"Content-Type": kind, "Authorization": "Bearer secret", **more}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = pages.client.post(route, content=body, headers=raw)
    assert answer.status_code in (303, 400, 401, 403), answer.text
    assert "rlwd_session" not in answer.headers.get("set-cookie", "")


def test_an_answer_is_found_whatever_it_is_called(pages: ServedPages) -> None:
    """A browser that follows the list's link comes to its story, and nowhere else in the site."""
    pages.client.headers["Authorization"] = "Bearer secret"
    text, links = pages.text("/answers"), set[str]()
    while True:
        links |= {unescape(one) for one in re.findall(r'class="id" href="([^"]+)"', text)}
        found = re.search(r'href="([^"]+)" rel="next"', text)
        if found is None:
            break
        text = pages.text(unescape(found[1]))
    assert len(links) == len(NAMES) + 60, "the list goes on over them to its end"
    told = list[str]()
    for link in links:
        path = urlsplit(urljoin(pages.url, link)).path
        assert path.startswith("/answers/"), link
        # What a browser or a proxy may read otherwise stands in no path.
        assert re.fullmatch(r"[\w.~@:-]*", path.removeprefix("/answers/"), re.ASCII), link
        told.append(pages.text(link))
    titles = {
        unescape(one)
        for text in told
        for one in re.findall(r'<h1 class="id">(.*?)</h1>', text, re.DOTALL)
    }
    assert set(NAMES) <= titles
    assert not any("<i>" in text for text in told)
