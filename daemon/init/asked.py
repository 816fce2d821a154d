"""Asked: one bounded question to a server that may be anything, and what it said as a line may show it."""

import asyncio
from typing import NamedTuple

import httpx

from ...streams.authorities import authorities
from ..status.shown_text import shown

SECONDS = 3.0
"""Longest wait for a connection, and between two parts of an answer."""
IN_ALL = 6.0
"""Longest time for a whole answer."""
MOST_BYTES = 1 << 20
"""Longer answers are of no server that is looked for."""
LINE = 120
"""Letters that are shown of what a server or a folder is called."""
_NOBODY = "All connection attempts failed"


class PageAnswer(NamedTuple):
    """What a server answered."""

    status: int
    """Of HTTP."""
    body: bytes
    """Its beginning, where it is longer than `MOST_BYTES`."""


def ask(url: str, key: str = "") -> PageAnswer | str:
    """Ask for a page, with a key where one is given; return why there is none, empty where nothing listens there.

    Whatever answers has `IN_ALL` seconds and `MOST_BYTES`: one that never ends holds up nobody.
    """
    try:
        return asyncio.run(_ask(url, key))
    except httpx.ConnectError as problem:
        # Of a name that is unknown and of a certificate that is refused it says more.
        return "" if _NOBODY in str(problem) else one_line(str(problem))
    except TimeoutError:
        return f"did not answer within {IN_ALL:g} seconds"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as problem:
        return one_line(str(problem) or type(problem).__name__)


async def _ask(url: str, key: str) -> PageAnswer:
    told = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        asyncio.timeout(IN_ALL),
        httpx.AsyncClient(timeout=SECONDS, verify=authorities(), trust_env=False) as client,
        client.stream("GET", url, headers=told) as answer,
    ):
        body = bytearray()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > MOST_BYTES:
                break
        return PageAnswer(answer.status_code, bytes(body[:MOST_BYTES]))


def one_line(text: str) -> str:
    r"""Return a text as one line of a terminal, without what moves its cursor.

    >>> one_line("a\nb\x1b[2J")
    'a b\\x1b[2J'
    """
    cut = text if len(text) <= LINE else f"{text[:LINE]}…"
    return " ".join(shown(cut).plain.split())
