"""Benchmark app: `rlwd benchmark`, requests of real sessions that every candidate answers."""

from pathlib import Path
from typing import Annotated

import typer

benchmark = typer.Typer(
    help="Draw requests of real sessions, to replay them on every candidate.", no_args_is_help=True
)
ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The TOML config file.")]
TOML = Path("rlwd.toml")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Which = Annotated[
    str, typer.Argument(help="NAME is its newest version; or the version by its name.")
]


@benchmark.command()
def build(
    name: Annotated[
        str, typer.Option(help="Its name; that of the config, or `sessions`, where none is given.")
    ] = "",
    size: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Requests, in place of benchmark.size.")
    ] = None,
    segments: Annotated[
        str, typer.Option(help="Kinds of work, such as reply,title; all where none is given.")
    ] = "",
    if_due: Annotated[
        bool,
        typer.Option(
            "--if-due", help="Only where the newest is older than benchmark.refresh_days."
        ),
    ] = False,
    config: ConfigFile = TOML,
) -> None:
    """Draw a new version from production, check it for overlap, and say what was refused and why."""
    from ..config import load_config
    from .benchmark_runs import run_build

    kinds = tuple(filter(None, (one.strip() for one in segments.split(","))))
    loaded = load_config(config)
    raise typer.Exit(run_build(loaded, name, size=size, segments=kinds, if_due=if_due))


@benchmark.command("list")
def list_(config: ConfigFile = TOML, as_json: AsJson = False) -> None:
    """Print every benchmark that is there."""
    from ..config import load_config
    from .benchmark_runs import print_list

    print_list(load_config(config), as_json=as_json)


@benchmark.command()
def show(which: Which, config: ConfigFile = TOML) -> None:
    """Print one's manifest, and what versions did on it, as JSON; none of what people wrote."""
    from ..config import load_config
    from .benchmark_runs import print_one

    print_one(load_config(config), which)


@benchmark.command()
def retire(which: Which, config: ConfigFile = TOML) -> None:
    """Remove one: its file is written over, and its people are learned of again."""
    from ..config import load_config
    from .benchmark_runs import run_retire

    run_retire(load_config(config), which)
