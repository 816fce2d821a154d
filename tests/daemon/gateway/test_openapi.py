"""The gateway's description is published, complete, and true of what it answers."""

import json
from pathlib import Path

import httpx

from rlwd.daemon.gateway.app import build_app
from rlwd.daemon.gateway.openapi import openapi_document
from rlwd.daemon.gateway.settings import GatewaySettings
from rlwd.streams.log.ports import EventSink

PUBLISHED = Path(__file__).parents[3] / "docs" / "openapi.gateway.json"


def no_log() -> EventSink:
    raise ConnectionError("no log here")


def test_the_published_description_is_todays(client: httpx.Client) -> None:
    """`python -m rlwd.daemon.gateway.openapi docs/openapi.gateway.json` was run; it is served too."""
    assert json.loads(PUBLISHED.read_text()) == openapi_document()
    assert client.get("/openapi.json").json() == openapi_document()


def test_every_route_is_described() -> None:
    """No route is missing, and none is described that is not there."""
    app = build_app(GatewaySettings(), no_log)
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {
        (method, path)
        for path, methods in openapi_document()["paths"].items()
        for method in methods
        if method in ("get", "post")
    }
    assert routes == described
