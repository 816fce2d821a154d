"""Command line, experiments: what was learned in all, and what is tried on people besides versions."""

from typing import Annotated

import typer

from .cli_by_hand import TOML, ConfigFile

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def report(config: ConfigFile = TOML, as_json: AsJson = False) -> None:
    """Print what learning has brought: the champion against the long-term holdout on v0."""
    from .config import load_config
    from .experiments.report import print_report

    print_report(load_config(config), as_json=as_json)


def add_experiments(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command()(report)
