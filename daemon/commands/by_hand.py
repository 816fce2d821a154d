"""By hand: the commands by which an operator decides of versions, and what they print."""

import getpass
import socket

from ..by_hand.decisions import decide, take_back
from ..by_hand.flag_wait import FLAG_SECONDS
from ..config import Config
from ..store import existing_store


def run_rollback(config: Config, what: str, reason: str, *, by: str = "") -> int:
    """Take back, and say what is true now; return 1 where the flag file does not say so yet."""
    store = existing_store(config)
    done = take_back(config, store, what, f"{_who(by)}: {reason}")
    store.close()
    print(f"{done.version} is taken back and never offered again; {done.champion} is served")
    print(_flag_line(config, done.flagged, done.by))
    return 0 if done.flagged else 1


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
