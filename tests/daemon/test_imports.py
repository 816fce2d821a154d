"""What each command loads: help answers at once, and what only reads the tables loads no client."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from rlwd.daemon.config import load_config
from rlwd.daemon.store import existing_store

LEARNERS = {"torch", "transformers", "peft", "safetensors", "triton", "vllm", "matplotlib"}
LEARNERS |= {"sklearn", "scipy"}
CLIENTS = {"aiohttp", "kafka", "openfeature", "mlflow", "httpx", "apscheduler", "prometheus_client"}
REST = {"numpy", "jinja2", "msgspec", "orjson", "rapidfuzz"}
"""Help loads not even these."""

WATCHED = LEARNERS | CLIENTS | REST

COMMANDS: dict[str, set[str]] = {
    "help": set(),
    "status": {"msgspec", "orjson", "numpy", "rapidfuzz"},  # It reads the spec, and so its parts.
    "audit": {"msgspec", "orjson", "numpy"},
    "explain": {"msgspec", "orjson", "numpy"},
    "accept_gap": {"msgspec", "orjson", "numpy"},
    "erase": {"msgspec", "orjson", "numpy"},
    "rollback": {"msgspec", "orjson", "numpy"},
    "plan": {"msgspec", "numpy"},
}
"""What of `WATCHED` each command may load."""

GENERATION = "0-0.01a214a20688301c4ac86e07"
ARGUMENTS: dict[str, list[str]] = {
    "help": ["--help"],
    "status": ["status"],
    "audit": ["audit"],
    "explain": ["explain", GENERATION],
    "accept_gap": ["accept-gap", "rlwd.feedback/0", "1"],
    "erase": ["erase", "somebody"],
    "rollback": ["rollback", "champion", "--reason", "a test"],
    "plan": ["plan", "--lift=2%", "--base=0.8", "--users-per-day=9000"],
}
WITHOUT_CONFIG = {"help", "plan"}
STATUS = {"accept_gap": 2}
"""Exit status where it is not 0: there is no gap to accept."""

COMMAND = """
from rlwd.daemon.cli import main
sys.argv = ["rlwd", *{arguments!r}]
try:
    main()
    status = 0
except SystemExit as ended:
    status = ended.code or 0
assert status == {status}, status
"""


def loaded_by(code: str) -> set[str]:
    """Return which of the watched packages are loaded after the code ran in a fresh process."""
    code = (
        f"import sys\n{code}\nprint('\\n', *[m for m in {sorted(WATCHED)!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The config of a state folder that a demo of 0.1.0 left."""
    archive = Path(__file__).parents[1] / "upgrades" / "0.1.0" / "state.tar.xz"
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    migrated = load_config(tmp_path / "rlwd.toml")
    existing_store(migrated).close()
    return tmp_path / "rlwd.toml"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_only_what_it_uses(command: str, config: Path) -> None:
    """Run to its end on a real state, help loads nothing heavy, and what reads or writes tables no client."""
    where = [] if command in WITHOUT_CONFIG else ["--config", str(config)]
    code = COMMAND.format(arguments=ARGUMENTS[command] + where, status=STATUS.get(command, 0))
    assert loaded_by(code) - COMMANDS[command] == set()


@pytest.mark.parametrize(
    "module",
    [
        "daemon.wire",
        "daemon.cli",
        "daemon.control.control_loop",
        "daemon.doctor.doctor",
        "daemon.commands.replay",
        "daemon.demo.run",
    ],
)
def test_daemon_and_gateway_load_nothing_of_the_learner(module: str) -> None:
    """Torch and its kin are the learner's and the engine's alone (CONTRACTS 25)."""
    assert loaded_by(f"import rlwd.{module}") & (LEARNERS | {"mlflow"}) == set()


def test_a_gateway_loads_nothing_of_the_daemons_either() -> None:
    """What it is started with, on an embedded log: no client of a broker, no timers, none of the pages."""
    code = "import rlwd.daemon.parent.gateway_workers, rlwd.daemon.wire_log"
    unused = LEARNERS | {"mlflow", "kafka", "apscheduler", "jinja2", "rapidfuzz", "httpx"}
    assert loaded_by(code) & unused == set()


def test_a_watched_package_is_seen() -> None:
    """The list is of what was really loaded."""
    assert loaded_by("import kafka") >= {"kafka"}
