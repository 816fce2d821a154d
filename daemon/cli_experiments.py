"""Command line, experiments: what was learned in all, and what is tried on people besides versions."""

from pathlib import Path
from typing import Annotated

import typer

from .benchmarks.benchmark_app import benchmark
from .cli_by_hand import TOML, By, ConfigFile, Reason
from .commands.plant import plant_command

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Days = Annotated[float, typer.Option(help="Days until it ends by itself.")]

rollout = typer.Typer(help="Try the rollout's own tests.", no_args_is_help=True)


experiment = typer.Typer(
    help="Compare versions of your product around the model.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="Its name, which is the name of its flag.")]


def report(config: ConfigFile = TOML, as_json: AsJson = False) -> None:
    """Print what learning has brought: the champion against the holdout on v0, and drift."""
    from .config import load_config
    from .experiments.report import print_report

    print_report(load_config(config), as_json=as_json)


def triage(
    since: Annotated[
        str, typer.Option(help="First day (UTC), as 2026-11-16; seven days where none is given.")
    ] = "",
    until: Annotated[
        str, typer.Option(help="First day that is not looked at any more; up to now otherwise.")
    ] = "",
    as_json: AsJson = False,
    folder: Annotated[
        Path | None, typer.Option(help="Write Markdown and JSON into this folder.")
    ] = None,
    if_due: Annotated[
        bool,
        typer.Option(
            "--if-due", help="As the daemon: file weeks that are over, and post what waits."
        ),
    ] = False,
    config: ConfigFile = TOML,
) -> None:
    """Group the problems of logs, tools and behaviour: what is new, what spikes, which version explains it."""
    from .config import load_config
    from .triage.triage_command import run_due, run_triage

    loaded = load_config(config)
    if if_due:
        raise typer.Exit(run_due(loaded))
    raise typer.Exit(run_triage(loaded, since=since, until=until, as_json=as_json, folder=folder))


@rollout.command("aa")
def rollout_aa(
    reason: Reason,
    share: Annotated[
        float, typer.Option(help="Share of the users in each half, up to 0.5.")
    ] = 0.45,
    days: Days = 1.0,
    by: By = "",
    config: ConfigFile = TOML,
) -> None:
    """Run the champion against itself: false alarms and variance on your own traffic. Versions wait."""
    from .config import load_config
    from .experiments.experiment_runs import run_aa

    raise typer.Exit(run_aa(load_config(config), share=share, days=days, by=by, why=reason))


@rollout.command("aa-end")
def rollout_aa_end(reason: Reason, by: By = "", config: ConfigFile = TOML) -> None:
    """End the A/A now; versions go on."""
    from .config import load_config
    from .experiments.experiment_runs import run_end

    raise typer.Exit(run_end(load_config(config), "", by=by, why=reason))


@rollout.command("aa-report")
def rollout_aa_report(config: ConfigFile = TOML, as_json: AsJson = False) -> None:
    """Print what the last A/A shows: by metric the difference, its interval and a user's deviation."""
    from ..ops.stages.experiment import ExperimentKind
    from .config import load_config
    from .experiments.experiment_runs import print_experiments

    print_experiments(load_config(config), "", kind=ExperimentKind.AA, as_json=as_json)


@experiment.command("start")
def experiment_start(
    name: Name,
    arms: Annotated[str, typer.Option(help="Versions of the product, such as old,new.")],
    reason: Reason,
    share: Annotated[float, typer.Option(help="Share of the users in all arms together.")] = 0.2,
    days: Days = 7.0,
    by: By = "",
    config: ConfigFile = TOML,
) -> None:
    """Deal users to versions of your product, on a policy held fixed; OFREP returns the arm."""
    from .config import load_config
    from .experiments.experiment_runs import run_start

    loaded = load_config(config)
    raise typer.Exit(run_start(loaded, name, arms, share=share, days=days, by=by, why=reason))


@experiment.command("status")
def experiment_status(
    name: Annotated[str, typer.Argument(help="Its name; the last one where none is given.")] = "",
    config: ConfigFile = TOML,
    as_json: AsJson = False,
) -> None:
    """Print what the tests say of each arm against the first."""
    from ..ops.stages.experiment import ExperimentKind
    from .config import load_config
    from .experiments.experiment_runs import print_experiments

    kind = ExperimentKind.HARNESS
    print_experiments(load_config(config), name, kind=kind, as_json=as_json)


@experiment.command("stop")
def experiment_stop(name: Name, reason: Reason, by: By = "", config: ConfigFile = TOML) -> None:
    """End an experiment now; everybody gets the first arm, and its users are the rollout's again."""
    from .config import load_config
    from .experiments.experiment_runs import run_end

    raise typer.Exit(run_end(load_config(config), name, by=by, why=reason))


def add_experiments(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command()(report)
    app.command()(triage)
    app.add_typer(rollout, name="rollout")
    app.add_typer(benchmark, name="benchmark")
    app.add_typer(experiment, name="experiment")
    app.command("plant")(plant_command)
