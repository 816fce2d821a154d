"""What each command loads: help answers at once, and what only reads the tables loads no client."""

import subprocess
import sys

import pytest

LEARNERS = {"torch", "transformers", "peft", "safetensors", "triton", "vllm", "matplotlib"}
CLIENTS = {"aiohttp", "kafka", "openfeature", "mlflow", "httpx", "apscheduler", "prometheus_client"}
REST = {"numpy", "jinja2", "msgspec", "orjson", "rapidfuzz"}
"""Help loads not even these."""

WATCHED = LEARNERS | CLIENTS | REST

COMMANDS: dict[str, set[str]] = {
    "help": set(),
    "status": {"msgspec", "orjson", "numpy"},
    "audit": {"msgspec", "orjson", "numpy"},
    "explain": {"msgspec", "orjson", "numpy"},
    "accept_gap": {"msgspec", "orjson", "numpy"},
    "erase": {"msgspec", "orjson", "numpy"},
    "rollback": {"msgspec", "orjson", "numpy"},
    "plan": {"msgspec"},
}
"""What of `WATCHED` each command may load."""

CODE = {
    "help": """
from typer.testing import CliRunner
from rlwd.daemon.cli import app
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
""",
    "status": "import rlwd.daemon.commands.status",
    "audit": "import rlwd.daemon.commands.audit_report",
    "explain": "import rlwd.daemon.commands.explain",
    "accept_gap": "import rlwd.daemon.commands.accept_gap",
    "erase": "import rlwd.daemon.commands.erase",
    "rollback": "import rlwd.daemon.commands.rollback",
    "plan": """
from typer.testing import CliRunner
from rlwd.daemon.cli import app
arguments = ["plan", "--lift=2%", "--base=0.8", "--users-per-day=9000"]
assert CliRunner().invoke(app, arguments).exit_code == 0
""",
}


def loaded_by(code: str) -> set[str]:
    """Return which of the watched packages are loaded after the code ran in a fresh process."""
    code += f"\nimport sys; print('\\n', *[m for m in {sorted(WATCHED)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_only_what_it_uses(command: str) -> None:
    """Help loads nothing heavy; what only reads or writes the tables loads no client."""
    assert loaded_by(CODE[command]) - COMMANDS[command] == set()


@pytest.mark.parametrize(
    "module",
    [
        "daemon.wire",
        "daemon.cli",
        "daemon.control.control_loop",
        "daemon.gateway.app",
        "daemon.commands.doctor",
        "daemon.commands.replay",
        "daemon.demo.run",
    ],
)
def test_daemon_and_gateway_load_nothing_of_the_learner(module: str) -> None:
    """Torch and its kin are the learner's and the engine's alone (CONTRACTS 25)."""
    assert loaded_by(f"import rlwd.{module}") & (LEARNERS | {"mlflow"}) == set()


def test_a_watched_package_is_seen() -> None:
    """The list is of what was really loaded."""
    assert loaded_by("import kafka") >= {"kafka"}
