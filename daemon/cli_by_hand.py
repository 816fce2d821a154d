"""Command line, by hand: one function for each thing that an operator decides of versions."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The TOML config file.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the trail and shown in MLflow.")]
By = Annotated[str, typer.Option(help="Who; the user and host where nothing is given.")]
TOML = Path("rlwd.toml")


def rollback(
    what: Annotated[str, typer.Argument(help="champion, candidate, or a version by name.")],
    reason: Reason,
    by: By = "",
    wait: Annotated[
        float, typer.Option(min=1.0, max=3600.0, help="Longest wait for the gateways, in seconds.")
    ] = 75.0,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until every gateway acts on it.")
    ] = False,
    config: ConfigFile = TOML,
) -> None:
    """Take a version back, now and for good: users, engines and learner go back to the one before."""
    from .commands.by_hand import run_rollback
    from .config import load_config

    seconds = 0.0 if no_wait else wait
    raise typer.Exit(run_rollback(load_config(config), what, reason, by=by, wait_seconds=seconds))


def promote(reason: Reason, by: By = "", config: ConfigFile = TOML) -> None:
    """Promote the candidate that people meet now, whatever its evidence; it bakes as any other."""
    _decide("promote", "", by, reason, config)


def reject(
    reason: Reason,
    what: Annotated[
        str,
        typer.Argument(help="Its name, to be asked for where another was refused a moment ago."),
    ] = "",
    by: By = "",
    config: ConfigFile = TOML,
) -> None:
    """Reject the candidate under way: it is never offered again, and the learner goes back."""
    _decide("reject", what, by, reason, config)


def pause(reason: Reason, by: By = "", config: ConfigFile = TOML) -> None:
    """Let no version meet more people until `resume`; harm still takes one back."""
    _decide("pause", "", by, reason, config)


def resume(config: ConfigFile = TOML) -> None:
    """Let rollouts go on by themselves, after `pause` or `pin`."""
    _decide("resume", "", "", "", config)


def pin(
    what: Annotated[str, typer.Argument(help="champion, or a version that was one before.")],
    reason: Reason,
    by: By = "",
    config: ConfigFile = TOML,
) -> None:
    """Serve a version to everybody, and let nothing new out until `resume`; nobody is blamed."""
    _decide("pin", what, by, reason, config)


def rebuild(
    version: Annotated[str, typer.Argument(help="The version by its whole name.")],
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder for it; STATE/rebuilt/VERSION where none is named."),
    ] = None,
    begin_with: Annotated[
        str,
        typer.Option(
            "--from", help="The version to begin with, or base; else the nearest whole one."
        ),
    ] = "",
    config: ConfigFile = TOML,
) -> None:
    """Make a version again from its batches, and say whether it is the same, byte for byte."""
    from ..streams.logs import log_to_stderr
    from .commands.rebuild import run_rebuild
    from .config import load_config

    log_to_stderr("rebuild", "warning")
    raise typer.Exit(run_rebuild(load_config(config), version, out, begin_with))


def weights(
    version: Annotated[str, typer.Argument(help="The version by its whole name.")],
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder for it; STATE/weights/VERSION where none is named."),
    ] = None,
    config: ConfigFile = TOML,
) -> None:
    """Write a version of full weights as a Hugging Face folder, proven by its probe."""
    from ..streams.logs import log_to_stderr
    from .commands.weights import run_weights
    from .config import load_config

    log_to_stderr("weights", "warning")
    raise typer.Exit(run_weights(load_config(config), version, out))


def _decide(name: str, what: str, by: str, reason: str, config: Path) -> None:
    from .commands.by_hand import run_decision
    from .config import load_config

    raise typer.Exit(run_decision(load_config(config), name, what, by=by, why=reason))


BY_HAND = (rollback, promote, reject, pause, resume, pin, rebuild, weights)
"""In the order of the help."""
