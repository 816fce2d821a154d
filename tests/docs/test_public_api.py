"""The public API as declared is the one there is: commands, keys, routes, topics."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from aiohttp import web
from api_tables import PAGE, with_tables
from daemon_by_hand import open_daemon_ledger
from pages_by_hand import served
from settings_page import PAGE as SETTINGS_PAGE
from settings_page import settings_page

from rlwd.daemon.cli import app
from rlwd.daemon.config import Config
from rlwd.daemon.gateway.app import build_app
from rlwd.daemon.gateway.settings import GatewaySettings
from rlwd.daemon.init.setting_notes import COPIES, every_key, named_sections
from rlwd.daemon.sections import StreamSettings
from rlwd.streams.log.embedded_log import EmbeddedSink

ROOT = Path(__file__).parents[2]
HOW = "run `make docs`, and look at what changed: it is public"


def test_commands_are_those_of_the_code() -> None:
    """Every command with its options stands on the page."""
    assert PAGE.read_text() == with_tables(PAGE.read_text()), HOW


def test_every_key_is_documented() -> None:
    """docs/settings.md is what the settings say of themselves, and none of them says nothing."""
    assert SETTINGS_PAGE.read_text() == settings_page(), HOW
    assert [key for key, note in every_key().items() if not note] == []
    assert not re.search(r"NoneType|\bnull\b", SETTINGS_PAGE.read_text()), "no word of TOML's"


def test_the_settings_page_finds_every_section() -> None:
    """No key is left out: as many as the config itself has, however deep."""

    def count(kind: type[msgspec.Struct]) -> int:
        inner = [field.type for field in msgspec.structs.fields(kind)]
        return sum(
            count(one) if isinstance(one, type) and issubclass(one, msgspec.Struct) else 1
            for one in inner
            if named_sections(one) is None
        )

    once = [key for key in every_key() if ".NAME" not in key and not key.startswith("[")]
    assert set(every_key()).isdisjoint(COPIES)
    named = {"gateway.clients", "gateway.specialists"}  # copies that `count` leaves out, too
    assert len(once) + len(COPIES - named) == count(Config)


def test_every_option_says_what_it_is() -> None:
    """No argument is without help."""
    group: Any = typer.main.get_command(app)
    silent = [
        f"{name} {parameter.name}"
        for name, command in group.commands.items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert silent == []


def declared(server: str) -> set[str]:
    """Return the routes that the page declares for a server."""
    return set(
        re.findall(rf"^\| {server} \| `((?:GET|POST) \S+)` \|", PAGE.read_text(), re.MULTILINE)
    )


def routes(app: web.Application) -> set[str]:
    """Return an application's routes; HEAD and OPTIONS go with the others."""
    return {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "OPTIONS", "*")
    }


def test_gateway_routes_are_declared(tmp_path: Path) -> None:
    """The gateway answers the routes on the page and no other."""
    settings = GatewaySettings(flags=str(tmp_path / "f"), spool=str(tmp_path / "s"))
    app = build_app(settings, lambda: EmbeddedSink(tmp_path / "log.db"))
    assert routes(app) == declared("gateway")


def test_daemon_routes_are_declared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The daemon answers the routes on the page and no other."""
    seen: list[web.Application] = []
    made = web.Application

    def application(*args: Any, **more: Any) -> web.Application:
        seen.append(made(*args, **more))
        return seen[-1]

    monkeypatch.setattr(web, "Application", application)
    with served(tmp_path, open_daemon_ledger(tmp_path / "rlwd.db").store):
        pass
    assert routes(seen[0]) == declared("daemon")


def test_topics_and_schemas_are_declared() -> None:
    """The page names every topic and every schema file."""
    page, stream = PAGE.read_text(), StreamSettings()
    for topic in (stream.generations, stream.feedback, stream.dead_letters):
        assert f"`{topic}`" in page
    for path in (ROOT / "streams" / "schemas").glob("*.json"):
        assert path.name in page


def test_the_page_of_commands_names_every_one() -> None:
    """Who looks for a command finds what it does on one page, which README names."""
    page = (ROOT / "docs" / "commands.md").read_text()
    assert "docs/commands.md" in (ROOT / "README.md").read_text()
    names = re.findall(r"^\| `rlwd ([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert [name for name in names if f"rlwd {name}" not in page] == []
