"""A replica that is restarted, of each kind: what it serves is proven before anybody can ask for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from slow_wire import SlowWire

from rlwd.learner.candidate import Candidate
from rlwd.learner.tiny.model import make_tiny_policy
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.engine.replica import Replica
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.vllm_server import VllmServer

KINDS: dict[str, tuple[str, Callable[[Path, Path], EmbeddedServer | VllmServer]]] = {
    "embedded": ("engine_server", EmbeddedServer),
    "vllm": ("vllm_server", partial(VllmServer, one_core=True)),
}
"""The fixture of the one with the right base model, and how another is started."""


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
    kind: str,
    request: pytest.FixtureRequest,
    versions: tuple[Candidate, Candidate],
    tmp_path: Path,
) -> None:
    """With another base model it never has a version's own name; with the right one it had, proven.

    Both are behind one address, where the second takes the first one's place, as after a restart.
    """
    shared, start = KINDS[kind]
    right, wire, one = request.getfixturevalue(shared), SlowWire(), versions[0]
    make_tiny_policy(tmp_path / "other", seed=1, steps=0)
    engine = HttpEngine(f"http://{wire.address}")
    replica = Replica(engine, "policy", 1e-3)
    wire.to = right.port
    for name in engine.loaded():
        engine.unload(name)
    assert replica.fill({one.version: one}) == []
    assert replica.proven == {one.version}
    assert engine.loaded() == {one.version: str(one.path)}
    engine.unload(one.version)  # It is others' too.
    wire.cut()
    with start(tmp_path / "other", tmp_path / "wrong") as wrong:
        wire.to = wrong.port
        wire.mend()
        with watched(engine) as names:
            assert engine.loaded() == {}
            (problem,) = replica.fill({one.version: one})
            assert "log-probabilities are off by" in problem, "a new process proves it anew"
            assert engine.loaded() == {}
    assert not names & {one.version}, "it could be asked for by nobody"
    engine.close()
    wire.close()
