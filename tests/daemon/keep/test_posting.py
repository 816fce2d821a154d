"""Posting: nothing is given up because somebody else than the gateway answers."""

from typing import Any

import httpx
import orjson
import pytest
from keep_rig import KeepRig

from rlwd.daemon.keep.posting import FeedbackPoster

FOUR = "alpha = first(1)\nbeta = second(2)\ngamma = third(3)\ndelta = fourth(4)\n"


def posting(rig: KeepRig, answers: list[httpx.Response], taken: list[str]) -> FeedbackPoster:
    """Return a poster whose gateway answers so, one after another, and then takes all; no server."""

    def handle(request: httpx.Request) -> httpx.Response:
        if answers:
            return answers.pop(0)
        posted: list[dict[str, Any]] = orjson.loads(request.content)
        if len(request.content) > 600:
            return httpx.Response(413)
        taken.extend(one["feedback_id"] for one in posted)
        return httpx.Response(202, json={"results": [{"status": 202} for _ in posted]})

    client = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(handle))
    return FeedbackPoster(store=rig.watch.store, client=client)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404),
        httpx.Response(405),
        httpx.Response(302, headers={"Location": "/login"}),
        httpx.Response(200, text="<html>Log in</html>"),
        httpx.Response(202, text="<html>Accepted</html>"),
        httpx.Response(202, json={"results": []}),
        httpx.Response(202, json=[]),
        httpx.Response(500),
        httpx.Response(521),
        httpx.Response(202, json={"results": [{"status": 500}]}),
    ],
)
def test_what_no_gateway_said_gives_nothing_up(rig: KeepRig, answer: httpx.Response) -> None:
    """A wrong path, a page to log in, a proxy's own answer: the feedback waits, and is taken later."""
    taken: list[str] = []
    rig.watch.poster = posting(rig, [answer], taken)
    rig.agent("g", "a.py", FOUR)
    rig.now += 300
    assert rig.watch.turn(rig.now) == 1
    assert rig.watch.turn(rig.now + 60) == 0
    assert len(taken) == 1


def test_a_list_that_is_too_long_is_posted_in_pieces(rig: KeepRig) -> None:
    """413 of many says nothing of each; of one alone it is the last word."""
    taken: list[str] = []
    rig.watch.poster = posting(rig, [], taken)
    for number in range(9):
        rig.agent(f"g{number}", f"{number}.py", FOUR.replace("(", f"({number}, "))
    rig.agent("g" * 400, "long.py", FOUR.replace("(", "(9, "))
    rig.now += 300
    left = rig.watch.turn(rig.now)
    for turn in range(1, 20):
        left = rig.watch.turn(rig.now + 10 * turn)
    assert left == 0
    assert len(taken) == len(set(taken)) == 9
