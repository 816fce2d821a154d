"""Hack scene: an agent's people, a policy that may cheat them, and what is kept of the run."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import load_config
from ..demo.crowd import CrowdAnswer
from ..demo.scene import Scene
from ..store import state_store
from ..worlds.agent import Hack
from ..worlds.agent_people import AgentPeople
from .hack_picture import draw_hacks
from .hack_profile import Guard, hack_profile
from .hack_run import read_run, runs_beside, write_run

SECONDS = 420.0
NEVER = 2.0
"""No rate at which people go home before their time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HackKept:
    """Keeps the run beside everything else of it, and draws it with those beside it (an `Exam`)."""

    hack: str
    """What the policy may learn."""
    guard: str
    """Which guards are on."""
    seed: int
    """Of people and policy."""

    async def ask(self, engine: str, version: str, *, whole: bool, answers: int) -> None:
        """Ask nothing: what people got says it all."""

    def finish(
        self, folder: Path, answers: Sequence[CrowdAnswer], report: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write `hack.json`, draw `hack.png` where there is matplotlib, and return the numbers."""
        config = load_config(folder / "rlwd.toml")
        store = state_store(config)
        run = read_run(
            store, config.policy, answers, hack=self.hack, guard=self.guard, seed=self.seed
        )
        store.close()
        write_run(run, folder)
        if importlib.util.find_spec("matplotlib") is not None:
            draw_hacks(runs_beside(folder), folder / "hack.png")
        return {"hack": self.hack, "guard": self.guard, **run.summary}


def hack_scene(hack: Hack, guard: Guard, seed: int) -> Scene:
    """Return the demo of a policy that may cheat."""
    return Scene(
        world=AgentPeople(),
        profile=hack_profile(hack, guard, seed),
        fewest_answers=0,
        enough=NEVER,
        exam=HackKept(hack=hack, guard=guard, seed=seed),
        seconds=SECONDS,
        said=f"an agent's task, and a policy that may learn {hack}; guards: {guard}",
    )
