"""No log line has what people or models wrote, whichever door it came in by and however it failed."""

import io
import json
import re
from pathlib import Path
from typing import Any

from gateway_rig import CHAT, HELLO, GatewayRig
from ledger_by_hand import FEEDBACK, GENERATIONS, open_ledger
from planted_sentence import REQUEST, SENTENCE, WORDS, plant_everywhere

from rlwd.streams.logs import log_to_stderr


def lines_of(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_planted_sentence_is_in_no_line(gateway: GatewayRig, tmp_path: Path) -> None:
    """In requests, tools, edits, what is malformed, what an engine refuses, fails on and breaks off."""
    written = io.StringIO()
    log_to_stderr("gateway", "debug", stream=written)
    gateway.set_flags()
    client = gateway.open()
    told = plant_everywhere(str(client.base_url))
    assert {200, 202, 400} <= told.statuses, "it went in by every door"
    body = {**HELLO, "messages": [{"role": "user", "content": SENTENCE}]}
    wrong = gateway.engine.wrong
    wrong.words, wrong.raw_body = f"cannot read {SENTENCE}", f'{{"id": "{SENTENCE}'.encode()
    for status in (200, 400, 500):
        wrong.status = status
        client.post(CHAT, json=body, headers={"X-Request-Id": f"{REQUEST}-{status}"})
    ledger = open_ledger(tmp_path / "rlwd.db")
    for partition in (GENERATIONS, FEEDBACK):
        ledger.take(
            f'{{"data": "{SENTENCE}'.encode(),
            f'{{"type": "{SENTENCE}", "{SENTENCE}": 1}}'.encode(),
            partition=partition,
        )
    lines = lines_of(written)
    for line in lines:
        assert {"time", "level", "process", "message"} <= line.keys()
        assert not WORDS & set(re.findall(r"\w+", json.dumps(line))), line["message"]
    named = {line["message"]: line for line in lines if "request" in line}
    assert named["engine_refused"]["request"] == f"{REQUEST}-400"
    assert named["engine_broke_off"]["request"] == f"{REQUEST}-200"
    assert named["engine_failed"]["request"] == f"{REQUEST}-500"
    assert all(line["generation"] for line in named.values())
    assert len({line["generation"] for line in named.values()}) == len(named)


def test_a_request_that_breaks_the_gateway_is_logged_without_its_words(
    gateway: GatewayRig, monkeypatch: Any
) -> None:
    """A fault of ours that quotes the request: the line has type and place, and the request's id."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError(SENTENCE)

    written = io.StringIO()
    log_to_stderr("gateway", stream=written)
    gateway.set_flags()
    client = gateway.open()
    monkeypatch.setattr("rlwd.daemon.gateway.completions.identify", broken)
    answer = client.post(CHAT, json=HELLO, headers={"X-Request-Id": REQUEST})
    assert answer.status_code == 500
    (line,) = [one for one in lines_of(written) if one["message"] == "request_failed"]
    assert line["request"] == REQUEST
    assert "KeyError" in line["exception"]
    assert SENTENCE not in json.dumps(line)
    # The next request on the same connection is another one's.
    client.post(CHAT, json=HELLO)
    assert "request" not in lines_of(written)[-1]
