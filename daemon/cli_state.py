"""Command line, state: one function for each thing that is done to the durable state by hand."""

from pathlib import Path
from typing import Annotated

import typer

from .cli_by_hand import TOML, ConfigFile

MOST_OFFSET = 2**53
"""Beyond what any partition reaches, and so far below the database's own limit that counts still add up."""


def accept_gap(
    partition: Annotated[str, typer.Argument(help="topic/partition that stands still.")],
    offset: Annotated[
        int, typer.Argument(min=0, max=MOST_OFFSET, help="Offset that the log still holds.")
    ],
    back: Annotated[
        bool, typer.Option("--back", help="It lies behind: the log lost its end, or was made anew.")
    ] = False,
    config: ConfigFile = TOML,
) -> None:
    """Give up records that the log has lost, so that their partition goes on; the audit counts them."""
    from .commands.accept_gap import run_accept_gap
    from .config import load_config

    run_accept_gap(load_config(config), partition, offset, back=back)


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


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder for it.")],
    config: ConfigFile = TOML,
) -> None:
    """Copy the durable state into a folder, while the daemon runs; without secrets, and without the log."""
    from .backup.backup import make_backup
    from .config import load_config

    made = make_backup(load_config(config), config, folder)
    print(f"{folder}: {sum(made.rows.values())} rows, {len(made.files)} files, {made.champion}")
    for what in made.left_out:
        typer.echo(f"not in it: {what}", err=True)


def restore(
    folder: Annotated[Path, typer.Argument(help="The backup.")], config: ConfigFile = TOML
) -> None:
    """Put a backup where the config's state is to be, which is empty; the daemon then goes on from it."""
    from .backup.restore import restore as put_back
    from .config import load_config

    loaded = load_config(config)
    done = put_back(loaded, folder)
    made = done.manifest
    print(f"restored: {made.policy}, champion {made.champion or 'none yet'}; next: rlwd run")
    for line in done.lines(loaded):
        typer.echo(line, err=True)


def move_database(
    to: Annotated[
        str, typer.Option(help="postgresql://…, $NAME of a variable or file:PATH that holds it.")
    ],
    config: ConfigFile = TOML,
) -> None:
    """Copy the state database into an empty one on a server, all or nothing; the daemon is stopped."""
    from .backup.move_database import move_database as move
    from .config import load_config

    for table, rows in sorted(move(load_config(config), to).items()):
        print(f"{table} {rows}")
    typer.echo(
        "every table has its rows; next: set `database` in the config, then `rlwd run`", err=True
    )


def drop_policy(
    name: Annotated[str, typer.Argument(help="The policy that is given up.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete; without it, rows are only counted.")
    ] = False,
    rewrite: Annotated[bool, typer.Option(help="Let PostgreSQL write its tables anew.")] = False,
    config: ConfigFile = TOML,
) -> None:
    """Delete every row of one policy from the state database; others' rows stay, and its daemon is stopped."""
    from .backup.drop_policy import run_drop
    from .config import load_config

    raise typer.Exit(run_drop(load_config(config), name, dropping=yes, rewrite=rewrite))


ON_STATE = (accept_gap, erase, backup, restore, move_database, drop_policy)
"""In the order of the help."""
