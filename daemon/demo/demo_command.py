"""Demo command: `rlwd demo`; what it needs is imported only once it runs."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ..worlds.habits import SCENARIOS


def demo_command(
    seed: Annotated[int, Option(help="Makes the crowd reproducible.")] = 0,
    report: Annotated[Path | None, Option(help="Where to write the JSON report.")] = None,
    folder: Annotated[Path, Option(help="Where everything is kept.")] = Path("demo-state"),
    seconds: Annotated[float, Option(help="Longest time for the crowd.")] = 210.0,
    users: Annotated[int, Option(help="People in the crowd.")] = 4000,
    at_once: Annotated[int, Option(help="People at work at a time.")] = 48,
    rate: Annotated[float, Option(help="Requests a second, as two cores carry.")] = 16.0,
    kafka: Annotated[str, Option(help="Use this Kafka: HOST:PORT.")] = "",
    vllm: Annotated[bool, Option(help="Serve with a real vLLM server.")] = False,
    promoted: Annotated[int, Option(help="Go on until so many versions are promoted.")] = 4,
    people: Annotated[str, Option(help=f"How they answer: {', '.join(SCENARIOS)}.")] = "calm",
) -> None:
    """Show the loop learning: a tiny policy, and a crowd with a preference that nobody told it."""
    from .run import DemoOptions, run_demo

    options = DemoOptions(
        seed=seed,
        report=report,
        folder=folder,
        seconds=seconds,
        users=users,
        at_once=at_once,
        rate=rate,
        kafka=kafka,
        vllm=vllm,
        promoted=promoted,
        people=people,
    )
    raise typer.Exit(run_demo(options))
