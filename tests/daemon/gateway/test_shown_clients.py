"""The short pieces of docs/connect.md do what the page says, run as they stand on it."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from gateway_rig import GatewayRig
from langchain_openai import ChatOpenAI
from openai import OpenAI
from openfeature import api

CONNECT = (Path(__file__).parents[3] / "docs" / "connect.md").read_text()


def piece(first_line: str) -> str:
    """Return the Python on the page that begins with this comment."""
    found = re.search(rf"```python\n(# {re.escape(first_line)}\n.*?)```", CONNECT, re.DOTALL)
    assert found is not None
    return found[1]


def run(first_line: str, folder: Path, **names: Any) -> dict[str, Any]:
    """Run a piece with the names that the page says are those of the examples."""
    file = folder / "piece.py"
    file.write_text(piece(first_line))
    return runpy.run_path(str(file), init_globals=names)


@pytest.mark.parametrize("first_line", ["OpenAI's client", "LangChain"])
def test_metadata_says_who_asks(gateway: GatewayRig, tmp_path: Path, first_line: str) -> None:
    """The log has session, segment and consent of `metadata`, under the id that the client got."""
    gateway.set_flags()
    url = f"{str(gateway.open().base_url).rstrip('/')}/v1"
    with OpenAI(base_url=url, api_key="none") as openai:
        model = ChatOpenAI(base_url=url, api_key="none", model="rlwd")  # type: ignore[arg-type]
        names = run(first_line, tmp_path, openai=openai, model=model)
    (generation,) = gateway.sink.generations(1)
    assert generation.generation_id == names["generation_id"]
    assert (generation.session_id, generation.segment) == ("ticket-4711", "reply")
    assert generation.user_named
    assert generation.consent


def test_openfeature_gives_the_variant(gateway: GatewayRig, tmp_path: Path) -> None:
    """The variant and its adapter come back from the real OFREP provider."""
    state = gateway.set_flags()
    url = str(gateway.open().base_url).rstrip("/")
    try:
        names = run("OpenFeature", tmp_path, URL=url, TOKEN="none")
        assert names["variant"] == "champion"
        assert names["adapter"] == state.champion.version
    finally:
        api.clear_providers()
