"""Page server: all pages of one daemon, built from its configuration."""

import time
from typing import Any

from ...ops.flags import intents_table
from ...ops.flags.flag_state import FlagState
from ...streams.state.store import Store
from ..config import Config
from ..control.loop import StatusPages
from ..http.access import Access
from ..status.flag_page import FlagPage
from ..status.metrics import Metrics
from ..status.server import StatusServer, Vitals
from .count_keeper import CountKeeper
from .forms import Forms
from .frame import Site
from .pages import Pages


def build_flag_page(config: Config, store: Store) -> FlagPage:
    """Return the page of the flags, as the flag file was seen to say them."""

    def confirmed() -> FlagState | None:
        with store.reading() as view:
            return intents_table.confirmed(view, config.policy)

    return FlagPage(config.http.flags_key, confirmed)


def build_pages(
    config: Config,
    store: Store,
    problems: dict[str, str],
    *,
    port: int | None = None,
    flags: FlagPage | None = None,
) -> StatusPages:
    """Return the pages, not listening yet.

    `problems` hold the daemon back until its loop says that they are over; the one in control has
    `flags` to serve.
    """
    metrics = Metrics({"state": config.state_path})
    vitals, http = Vitals(problems=problems), config.http
    access = Access(
        http.token, user_header=http.user_header, proxies=http.proxies, names=http.names
    )

    site = Site(config, store, vitals, access)
    pages = Pages(site)

    def status() -> dict[str, Any]:
        with store.reading() as view:
            return pages.stored(view, time.time())

    server = StatusServer(
        vitals,
        metrics.registry,
        status,
        host=http.host,
        port=http.port if port is None else port,
        access=access,
        flags=flags,
        # Where there are others beside the one in control, they count for who asks them.
        keeper=None if flags is None else CountKeeper(store, pages.counted),
        pages=[*pages.routes(), *Forms(config, store, access, site).routes(), pages.elsewhere()],
    )
    return StatusPages(server=server, metrics=metrics)
