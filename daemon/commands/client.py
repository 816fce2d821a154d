"""Client: `rlwd client add|rotate NAME`, a client's bearer token made by chance and hashed into the config.

The token is printed once and stands nowhere; the file holds only its hash.
"""

import json
import os
import re
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKENS = re.compile(r"^tokens\s*=\s*\[[^\]]*\]", re.MULTILINE)
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class ClientAction(StrEnum):
    """What is done with a client's token."""

    ADD = "add"
    """Write `[clients.NAME]` with a first token."""
    ROTATE = "rotate"
    """Make a new token; the one before stays valid until the next time."""


def client_command(
    action: Annotated[ClientAction, typer.Argument(help="add a client, or rotate its token.")],
    name: Annotated[str, typer.Argument(help="Of [clients.NAME].")],
    tenant: Annotated[str, typer.Option(help="add: whose traffic it brings.")] = "default",
    revoke: Annotated[
        bool, typer.Option("--revoke", help="rotate: no earlier token stays valid.")
    ] = False,
    config: Annotated[Path, typer.Option("--config", "-c", help="The TOML config file.")] = Path(
        "rlwd.toml"
    ),
) -> None:
    """Make a client's token, print it once, and write its hash to the config file."""
    token = (
        add(config, name, tenant) if action is ClientAction.ADD else rotate(config, name, revoke)
    )
    print(token)
    typer.echo("restart the gateways, so that they know it; it is not shown again", err=True)


def add(config: Path, name: str, tenant: str) -> str:
    """Write a new `[clients.NAME]`; return its token. Raises ValueError where there is one."""
    from ..config import load_config

    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: must be 1 to 64 letters, digits, - and _")
    if name in load_config(config).clients:
        raise ValueError(f"clients.{name}: is there already; rotate makes a new token")
    token, digest = _make()
    text = config.read_text().rstrip("\n")
    section = f"[clients.{name}]\ntokens = [{json.dumps(digest)}]\ntenant = {json.dumps(tenant)}"
    _write(config, f"{text}\n\n{section}\n")
    return token


def rotate(config: Path, name: str, revoke: bool) -> str:
    """Put a new token before the newest one, or in place of all; return it.

    Raises ValueError where the client, or its line of tokens, is not found.
    """
    from ..config import load_config

    if name not in load_config(config).clients:
        raise ValueError(f"clients.{name}: is not in {config}")
    text = config.read_text()
    head = re.search(rf"^\[clients\.(?:\"{name}\"|{name})\]\s*$", text, re.MULTILINE)
    end = None if head is None else re.search(r"^\[", text[head.end() :], re.MULTILINE)
    stop = len(text) if head is None or end is None else head.end() + end.start()
    line = None if head is None else _TOKENS.search(text[:stop], head.end())
    if line is None:
        raise ValueError(f'clients.{name}: has no line `tokens = ["sha256:…"]` under its own head')
    token, digest = _make()
    kept = [] if revoke else _HASH.findall(line[0])[:1]
    tokens = ", ".join(json.dumps(one) for one in (digest, *kept))
    _write(config, f"{text[: line.start()]}tokens = [{tokens}]{text[line.end() :]}")
    return token


def _make() -> tuple[str, str]:
    from ..http.credentials import hash_token

    token = f"rlwd-{secrets.token_urlsafe(32)}"
    return token, hash_token(token)


def _write(config: Path, text: str) -> None:
    """Replace the file, or leave it as it was where the new one would not load."""
    from ...streams.state.durable import replace_file
    from ..config import load_config

    aside, before = config.with_name(f".{config.name}.new"), config.stat()
    replace_file(aside, text.encode(), mode=before.st_mode & 0o777)
    if os.geteuid() == 0:
        # The group rlwd has to read what root writes.
        os.chown(aside, before.st_uid, before.st_gid)
    try:
        load_config(aside)
    except ValueError:
        aside.unlink()
        raise
    aside.replace(config)
