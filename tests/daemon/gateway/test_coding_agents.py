"""Coding agents from npm, as they are: three turns of a session, through the door that each speaks."""

import os
import subprocess
from pathlib import Path

import httpx
import pytest
from gateway_rig import GatewayRig
from real_clients import client_folder

COMMAND = "echo hi >> made.txt"
CODEX = """model = "rlwd"
model_provider = "rlwd"
[model_providers.rlwd]
name = "rlwd"
base_url = "{url}/v1"
wire_api = "responses"
"""


def run(command: list[str | Path], work: Path, home: Path, **environment: str) -> str:
    """Run an agent where it sees nothing of this machine's own settings."""
    done = subprocess.run(
        command,
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def claude_code(url: str, place: Path, work: Path, home: Path) -> str:
    names = ("ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL")
    return run(
        [place / "claude", "-p", "hello there", "--allowedTools", "Bash"],
        work,
        home,
        ANTHROPIC_BASE_URL=url,
        ANTHROPIC_API_KEY="none",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        **dict.fromkeys(names, "rlwd"),
    )


def codex(url: str, place: Path, work: Path, home: Path) -> str:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(CODEX.format(url=url))
    unattended = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return run([place / "codex", "exec", *unattended, "hello there"], work, home)


@pytest.mark.parametrize(
    ("agent", "tool", "argument"),
    [(claude_code, "Bash", "command"), (codex, "exec_command", "cmd")],
    ids=["claude-code", "codex"],
)
def test_a_coding_agents_session_is_recorded(
    agent: object,
    tool: str,
    argument: str,
    client: httpx.Client,
    gateway: GatewayRig,
    tmp_path: Path,
) -> None:
    """Two calls are made on this machine, their results come back, and one session holds all of it."""
    place = client_folder("coding") / "node_modules" / ".bin"
    if not place.exists():
        pytest.skip("the coding agents are not installed: make clients")
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    engine = gateway.engine
    engine.tool, engine.rounds = tool, 2
    engine.arguments = f'{{"{argument}": "{COMMAND}"}}'
    assert callable(agent)
    assert "Good day!" in agent(str(client.base_url).rstrip("/"), place, work, home)
    assert (work / "made.txt").read_text() == "hi\nhi\n"
    told = [one for one in gateway.sink.generations(3) if not one.side_request]
    assert [len(one.tool_calls or ()) for one in told] == [1, 1, 0]
    assert [one.text for one in told] == ["", "", "Good day!"]
    assert len({one.session_id for one in told}) == 1
    assert {one.session_found for one in told} == {"cache_key"}
    assert [[(said.role, said.tool_call_id) for said in one.input or ()] for one in told[1:]] == [
        [("tool", "call-1")],
        [("tool", "call-2")],
    ]
    assert all(call.fits for one in told for call in one.tool_calls or ())
