"""CLI demo: `rlwd demo`; what it needs is imported only once it runs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Option

from .worlds.habits import CALM, SCENARIOS

if TYPE_CHECKING:
    from .demo.scene import Scene


class DemoModel(StrEnum):
    """The policy that the demo's people meet."""

    TINY = "tiny"
    SMOLLM2 = "smollm2"


class DemoTaste(StrEnum):
    """What the people of an open model's demo want."""

    NAMED = "named"
    SHAPE = "shape"


class DemoGuard(StrEnum):
    """Whether a version that drifts is held."""

    ON = "on"
    ROLLOUT = "rollout"
    OFF = "off"


class DemoHack(StrEnum):
    """How a policy may get out of an agent's task."""

    BROKEN_CALLS = "broken-calls"
    ASKS_INSTEAD = "asks-instead"


Model = Annotated[
    DemoModel, Option(help="A tiny policy made on the spot, or an open model on vLLM.")
]
Tasting = Annotated[
    DemoTaste,
    Option(help="Of smollm2's people: that an answer names the change, or its shape alone."),
]
Guarding = Annotated[
    DemoGuard,
    Option(
        help="Of smollm2: hold what drifts, or report it. Of --hack: rollout leaves rewards naive."
    ),
]
Hacking = Annotated[
    DemoHack | None, Option(help="An agent's task, and a tiny policy that may cheat in this way.")
]
Seconds = Annotated[
    float | None, Option(min=1.0, help="Longest time for the crowd [210; smollm2: 2000].")
]
AtOnce = Annotated[
    int | None, Option(min=1, max=10_000, help="People at work at a time [48; smollm2: 12].")
]
Rate = Annotated[
    float | None,
    Option(min=0.01, help="Requests a second, as two cores carry [16; smollm2: 2.5]."),
]
PeopleNamed = Annotated[
    str, Option(help=f"How the tiny policy's people answer: {', '.join(SCENARIOS)}.")
]
Promoted = Annotated[
    int | None, Option(min=0, help="Go on until so many versions are promoted [4; smollm2: 3].")
]


def _scene(
    seed: int,
    model: DemoModel,
    taste: DemoTaste,
    guard: DemoGuard,
    people: str,
    users: int,
    hack: DemoHack | None,
) -> "Scene":
    if hack is not None:
        if (model, taste, people) != (DemoModel.TINY, DemoTaste.NAMED, CALM):
            raise typer.BadParameter("--hack goes with --guard alone")
        from .hacks.hack_scene import hack_scene

        return hack_scene(hack.value, guard.value, seed)
    if guard is DemoGuard.ROLLOUT:
        raise typer.BadParameter("--guard rollout is of --hack")
    if model is DemoModel.TINY:
        if (taste, guard) != (DemoTaste.NAMED, DemoGuard.ON):
            raise typer.BadParameter(
                "--taste is of --model smollm2, and --guard of that or of --hack"
            )
        from .demo.scene import tiny_scene

        return tiny_scene(seed, people=people, users=users)
    if people != CALM:
        raise typer.BadParameter("--people is of the tiny policy")
    watch: Literal["on", "off"] = "off" if guard is DemoGuard.OFF else "on"
    if taste is DemoTaste.SHAPE:
        from .hacks.shape_scene import shape_scene

        return shape_scene(model.value, seed, guard=watch)
    from .demo.open_scene import open_scene

    return open_scene(model.value, seed, guard=watch)


def demo_command(
    seed: Annotated[int, Option(min=0, max=2**31 - 1, help="Makes the crowd reproducible.")] = 0,
    report: Annotated[Path | None, Option(help="Where to write the JSON report.")] = None,
    folder: Annotated[Path, Option(help="Where everything is kept.")] = Path("demo-state"),
    model: Model = DemoModel.TINY,
    taste: Tasting = DemoTaste.NAMED,
    guard: Guarding = DemoGuard.ON,
    seconds: Seconds = None,
    users: Annotated[int, Option(min=1, help="People in the crowd.")] = 4000,
    at_once: AtOnce = None,
    rate: Rate = None,
    kafka: Annotated[str, Option(help="Use this Kafka: HOST:PORT.")] = "",
    vllm: Annotated[bool, Option(help="Serve with a real vLLM server; smollm2 always is.")] = False,
    promoted: Promoted = None,
    people: PeopleNamed = CALM,
    hack: Hacking = None,
) -> None:
    """Show the loop learning: a policy, and a crowd with a preference that nobody told it."""
    from .demo.run import DemoOptions, run_demo

    if promoted is not None and (hack is not None or taste is DemoTaste.SHAPE):
        raise typer.BadParameter(
            "--promoted: the people of --hack and of --taste shape stay for --seconds"
        )
    scene = _scene(seed, model, taste, guard, people, users, hack)
    options = DemoOptions(
        seed=seed,
        report=report,
        folder=folder,
        seconds=scene.seconds if seconds is None else seconds,
        users=users,
        at_once=scene.at_once if at_once is None else at_once,
        rate=scene.rate if rate is None else rate,
        kafka=kafka,
        vllm=vllm or scene.vllm,
        promoted=scene.promoted if promoted is None else promoted,
    )
    raise typer.Exit(run_demo(options, scene))
