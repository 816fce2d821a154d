"""A replica that is restarted, of each kind: what it serves is proven before anybody can ask for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlwd.learner.candidate import Candidate
from rlwd.learner.tiny.model import make_tiny_policy
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.engine.replica import Replica
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import Server, free_port
from rlwd.ops.servers.vllm_server import VllmServer

SERVERS = {"embedded": EmbeddedServer, "vllm": VllmServer}


@contextmanager
def watched(engine: HttpEngine) -> Iterator[set[str]]:
    """Collect every name that anybody could ask for meanwhile."""
    names: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        with_own = HttpEngine(engine.url)
        while not stop.wait(0.005):
            names.update(with_own.loaded())
        with_own.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield names
    finally:
        stop.set()
        watcher.join()


@pytest.mark.parametrize("kind", ["embedded", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_a_restarted_engine_is_asked_for_nothing_that_it_has_not_proven(
    kind: str, tiny_policy: Path, versions: tuple[Candidate, Candidate], tmp_path: Path
) -> None:
    """With another base model it never has a version's own name; with the right one it had, proven."""
    other = tmp_path / "other"
    make_tiny_policy(other, seed=1, steps=0)
    port, one = free_port(), versions[0]
    engine = HttpEngine(f"http://127.0.0.1:{port}")
    replica = Replica(engine, "policy", 1e-3)
    server: Server
    with SERVERS[kind](tiny_policy, tmp_path / "right", port=port) as server:
        assert replica.fill({one.version: one}) == []
        assert replica.proven == {one.version}
        assert engine.loaded() == {one.version: str(one.path)}
        server.kill()
    with SERVERS[kind](other, tmp_path / "wrong", port=port), watched(engine) as names:
        assert engine.loaded() == {}
        (problem,) = replica.fill({one.version: one})
        assert "log-probabilities are off by" in problem, "a new process proves it anew"
        assert engine.loaded() == {}
    assert not names & {one.version}, "it could be asked for by nobody"
    engine.close()
