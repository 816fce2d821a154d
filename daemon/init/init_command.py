"""`rlwd init`: writes a config for what it finds here, with every key and its explanation."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .findings import Findings

Many = list[str] | None


def init_command(
    config: Annotated[Path, typer.Option("--config", "-c", help="The file to write.")] = Path(
        "rlwd.toml"
    ),
    model: Annotated[
        Path | None, typer.Option(help="Folder of the base model that the engines serve.")
    ] = None,
    engine: Annotated[
        Many, typer.Option(help="URL of an engine; several times for several.")
    ] = None,
    kafka: Annotated[
        Many, typer.Option(help="HOST:PORT of a broker; several times for several.")
    ] = None,
    mlflow: Annotated[str, typer.Option(help="URL of the MLflow server.")] = "",
    policy: Annotated[str, typer.Option(help="Name that versions get.")] = "policy",
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the config and write nothing.")
    ] = False,
) -> None:
    """Write a config for what is found here: engines, Kafka, MLflow, a model. Never overwrites one."""
    from .findings import look_around

    if not only_print and config.exists():
        raise ValueError(
            f"{config}: is there, and is not overwritten: name another with --config, or use --print"
        )
    # What is named by hand is so from where one stands, and what the file says from where it lies.
    given = None if model is None else model.expanduser().absolute()
    found = look_around(
        config.absolute().parent, model=given, engines=engine, kafka=kafka, mlflow=mlflow
    )
    text = found.text(policy)
    if only_print:
        print(text, end="")
    else:
        _write(config, text)
    for line in (*found.lines(), *_next(config, found, only_print)):
        typer.echo(line, err=True)


def _write(config: Path, text: str) -> None:
    """Write a file that is not there, and that loads; raises ValueError otherwise, and leaves none."""
    from ..config import load_config

    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise ValueError("--model: its path is not UTF-8, which a config has to be") from None
    config.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = config.open("xb")
    except FileExistsError:
        raise ValueError(f"{config}: is there, and is not overwritten") from None
    try:
        with file:
            file.write(raw)
        load_config(config)
    except BaseException:
        # Neither half a file nor one that does not load: the next try would not write over it.
        config.unlink()
        raise


def _next(config: Path, found: "Findings", only_print: bool) -> Iterator[str]:
    yield "printed, and nothing written" if only_print else f"{config}: written"
    steps: list[str] = list(found.steps())
    steps += [
        f"rlwd doctor --config {config}    # until nothing fails",
        f"rlwd run --config {config}       # the daemon",
        f"rlwd gateway --config {config}   # what your product talks to",
    ]
    yield "next:"
    yield from (f"  {number}. {step}" for number, step in enumerate(steps, start=1))
