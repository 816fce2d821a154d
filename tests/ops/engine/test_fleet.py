"""The fleet: what is asked of engines keeps nobody waiting, and what they hold is known."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from releases_by_hand import version
from waiting import until

from rlwd.ops.engine import fleet as fleets
from rlwd.ops.engine import replica as replicas
from rlwd.ops.engine.engine_load import EngineLoad
from rlwd.ops.engine.fleet import Fleet
from rlwd.ops.engine.port import Draw, EngineAnswer, StillStarting
from rlwd.ops.engine.replica import Replica


class HangingEngine:
    """An engine that answers once it is let go."""

    def __init__(self) -> None:
        self.url, self.go = "hanging", threading.Event()
        self.held: dict[str, str] = {}

    def loaded(self) -> dict[str, str]:
        self.go.wait(30.0)
        return dict(self.held)

    def load(self, name: str, path: Path) -> None:
        self.held[name] = str(path)

    def unload(self, name: str) -> None:
        del self.held[name]

    def logprobs(self, name: str, token_ids: Sequence[int]) -> tuple[float, ...]:
        return (-1.0,) * (len(token_ids) - 1)

    def encode(self, name: str, text: str, *, chat: bool = False) -> tuple[int, ...]:
        return tuple(text.encode())

    def chat(self, name: str, message: str, **asked: Any) -> EngineAnswer:
        return EngineAnswer(text="", calls=(), finish_reason="stop")

    def complete(self, name: str, prompt: Sequence[int], draw: Draw) -> EngineAnswer:
        return EngineAnswer(text="", calls=(), finish_reason="stop")

    def busy(self) -> EngineLoad | None:
        return None

    def healthy(self) -> bool:
        return self.go.is_set()

    def close(self) -> None:
        """Nothing to let go of."""


def test_an_engine_that_hangs_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions return at once; that it hangs is a problem by name; its answer counts when it comes."""
    monkeypatch.setattr(fleets, "HANGS_SECONDS", 0.05)
    engine, one = HangingEngine(), version(1, tmp_path)
    fleet = Fleet([engine], "policy", tolerance=0.05)
    wanted = {one.version: one}
    fleet.fill(wanted)
    assert not fleet.has(wanted)
    assert fleet.prove(wanted, one) is None
    until(lambda: "has not answered" in (fleet.problem or ""))
    engine.go.set()
    until(lambda: fleet.has(wanted))
    assert fleet.problem is None
    assert set(engine.held) == {one.version}


def test_proofs_are_of_the_version_that_was_asked_for_and_used_once(tmp_path: Path) -> None:
    """What an engine served a moment ago is no proof of another version, nor of the same one later."""
    engine = HangingEngine()
    engine.go.set()
    one, two = version(1, tmp_path), version(2, tmp_path)
    fleet, wanted = Fleet([engine], "policy", tolerance=0.05), {one.version: one, two.version: two}
    proofs: list[object] = []

    def ask() -> bool:
        found = fleet.prove(wanted, one)
        proofs.extend(found or ())
        return found is not None

    until(ask)
    (proof,) = proofs
    assert getattr(proof, "served", False)
    engine.go.clear()
    assert fleet.prove(wanted, two) is None
    assert fleet.prove(wanted, one) is None
    engine.go.set()


class CountingEngine(HangingEngine):
    """An engine that knows how many adapters it held at most."""

    def __init__(self) -> None:
        super().__init__()
        self.go.set()
        self.most = 0

    def load(self, name: str, path: Path) -> None:
        super().load(name, path)
        self.most = max(self.most, len(self.held))


def test_an_engine_never_holds_more_than_it_should(tmp_path: Path) -> None:
    """What goes is unloaded before anything is loaded, or proven; those of other policies are left alone."""
    engine = CountingEngine()
    engine.held = {"other@v000001-00000000": "elsewhere"}
    replica = Replica(engine, "policy", 0.05)
    before, after = ([version(n, tmp_path) for n in numbers] for numbers in ((1, 2), (3, 4)))
    for wanted in (before, after):
        assert replica.fill({one.version: one for one in wanted}) == []
    assert engine.held.keys() == {"other@v000001-00000000", *(one.version for one in after)}
    assert engine.most == 1 + 2


def test_what_is_no_fault_of_an_engine_ends_the_process(tmp_path: Path) -> None:
    """A mistake of ours on the thread is raised again on the loop's, and not lost with the thread."""

    class BrokenEngine(HangingEngine):
        def loaded(self) -> dict[str, str]:
            raise AssertionError("ours")

    fleet = Fleet([BrokenEngine()], "policy", tolerance=0.05)

    def asked() -> bool:
        fleet.fill({})
        return False

    with pytest.raises(AssertionError, match="ours"):
        until(asked)


class DeadEngine(HangingEngine):
    """An engine that nobody started."""

    def loaded(self) -> dict[str, str]:
        raise ConnectionError(f"{self.url} does not answer")


def test_every_dead_engine_is_named(tmp_path: Path) -> None:
    """Whoever is paged does not find the second one after the first was started."""
    dead, one = [DeadEngine(), DeadEngine()], version(1, tmp_path)
    dead[0].url, dead[1].url = "http://one", "http://two"
    fleet = Fleet(dead, "policy", tolerance=0.05)
    fleet.fill({one.version: one})
    until(lambda: not fleet.has([one.version]) and "does not answer" in (fleet.problem or ""))
    assert fleet.problem == "http://one does not answer; http://two does not answer"


class StartingEngine(HangingEngine):
    """An engine that starts a server for each version, which takes until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.go.set()
        self.up = set[str]()

    def load(self, name: str, path: Path) -> None:
        if name.partition("~")[0] not in self.up:
            raise StillStarting(f"{name} is being started")
        super().load(name, path)


def test_a_server_that_is_being_started_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate's is nobody's problem: its proof comes once it is up. Of a version that people have, or
    where they have none yet, it is one by name until it is up."""
    monkeypatch.setattr(replicas, "STARTING_SECONDS", 0.0)
    engine, v0, one = StartingEngine(), version(0, tmp_path), version(1, tmp_path)
    fleet, wanted = Fleet([engine], "policy", tolerance=0.05), {v0.version: v0}

    def filled() -> bool:
        fleet.fill(wanted)
        return fleet.has(wanted) and fleet.problem is None

    fleet.fill(wanted)
    until(lambda: not fleet.has(wanted) and "are being started" in (fleet.problem or ""), 30.0)
    assert v0.version in (fleet.problem or "")
    engine.up.add(v0.version)
    until(filled)
    both = {**wanted, one.version: one}
    for _ in range(20):
        assert fleet.prove(both, one) is None
        assert fleet.problem is None
        assert fleet.has(wanted)
        time.sleep(0.005)
    engine.up.add(one.version)
    proofs = list[object]()

    def proven() -> bool:
        proofs.extend(fleet.prove(both, one) or ())
        return bool(proofs)

    until(proven)
    assert getattr(proofs[0], "served", False)
    engine.up.clear()
    engine.held.clear()
    fleet.fill(both)
    # What flags name is not taken from them by it.
    until(lambda: fleet.has(both) and "are being started" in (fleet.problem or ""), 30.0)
