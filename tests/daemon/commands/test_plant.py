"""`rlwd plant`: strings go through a real gateway as test tenants' own, and into a file for the gate."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from gateway_rig import GatewayRig, LoopThread
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.ops.gate.planted import load_planted
from rlwd.streams.events.signals import Edited


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    """One event loop for the servers."""
    loop = LoopThread()
    yield loop
    loop.close()


def test_strings_are_planted_across_tenants(tmp_path: Path, loop: LoopThread) -> None:
    """Each tenant says its own, consents, and edits the answer into it: nobody else ever says it."""
    file = tmp_path / "planted.jsonl"
    with ExitStack() as stack:
        rig = GatewayRig(tmp_path, loop, stack)
        rig.set_flags()
        url = str(rig.open().base_url)
        ran = CliRunner().invoke(
            app, ["plant", str(file), "--gateway", url, "--tenants", "amber,birch", "--times", "3"]
        )
        assert ran.exit_code == 0, ran.output
        planted = load_planted(file, 1023)
        assert [one.tenant for one in planted] == ["amber", "amber", "birch", "birch"]
        events = rig.sink.generations(24)
        said = rig.sink.feedback(24)
    assert len(events) == len(said) == 12
    assert {event.tenant for event in events} == {"amber", "birch"}
    assert all(event.consent for event in events)
    asked = [str(body["messages"]) for body in rig.engine.asked]
    for one in planted:
        assert sum(one.secret in text for text in asked) == 3
        edits = [f.signal for f in said if isinstance(f.signal, Edited)]
        assert sum(edit.final_text == one.prefix + one.secret for edit in edits) == 3
