"""A real Chromium, where one is installed, and axe, which finds what keeps people from using a page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = 1280, 390
"""Widths in CSS pixels."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium; skips the test by name where none is installed."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as driver:
        # As root, as in a container, its own sandbox does not start.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def window(
    browser: Browser, url: str, *, width: int = DESKTOP, dark: bool = False
) -> Iterator[tuple[Page, list[str]]]:
    """Open a window without a past; what its pages complain of is in the list."""
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
    )
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda problem: said.append(str(problem)))
    # A page that is left gives up what it was still loading; a server that fails says something else.
    page.on(
        "requestfailed",
        lambda request: (
            said.append(f"{request.url}: {request.failure}")
            if request.failure != "net::ERR_ABORTED"
            else None
        ),
    )
    yield page, said
    context.close()


def axe_finds(page: Page) -> list[str]:
    """Return what axe finds wrong on a page; skips the test by name where axe is not installed."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("RLWD_CLIENTS") or home / "rlwd" / "clients")
    script = cache / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        pytest.skip("axe is not installed: make clients")
    page.evaluate(script.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
    )
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:120]}: {node['failureSummary'][:160]}"
        for one in found
        for node in one["nodes"]
    ]
