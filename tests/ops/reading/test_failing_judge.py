"""A judge that fails costs neither the day's budget nor the other texts, and says so."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gateway_rig import LoopThread
from scripted_judge import ScriptedJudge

from rlwd.ops.reading import judge_door
from rlwd.ops.reading.judge import NONSENSE, AskedText, Judge
from rlwd.ops.reading.judge_door import FAILURES, LONGEST, Rest
from rlwd.ops.reading.settings import JudgeSettings
from rlwd.rewards.satisfaction.message import NextMessage

pytestmark = pytest.mark.timeout(300)
ABOUT = NextMessage(text="still wrong", request="sort it", answer="sorted")


def texts(count: int) -> list[tuple[NextMessage, str]]:
    return [(NextMessage(text=f"text {number}"), "") for number in range(count)]


@pytest.fixture
def server() -> Iterator[ScriptedJudge]:
    loop, found = LoopThread(), ScriptedJudge()
    loop.run(found.start())
    yield found
    loop.run(found.runner.cleanup())
    loop.close()


@pytest.fixture
def make(server: ScriptedJudge) -> Iterator[Callable[..., Judge]]:
    made: list[Judge] = []

    def build(**settings: Any) -> Judge:
        given = {"url": server.url, "model": "m", "retry_seconds": 0.0, "votes": 1, **settings}
        made.append(Judge(JudgeSettings(**given), lambda: (0, 0)))
        return made[-1]

    yield build
    for one in made:
        one.close()


def raw_server(says: bytes, again: bytes) -> tuple[str, Callable[[], None]]:
    """A server that begins an answer and then sends the same piece for ever."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        try:
            connected, _ = listening.accept()
            with connected:
                connected.recv(65536)
                connected.sendall(says)
                while not ended.wait(0.05):
                    connected.sendall(again)
        except OSError:
            pass

    thread = threading.Thread(target=serve)
    thread.start()

    def end() -> None:
        ended.set()
        listening.close()
        thread.join()

    return f"http://127.0.0.1:{listening.getsockname()[1]}/v1", end


