"""Scene: what a demo is about: its people, the policy that they meet, and what its daemon is set to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..worlds.habits import CALM, said_of, scenario
from ..worlds.people import People
from ..worlds.tastes import StylesTastes
from ..worlds.world import World
from .crowd import CrowdAnswer
from .demo_profile import Profile, tiny_profile


class Exam(Protocol):
    """What a scene asks of versions beside its people; nothing of it is learned from."""

    async def ask(self, engine: str, version: str, *, whole: bool, answers: int) -> None:
        """Ask a version at the engine's address, all there is to ask or a little of it.

        `answers` is how many people had got one by then.
        """
        ...

    def finish(
        self, folder: Path, answers: Sequence[CrowdAnswer], report: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write what there is to see into the demo's folder, and return what is to be added to the report."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A demo."""

    world: World
    """What its people ask and want."""
    profile: Profile
    """What its daemon is set to."""
    fewest_answers: int
    """They stay for so many answers at least: the last tenth of fewer says little."""
    people: str = CALM
    """The scenario by which they answer, as the report names it."""
    by_truth: bool = False
    """Whether the curve is of what was wanted, for not all of them say what they think."""
    said: str = ""
    """What is to be said of them before they come."""
    model: Path | None = None
    """Folder of the model; None is the tiny policy, which is made and pre-trained first."""
    engine: Mapping[str, Any] = field(default_factory=dict)
    """Options of the vLLM server beside its defaults."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts by name that the settings read, to be written into the demo's folder."""
    enough: float = 0.84
    """Once the latest tenth of their answers is accepted at this rate, and versions suffice, its people
    stay for as many answers again as the last tenth of all will be, and go home."""
    exam: Exam | None = None
    """What is asked beside them."""
    vllm: bool = False
    """Whether only a real vLLM can serve it."""
    seconds: float = 210.0
    """Longest time for its people."""
    at_once: int = 48
    """People at work at a time."""
    rate: float = 16.0
    """Requests a second that they begin, as two cores carry."""
    promoted: int = 4
    """They stay at least until so many versions are promoted."""


FEWEST_ANSWERS = 1500


def tiny_scene(seed: int, *, people: str = CALM, users: int = 4000) -> Scene:
    """Return the demo of the tiny policy; `people` is how they answer, with delays that a live run can wait for.

    Raises ValueError where there is no such scenario.
    """
    habits = scenario(people)
    said = said_of(people)
    return Scene(
        world=People(StylesTastes(seed), habits.live(), seed=seed, users=users),
        profile=tiny_profile(seed),
        fewest_answers=FEWEST_ANSWERS + (habits.changes_at or 0),
        people=people,
        by_truth=people != CALM,
        said=f"{people}: {said}" if said else "",
    )
