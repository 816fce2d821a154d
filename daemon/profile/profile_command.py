"""`rlwd profile`: what kind of work this is, what it argues for, what learning would cost and how fast it would be.

The command line loads this file for its help, so everything heavier is imported when it runs.
"""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..config import Config

TOML = Path("rlwd.toml")


def profile_command(
    file: Annotated[
        Path | None,
        typer.Argument(help="A recording to profile in place of the state: events, or traces."),
    ] = None,
    format: Annotated[
        str, typer.Option(help="The file's: events, or a format of docs/traces.md.")
    ] = "events",
    since: Annotated[
        str | None,
        typer.Option(
            help="How far back: 7d, 12h, a date; empty is all. 7d of a state, all of a file."
        ),
    ] = None,
    until: Annotated[str, typer.Option(help="Up to when, likewise; empty is now.")] = "",
    lift: Annotated[
        str, typer.Option(help="Hoped-for improvement, such as 2%; else profile.lift.")
    ] = "",
    spec: Annotated[
        Path | None, typer.Option(help="Of a file: the reward spec, and not the config's.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="The TOML config file: rlwd.toml; of a file none need be."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Profile the work: volume, value, verification, horizon; harness, LoRA or full weights; days and costs."""
    document = _document(file, format, since, until, lift, spec, config)
    if as_json:
        from ..shown_json import shown_json

        print(shown_json(document))
        return
    from rich.console import Console

    from .profile_tables import profile_tables

    console = Console(highlight=False)
    for part in profile_tables(document):
        console.print(part)


def _document(
    file: Path | None,
    format: str,
    since: str | None,
    until: str,
    lift: str,
    spec: Path | None,
    config: Path | None,
) -> dict[str, Any]:
    from ...rewards.spec.spec import reward_spec
    from ..rewards.held_answers import since_of
    from .profile_document import profile_document, terms_of

    if file is None and spec is not None:
        raise ValueError("--spec: is of a file; the rewards of a state are by the config's spec")
    loaded, now = _config(file, config), time.time()
    asked = loaded.reward_spec if spec is None else str(spec)
    terms = terms_of(loaded, reward_spec(asked), _lift(lift))
    begin = since_of("7d" if since is None and file is None else since or "", now)
    end = _until(until, now)
    if not begin < end:
        raise ValueError(f"--until: {until!r} is not after --since")
    if file is None:
        return profile_document(loaded.state_database, loaded.policy, begin, end, terms)
    from ..commands.replay import POLICY, replay

    with tempfile.TemporaryDirectory(prefix="rlwd-profile-") as scratch:
        replayed = replay(file, format, Path(scratch), spec=asked)
        if count := replayed["unreadable"]:
            typer.echo(f"warning: {count} rows could not be read", err=True)
        return profile_document(Path(scratch) / "rlwd.db", POLICY, begin, end, terms, str(file))


def _config(file: Path | None, path: Path | None) -> "Config":
    from ..config import Config, load_config

    if file is None or path is not None:
        return load_config(path or TOML)
    import msgspec

    # Who has traces alone has no config yet: all prices are the defaults, and no value is known.
    return msgspec.convert({"learner": {"model": "none"}}, Config)


def _lift(text: str) -> float | None:
    from ..commands.plan import relative

    if not text:
        return None
    try:
        value = relative(text)
    except ValueError as problem:
        raise ValueError(f"--lift: {problem}") from None
    if not 0.0 < value <= 10.0:
        raise ValueError(f"--lift: {text!r} is not above 0 and at most 1000%")
    return value


def _until(text: str, now: float) -> float:
    from ..rewards.held_answers import since_of

    try:
        return since_of(text, now) if text else now
    except ValueError as problem:
        raise ValueError(str(problem).replace("--since", "--until")) from None
