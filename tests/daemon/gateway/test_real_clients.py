"""Real clients: for each, the event is what the client saw, streamed and whole."""

import httpx
import pytest
from fake_engine import Misbehaviour
from gateway_rig import GatewayRig
from real_clients import CLIENTS, RealClient, Transcript

from rlwd.streams.events.generation import Generation


def agree(seen: Transcript, event: Generation) -> None:
    """Hold one event against what a client saw."""
    assert event.capture_problem == ""
    assert seen.text == event.text
    assert seen.finish in (None, event.finish_reason)
    assert seen.id in (None, event.generation_id)
    if seen.usage is not None:
        assert seen.usage == [event.usage.prompt_tokens, event.usage.completion_tokens]
    assert len(event.completion_token_ids or ()) == event.usage.completion_tokens
    assert len(event.logprobs or ()) == event.usage.completion_tokens
    assert len(event.prompt_token_ids or ()) == event.usage.prompt_tokens


@pytest.mark.parametrize("real", CLIENTS, ids=lambda real: real.name)
def test_the_event_is_what_the_client_saw(
    real: RealClient, client: httpx.Client, gateway: GatewayRig
) -> None:
    """Text, end, tokens, usage and id agree, on an engine that lingers and writes CRLF and comments."""
    gateway.engine.wrong = Misbehaviour(linger=0.5, line_end=b"\r\n", comments=True)
    asks = real.asks()
    transcripts = real.talk(str(client.base_url).rstrip("/"), asks)
    events = gateway.sink.generations(len(asks))
    assert len(transcripts) == len(events) == len(asks)
    for ask, seen, event in zip(asks, transcripts, events, strict=True):
        agree(seen, event)
        called = ask.endswith("tool")
        assert event.finish_reason == ("tool_calls" if called else "stop")
        assert (seen.tool is not None) is called
        # The Agents SDK marks its tools strict, so their arguments are under a grammar.
        assert event.sampling.constrained is (called and real.script.startswith("agents"))
