"""A release on real tables whose engines do as the test says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import Ledger
from releases_by_hand import at_once, let_out, register, version

from rlwd.ops.engine.engine_load import EngineLoad
from rlwd.ops.engine.fleet import Fleet
from rlwd.ops.engine.port import Draw, EngineAnswer
from rlwd.ops.flags import intents_table
from rlwd.ops.flags.flag_file import named_in, read_flags
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.gate.gate_run import GateRun
from rlwd.ops.looks.look_keeper import LookKeeper
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.rollout.observe import Comparing
from rlwd.ops.rollout.release import Release
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.gate import GateSettings

AT_ONCE = ComparisonSettings(horizon_seconds=0.0)
"""An answer counts as soon as it was given."""
SETTINGS = RolloutSettings(steps=(0.4,), step_users=0, step_seconds=0.0)


class ScriptedEngine:
    """An engine that holds what it was given, and fails in the way that it is told to."""

    def __init__(self, url: str = "one") -> None:
        self.url = url
        self.away = False
        """It does not answer."""
        self.dies_under_probe = False
        """It goes away when it is asked to score."""
        self.refuses = ""
        """Words with which it refuses every load."""
        self.off = 0.0
        """How far its log-probabilities lie from the truth: another base model."""
        self.loads = 0
        """Loads that were asked."""
        self.held: dict[str, str] = {}

    def loaded(self) -> dict[str, str]:
        if self.away:
            raise ConnectionError(f"{self.url}: away")
        return dict(self.held)

    def load(self, name: str, path: Path) -> None:
        self.loads += 1
        if self.refuses:
            raise ValueError(f"{self.url}: {name} from {path} was refused: {self.refuses}")
        self.held[name] = str(path)

    def unload(self, name: str) -> None:
        del self.held[name]

    def logprobs(self, name: str, token_ids: Sequence[int]) -> tuple[float, ...]:
        if self.dies_under_probe:
            raise ConnectionError(f"{self.url}: away")
        return (-1.0 - self.off,) * (len(token_ids) - 1)

    def encode(self, name: str, text: str, *, chat: bool = False) -> tuple[int, ...]:
        return tuple(text.encode())

    def chat(self, name: str, message: str, **asked: Any) -> EngineAnswer:
        return EngineAnswer(text="", calls=(), finish_reason="stop")

    def complete(self, name: str, prompt: Sequence[int], draw: Draw) -> EngineAnswer:
        return EngineAnswer(text="", calls=(), finish_reason="stop")

    def busy(self) -> EngineLoad | None:
        return None

    def healthy(self) -> bool:
        return not self.away

    def close(self) -> None:
        """Nothing to let go of."""


class House:
    """A release with two scripted engines, v0 in charge, on real tables and a real join."""

    def __init__(self, folder: Path, settings: RolloutSettings = SETTINGS) -> None:
        self.folder = folder
        self.ledger: Ledger = open_daemon_ledger(folder / "rlwd.db")
        # Nobody watches behaviours here, and no promotion may wait for a look at them.
        unwatched = msgspec.structs.replace(settings.watch, on_doubt="promote")
        settings = msgspec.structs.replace(settings, watch=unwatched)
        self.controller = RolloutController("policy", settings)
        self.engines = [ScriptedEngine("one"), ScriptedEngine("two")]
        self.now = 0.0
        """The fleet's clock."""
        self.restart()
        self.v0, self.v1 = version(0, folder), version(1, folder)
        register(self.ledger.store, self.controller, self.v0)

    def restart(self) -> None:
        """Begin as a daemon does that finds these tables, files and engines."""
        with self.ledger.store.reading() as view:
            held = named_in(intents_table.confirmed(view, "policy"))
        fleet = Fleet(
            list(self.engines),
            "policy",
            tolerance=0.05,
            held=held,
            submit=at_once,
            clock=lambda: self.now,
        )
        self.release = Release(
            self.ledger.store,
            "policy",
            self.controller,
            fleet,
            GateRun(fleet, GateSettings()),
            flags=self.folder / "flags.json",
            checkpoints=self.folder,
            look_seconds=0.0,
            comparison=AT_ONCE,
            keep=self.keeper().keep,
        )

    def keeper(self) -> LookKeeper:
        """Return what keeps the looks, as the daemon has it."""
        settings = self.controller.settings
        comparing = Comparing.of(settings, AT_ONCE, lambda segment: 0.0)
        return LookKeeper(
            self.ledger.store, "policy", comparing, srm_alpha=settings.guardrail.srm_alpha
        )

    def let_out(self) -> None:
        """Bring version 1 to its users."""
        let_out(self.ledger.store, self.controller, self.v1)
        self.release.step(2.0)

    @property
    def flags(self) -> FlagState | None:
        """What gateways are told."""
        return read_flags(self.folder / "flags.json")
