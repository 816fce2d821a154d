"""Command line, state: one function for each thing that is done to the durable state by hand."""

from typing import Annotated

import typer

from .cli_by_hand import TOML, ConfigFile


def accept_gap(
    partition: Annotated[str, typer.Argument(help="topic/partition that stands still.")],
    offset: Annotated[int, typer.Argument(help="Offset that the log still holds.")],
    config: ConfigFile = TOML,
) -> None:
    """Give up records that the log has lost, so that their partition goes on; the audit counts them."""
    from .commands.accept_gap import run_accept_gap
    from .config import load_config

    run_accept_gap(load_config(config), partition, offset)


def erase(
    user: Annotated[str, typer.Argument(help="The user as the product names them.")],
    hashed: Annotated[
        bool, typer.Option("--hashed", help="It is the keyed hash that the records carry.")
    ] = False,
    tenant: Annotated[str, typer.Option(help="Whose user that is.")] = "default",
    rewrite: Annotated[bool, typer.Option(help="Let PostgreSQL write its tables anew.")] = False,
    config: ConfigFile = TOML,
) -> None:
    """Forget a person everywhere, and name the versions that had learned from them."""
    from .commands.erase import run_erase
    from .config import load_config

    how = {"hashed": hashed, "rewrite": rewrite}
    raise typer.Exit(run_erase(load_config(config), user, tenant=tenant, **how))


ON_STATE = (accept_gap, erase)
"""In the order of the help."""