@pytest.mark.parametrize(
    ("says", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
)
def test_the_limit_holds_for_headers_too(
    make: Callable[..., Judge], says: bytes, again: bytes
) -> None:
    """However often a byte comes, a call ends in its time, and its caller is free."""
    url, end = raw_server(says, again)
    try:
        judge = make(url=url, retries=0, timeout_seconds=0.3)
        assert judge.read([(ABOUT, "")]) == [None]
        assert judge.take_told() == {"calls": 1, "errors": 1}
    finally:
        end()


def test_what_nobody_asked_to_be_squeezed_is_refused(
    server: ScriptedJudge, make: Callable[..., Judge]
) -> None:
    """A megabyte on the wire may be a gigabyte in memory."""
    server.squeezes = True
    judge = make(retries=0)
    assert judge.read([(ABOUT, "")]) == [None]
    assert judge.take_told()["errors"] == 1


def test_an_outage_costs_no_budget(server: ScriptedJudge, make: Callable[..., Judge]) -> None:
    """After a few failures nothing is asked for a while; when it is back, everything is read."""
    server.status = lambda number: 503
    judge = make(concurrency=1)
    for text, rubric in texts(200):
        judge.begin(text, rubric)
    found = list[AskedText]()
    while len(found) < 200:
        found += judge.done(None)
    assert len(server.asked) <= 2 * FAILURES
    assert judge.take_told()["calls"] == len(server.asked)
    assert judge.problem is not None
    assert "status 503" in judge.problem
    server.status = lambda number: 200
    assert None not in judge.read(texts(20))
    assert judge.problem is None


def test_whoever_waits_for_a_judge_that_is_gone_is_told(
    make: Callable[..., Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command ends with the address and what was wrong."""
    monkeypatch.setattr(judge_door, "SHORTEST", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    judge = make(url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ConnectionError, match=f"the judge at http://127.0.0.1:{port}/v1 fails"):
        judge.read(texts(1000))
    assert judge.take_told()["calls"] < 100


def test_a_judge_that_asks_to_be_let_be_is(
    server: ScriptedJudge, make: Callable[..., Judge]
) -> None:
    """One 429 with a Retry-After is enough."""
    server.status, server.headers = lambda number: 429, {"Retry-After": "30"}
    judge = make(concurrency=1, retries=5)
    judge.begin(ABOUT, "")
    assert [one.reading for one in judge.done(None)] == [None]
    assert len(server.asked) == 1
    assert judge.rests


def test_a_text_that_is_refused_is_not_asked_again_at_once(
    server: ScriptedJudge, make: Callable[..., Judge]
) -> None:
    """It is too long, say: it would be refused again, and others would not."""
    server.status = lambda number: 400
    judge = make(concurrency=1)
    assert judge.read(texts(2 * FAILURES)) == [None] * (2 * FAILURES)
    assert len(server.asked) == 2 * FAILURES
    assert judge.problem is None


def test_votes_that_decide_nothing_any_more_are_not_asked_for(
    server: ScriptedJudge, make: Callable[..., Judge]
) -> None:
    """Two of three were refused: the third costs money and says too little."""
    server.status = lambda number: 422
    judge = make(votes=3, concurrency=1)
    assert judge.read([(ABOUT, "")]) == [None]
    assert len(server.asked) == 2


def test_a_judge_that_never_says_anything_is_not_neutral(
    server: ScriptedJudge, make: Callable[..., Judge]
) -> None:
    """A few such answers are neutral; of a judge that gives no others the texts wait for a better one."""
    server.script = lambda body, number: "<think> Let me see"
    judge = make(concurrency=1)
    found = judge.read(texts(NONSENSE + 10))
    assert [one is not None for one in found] == [True] * (NONSENSE - 1) + [False] * 11
    assert {one.confidence for one in found if one is not None} == {0.0}
    assert judge.problem is not None
    assert "say nothing of what was asked" in judge.problem
    server.script = lambda body, number: "satisfied"
    assert None not in judge.read(texts(2))
    assert judge.problem is None


def test_another_rubric_is_another_reader(
    server: ScriptedJudge, make: Callable[..., Judge]
) -> None:
    """What was marked by a text is not said to be by a later one."""
    judge = make()
    versions = {judge.begin(ABOUT, rubric).reader for rubric in ("", "Is it kind?", "Is it short?")}
    assert len(versions) == 3
    assert judge.version in versions
    # A call that is cancelled while it connects leaves its socket to the garbage collector (anyio 4.16, and
    # asyncio's own server), which warns in whatever test it runs.
    found = list[AskedText]()
    while len(found) < 3:
        found += judge.done(None)


def test_rests_grow_and_end_with_a_call_that_works() -> None:
    """Of calls that were under way none makes a rest longer."""
    now = [100.0]
    rest = Rest(lambda: now[0])
    for _ in range(FAILURES):
        assert rest.left() == 0.0
        rest.failed(now[0], "no")
    assert (rest.left(), rest.times) == (1.0, 1)
    rest.failed(99.0, "begun before")
    assert (rest.left(), rest.times) == (1.0, 1)
    lengths = []
    for _ in range(9):
        now[0] += rest.left()
        rest.failed(now[0], "no")
        lengths.append(rest.left())
    assert lengths[:3] == [2.0, 4.0, 8.0]
    assert lengths[-1] == LONGEST
    now[0] += LONGEST
    rest.worked()
    assert (rest.left(), rest.times, rest.problem) == (0.0, 0, None)


def test_waiting_for_a_rest_keeps_nobody_from_closing(
    server: ScriptedJudge, make: Callable[..., Judge]
) -> None:
    """Whoever reads is woken."""
    server.status, server.headers = lambda number: 429, {"Retry-After": "500"}
    judge, ended = make(concurrency=1), threading.Event()

    def read() -> None:
        with pytest.raises(RuntimeError):
            judge.read(texts(5))
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    while not judge.rests:
        time.sleep(0.01)
    judge.close()
    assert ended.wait(30.0)
