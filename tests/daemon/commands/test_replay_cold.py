"""Replay of an answer that was drawn too cold to learn from."""

from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from rlwd.daemon.commands.replay import replay


def _event(kind: str, name: str, data: Mapping[str, object]) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": name,
            "source": "/gw",
            "type": f"rlwd.{kind}.v1",
            "time": "2026-11-01T12:00:00Z",
            "receivedtime": "2026-11-01T12:00:10Z",
            "data": {"generation_id": "s1.g1", "session_id": "s1", **data},
        }
    )


@pytest.mark.parametrize(
    ("temperature", "fate"),
    [
        (0.01, "excluded:low_temperature"),
        (0.0499, "excluded:low_temperature"),
        (0.05, "waiting"),
        (0.0, "excluded:greedy"),
    ],
)
def test_a_cold_answer_is_excluded_by_name(temperature: float, fate: str, tmp_path: Path) -> None:
    """Colder than the bound it ends by its own rule, before it could be sealed with others."""
    served = {
        "policy": "policy",
        "version": "policy@v000000-aaaaaaaa",
        "prompt_token_ids": [5, 6],
        "completion_token_ids": [7, 8],
        "logprobs": [-0.1, -0.2],
        "finish_reason": "stop",
        "sampling": {"temperature": temperature},
    }
    accepted = {"feedback_id": "a", "signal": {"kind": "accepted"}}
    file = tmp_path / "events.jsonl"
    rows = (_event("generation", "s1.g1", served), _event("feedback", "a", accepted))
    file.write_bytes(b"\n".join(rows) + b"\n")
    assert replay(file, "events", tmp_path / "state")["fates"] == {fate: 1}
