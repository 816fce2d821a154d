"""What the engine is asked: nothing that a client must not choose, and a bent distribution is marked."""

from typing import Any

import httpx
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, version


def test_what_goes_up_is_the_gateways_own(client: httpx.Client, gateway: GatewayRig) -> None:
    """Nothing that chooses weights, slots or priorities, and no user, gets through to the engine."""
    client.post(
        CHAT,
        json={
            **HELLO,
            "user": "alice",
            "metadata": {"session": "s1"},
            "seed": 7,
            "cache_salt": "x",
            "priority": -5,
            "request_id": "mine",
            "top_k": 5,
        },
        headers={
            "X-data-parallel-rank": "1",
            "X-Vllm-Priority": "1",
            "X-Session-ID": "z",
            "X-Request-Id": "mine",
            "Authorization": "Bearer client",
        },
    )
    (asked,), (headers,) = gateway.engine.asked, gateway.engine.headers
    (event,) = gateway.sink.generations(1)
    assert asked == {
        "messages": HELLO["messages"],
        "model": version(2).version,
        "request_id": event.generation_id,
        "logprobs": True,
        "top_logprobs": 0,
        "return_token_ids": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 5,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }
    assert event.sampling.top_k == 5
    sent = {name.lower() for name in headers}
    assert sent <= {
        "host",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "user-agent",
    }


def test_seed_passes_where_the_engine_can_take_it(gateway: GatewayRig) -> None:
    """With strip_seed off the client's seed reaches the engine."""
    gateway.set_flags()
    gateway.open(strip_seed=False).post(CHAT, json={**HELLO, "seed": 7})
    assert gateway.engine.asked[0]["seed"] == 7


@pytest.mark.parametrize(
    ("asked", "kept"), [(7, 7), (True, None), ("7", None), (1.5, None), ([7], None), (2**64, None)]
)
def test_an_odd_length_limit_costs_no_event(
    asked: Any, kept: int | None, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Whatever an engine makes of a limit that is no number, the event can be read."""
    assert client.post(CHAT, json={**HELLO, "max_tokens": asked}).status_code == 200
    (event,) = gateway.sink.generations(1)
    assert event.sampling.max_tokens == kept


@pytest.mark.parametrize(
    ("extra", "constrained"),
    [
        ({}, False),
        ({"presence_penalty": 0, "repetition_penalty": 1, "logit_bias": {}}, False),
        ({"response_format": {"type": "text"}}, False),
        ({"presence_penalty": 0.5}, True),
        ({"frequency_penalty": -0.5}, True),
        ({"repetition_penalty": 1.1}, True),
        ({"logit_bias": {"5": 1}}, True),
        ({"response_format": {"type": "json_object"}}, True),
        ({"guided_regex": "a+"}, True),
        ({"structured_outputs": {"regex": "a+"}}, True),
        ({"tool_choice": "required"}, True),
        ({"min_tokens": 3}, True),
    ],
)
def test_a_bent_distribution_is_marked(
    extra: dict[str, Any], constrained: bool, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Penalties, bias and grammars are named in the event, so that the ratio lanes can exclude."""
    client.post(CHAT, json={**HELLO, **extra})
    (event,) = gateway.sink.generations(1)
    assert event.sampling.constrained is constrained
