"""By hand: the commands by which an operator decides of versions, and what they print."""

import getpass
import socket

from ...streams.state.store import Store
from ..by_hand.decisions import decide, take_back
from ..by_hand.flag_wait import FLAG_SECONDS, GATEWAY_SECONDS, wait_for_gateways
from ..config import Config
from ..store import existing_store


def run_rollback(
    config: Config, what: str, reason: str, *, by: str = "", wait_seconds: float = GATEWAY_SECONDS
) -> int:
    """Take back, and say what is true now; return 1 where it is not complete yet.

    It is once every gateway that was heard of in the last minute acts on it; 0 seconds wait for none.
    """
    store = existing_store(config)
    try:
        done = take_back(config, store, what, f"{_who(by)}: {reason}")
        print(done.sentence)
        print(_flag_line(config, done.flagged, done.by))
        if not done.flagged:
            return 1
        return _follow(config, store, wait_seconds) if wait_seconds else 0
    finally:
        store.close()


def _follow(config: Config, store: Store, seconds: float) -> int:
    """Wait for the gateways, and say whether the rollback is complete."""
    reach = wait_for_gateways(config, store, seconds)
    if reach.complete:
        print(f"the rollback is complete: {reach.sentence}")
        return 0
    print(f"the rollback is not complete: {reach.sentence}; `rlwd status` says when it is")
    return 1


def run_decision(config: Config, name: str, what: str = "", *, by: str = "", why: str = "") -> int:
    """Decide, and print what is true now; return 1 where the flag file does not say so yet."""
    store = existing_store(config)
    try:
        said, flagged, writer = decide(config, store, name, what, _who(by), why, FLAG_SECONDS)
    finally:
        store.close()
    print(said)
    print(_flag_line(config, flagged, writer))
    return 0 if flagged else 1


def _flag_line(config: Config, flagged: bool, by: str) -> str:
    if flagged:
        return f"{config.flags_path} says so, written by {by}"
    return f"{config.flags_path} does not say so yet: {by} is to write it; see its log"


def _who(by: str) -> str:
    return by or f"{getpass.getuser()}@{socket.gethostname()}"
