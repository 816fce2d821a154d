"""Mirrored requests: what is asked of a candidate that nobody is shown, and what never is.

Locked here: people's answers are the same with and without it; nothing is mirrored without consent,
beyond the share, or while the engine has no room; what is given up is counted by why; an event holds
nothing of what was said.
"""

from typing import Any

import httpx
import pytest
from gateway_rig import CHAT, HELLO, PLAIN, GatewayRig, version, wait_for

from rlwd.ops.engine.engine_load import EngineLoad, load_of
from rlwd.ops.flags.assignment import bucket
from rlwd.streams.events.generation import Generation

CHAMPION, SHADOW = version(2).version, version(3).version


def outcomes(client: httpx.Client) -> dict[str, int]:
    """What became of mirrored requests, by outcome."""
    lines = client.get("/metrics").text.splitlines()
    told = [line for line in lines if line.startswith("rlwd_gateway_shadow_total{")]
    return {line.split('"')[1]: int(float(line.split()[-1])) for line in told}


def ask(client: httpx.Client, path: str = CHAT, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    answer = client.post(path, json={**HELLO, "user": "ann", **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def mirrored(gateway: GatewayRig, count: int = 2) -> Generation:
    """The one mirrored answer among so many events."""
    (found,) = [one for one in gateway.sink.generations(count) if one.variant == "shadow"]
    return found


@pytest.fixture
def shadowed(gateway: GatewayRig) -> httpx.Client:
    """A gateway all of whose requests are mirrored."""
    gateway.set_flags(shadow=10_000)
    return gateway.open()


@pytest.mark.parametrize("stream", [False, True])
def test_the_candidate_is_asked_the_same_and_nobody_is_shown_it(
    gateway: GatewayRig, shadowed: httpx.Client, stream: bool
) -> None:
    """The client gets the champion's answer; the event says how the other ended, and nothing of it."""
    answer = ask(shadowed, stream=stream, temperature=0.5)
    assert answer.headers["X-Rlwd-Version"].startswith(CHAMPION)
    event = mirrored(gateway)
    assert event.generation_id == answer.headers["X-Rlwd-Generation"] + ".shadow"
    assert (event.version, event.salt, event.bucket) == (SHADOW, SHADOW, -1)
    assert (event.finish_reason, event.usage.completion_tokens) == ("stop", 4)
    assert (event.text, event.prompt_token_ids, event.completion_token_ids) == ("", None, None)
    first, second = gateway.engine.asked
    assert (first["model"], second["model"]) == (CHAMPION, SHADOW)
    assert second["messages"] == first["messages"]
    assert (second["temperature"], second["stream"]) == (0.5, False)
    assert "logprobs" not in second
    wait_for(lambda: outcomes(shadowed) == {"answered": 1})


def test_a_plain_completion_is_mirrored_where_it_was_asked(
    gateway: GatewayRig, shadowed: httpx.Client
) -> None:
    """On its own path, with its own prompt."""
    answer = shadowed.post(PLAIN, json={"model": "rlwd", "prompt": "hi", "user": "ann"})
    assert answer.status_code == 200
    assert mirrored(gateway).usage.completion_tokens == 4
    assert gateway.engine.asked[1]["prompt"] == "hi"


def test_who_did_not_consent_is_not_mirrored(gateway: GatewayRig, shadowed: httpx.Client) -> None:
    """Nor is a request that the engine refused: neither says anything of the candidate."""
    ask(shadowed, headers={"X-Rlwd-Consent": "false"})
    assert shadowed.post(CHAT, json={"model": "rlwd", "user": "ann"}).status_code == 400
    ask(shadowed)
    assert mirrored(gateway, 4).user_hash
    assert [one["model"] for one in gateway.engine.asked].count(SHADOW) == 1


def test_only_the_champions_requests_are_mirrored(gateway: GatewayRig) -> None:
    """Whoever is held out stays out of it, too."""
    gateway.set_flags(anchor=10_000, shadow=10_000)
    client = gateway.open()
    ask(client)
    gateway.sink.wait(1)
    assert [one["model"] for one in gateway.engine.asked] == [version(0).version]
    assert outcomes(client) == {}


def test_a_share_of_the_requests_is_mirrored(gateway: GatewayRig) -> None:
    """By the request, so that each may be one; which ones is our hash."""
    gateway.set_flags(shadow=3000)
    client = gateway.open(shadow_concurrency=100)
    names = [ask(client).headers["X-Rlwd-Generation"] for _ in range(40)]
    chosen = {one for one in names if bucket(f"shadow/{SHADOW}", one) < 3000}
    events = gateway.sink.generations(40 + len(chosen))
    assert {one.generation_id for one in events if one.variant == "shadow"} == {
        f"{one}.shadow" for one in chosen
    }
    assert 2 <= len(chosen) <= 25


@pytest.mark.parametrize(
    ("load", "beside", "mirrored_at_all"),
    [
        ((1, 0), 8, False),
        ((0, 9), 8, False),
        ((0, 8), 8, True),
        ((0, 1), 0, False),
        (None, 8, False),
    ],
)
def test_a_busy_engine_is_asked_nothing(
    gateway: GatewayRig, load: tuple[int, int] | None, beside: int, mirrored_at_all: bool
) -> None:
    """Where one waits, more run than may, or it does not tell: dropped, counted, people served."""
    gateway.set_flags(shadow=10_000)
    gateway.engine.busy = load
    client = gateway.open(shadow_beside=beside)
    ask(client)
    wait_for(lambda: outcomes(client) == {"answered" if mirrored_at_all else "no_room": 1})
    assert len(gateway.engine.asked) == 1 + mirrored_at_all
    assert len(gateway.sink.generations(1 + mirrored_at_all)) == 1 + mirrored_at_all


def test_it_makes_way_where_people_come(gateway: GatewayRig, shadowed: httpx.Client) -> None:
    """Under way, it is given up as soon as somebody waits: the engine stops, and no event is left."""
    ask(shadowed)
    mirrored(gateway)
    wait_for(lambda: outcomes(shadowed) == {"answered": 1})
    gateway.engine.slow = {SHADOW: 30.0}
    ask(shadowed)
    wait_for(lambda: len(gateway.engine.asked) == 4)
    gateway.engine.busy = (1, 1)
    wait_for(lambda: outcomes(shadowed) == {"answered": 1, "made_way": 1})
    assert gateway.engine.left.wait(10)
    events = gateway.sink.generations(3)
    assert [one.variant for one in events].count("shadow") == 1


def test_no_more_are_under_way_than_may_be(gateway: GatewayRig) -> None:
    """None is queued: what comes on top is dropped."""
    gateway.set_flags(shadow=10_000)
    gateway.engine.slow = {SHADOW: 30.0}
    client = gateway.open(shadow_concurrency=1)
    for _ in range(3):
        ask(client)
    wait_for(lambda: outcomes(client) == {"busy": 2})


@pytest.mark.parametrize("status", [400, 500])
def test_what_the_engine_fails_is_an_event_too(
    gateway: GatewayRig, shadowed: httpx.Client, status: int
) -> None:
    """It ends as it ended; nobody who asked notices."""
    gateway.engine.statuses = {SHADOW: status}
    ask(shadowed)
    event = mirrored(gateway)
    assert event.finish_reason == ("refused" if status == 400 else "error")
    assert event.status == status


def test_a_version_that_is_not_loaded_is_no_failure_of_it(
    gateway: GatewayRig, shadowed: httpx.Client
) -> None:
    """The engine came back empty: there was no answer, and there is no event."""
    gateway.engine.known.discard(SHADOW)
    ask(shadowed)
    wait_for(lambda: outcomes(shadowed) == {"not_loaded": 1})
    assert len(gateway.sink.generations(1)) == 1


def test_a_gateway_that_stops_gives_up_what_is_mirrored(gateway: GatewayRig) -> None:
    """It waits for nothing that nobody waits for."""
    gateway.set_flags(shadow=10_000)
    gateway.engine.slow = {SHADOW: 30.0}
    ask(gateway.open())
    wait_for(lambda: len(gateway.engine.asked) == 2)
    gateway.stack.close()
    assert gateway.engine.left.is_set()


def test_the_load_is_read_of_vllms_page_and_of_the_embedded_engines() -> None:
    """What looks alike is something else, and several engines behind one page add up."""
    vllm = (
        b'vllm:num_requests_waiting{engine="0"} 1.0\nvllm:num_requests_waiting{engine="1"} 2.0\n'
        b'vllm:num_requests_waiting_by_reason{reason="capacity"} 9.0\n'
        b'vllm:num_requests_running{engine="0"} 4.0\n'
        b'vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 0.6\n'
    )
    assert load_of(vllm) == EngineLoad(3.0, 4.0, 0.6)
    own = b"rlwd_engine_requests_running 1\n# TYPE x gauge\nrlwd_engine_requests_waiting 0\n"
    assert load_of(own) == EngineLoad(0.0, 1.0, 0.0)
    assert load_of(b"some_other_engine_waiting 0\n") is None
    assert load_of(b"vllm:num_requests_waiting x\nvllm:num_requests_running 1\n") is None
