"""Flag wait: whoever decided something by hand sees that the flag file says so."""

import time

from ...ops.flags.flag_reach import FlagReach, read_reach
from ...ops.rollout.controller import RolloutController
from ...ops.rollout.publish_flags import is_current, publish_flags
from ...streams.state.lease import read_holder
from ...streams.state.store import Store
from ..config import Config

GATEWAY_SECONDS = 75.0
"""How long gateways are waited for: longer than one that died is counted."""
FLAG_SECONDS = 15.0
"""How long a living daemon is given; it looks every tick, unless an engine keeps it."""


def wait_for_flags(
    config: Config, store: Store, controller: RolloutController, seconds: float
) -> tuple[bool, str]:
    """Return whether the flag file says what the tables say, and who wrote it or is to.

    A living daemon is given so many seconds; where none lives the file is written from here.
    """
    with store.reading() as view:
        holder = read_holder(view, config.policy, time.time())
    if holder is None or not holder.alive:
        publish_flags(store, config.policy, config.rollout, config.flags_path, time.time())
        return True, "this command, because no daemon lives"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with store.reading() as view:
            if is_current(view, controller.policy, controller.settings):
                return True, f"the daemon, process {holder.pid} on {holder.host}"
        time.sleep(0.1)
    return False, f"the daemon, process {holder.pid} on {holder.host},"


def wait_for_gateways(config: Config, store: Store, seconds: float) -> FlagReach:
    """Return how far the newest flags have come, once it is everywhere or so many seconds are over.

    A gateway that nobody heard of for a minute is waited for no longer. Where no daemon lives, nobody
    hears of those on other hosts: they count as the last daemon knew them.
    """
    deadline = time.monotonic() + seconds
    while True:
        now = time.time()
        with store.reading() as view:
            holder = read_holder(view, config.policy, now)
            reach = read_reach(
                view,
                config.policy,
                config.flags_path,
                now,
                listening=holder is not None and holder.alive,
            )
        if reach.complete or time.monotonic() >= deadline:
            return reach
        time.sleep(0.1)
