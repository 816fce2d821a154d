"""A real vLLM as the judge: a tiny model answers nonsense, which is neutral and never an error."""

import pytest

from rlwd.ops.reading.judge import Judge
from rlwd.ops.reading.settings import JudgeSettings
from rlwd.ops.servers.vllm_server import VllmServer
from rlwd.rewards.satisfaction.message import NextMessage


@pytest.mark.vllm
def test_a_real_server_is_asked(vllm_server: VllmServer) -> None:
    """Two votes each, as its chat endpoint takes them, with the tokens that it counts."""
    settings = JudgeSettings(
        url=f"{vllm_server.url}/v1",
        model="base",
        votes=2,
        max_tokens=8,
        timeout_seconds=120.0,
        retries=0,
    )
    judge = Judge(settings, lambda: (0, 0))
    about = NextMessage(text="hi", request="hi", answer="hi")
    (found,) = judge.read([(about, "")])
    told = judge.take_told()
    judge.close()
    assert told["errors"] == 0
    assert told["calls"] == 2
    assert told["tokens"] > 2
    assert found is not None
    assert (found.direction, found.value) == ("neutral", 0.5)
    assert told["not_understood"] == 2
