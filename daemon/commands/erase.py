"""Erase: `rlwd erase`, a person's right to be forgotten, and the versions that had learned from them."""

import time
from typing import Any

import msgspec

from ...ops.flags.assignment import hash_user, tenant_key
from ...streams.secret_values import read_secret
from ...streams.state.sqlite import SqliteStore
from ..began_with import began_with_any
from ..config import Config
from ..erasures.erasure_list import note_erased
from ..erasures.person import erase_person
from ..own_part import other_policies
from ..shown_json import shown_json
from ..store import existing_store

NOT_REACHED = (
    "the log keeps its records until its own retention ends, a gateway's spool what it"
    " sent until its segment is full, and gateways on other machines keep what the log refused for"
    " its size for gateway.oversize_days; reading records again brings nothing back. Backups hold it until"
    " they are deleted; a state that is put back from one forgets it again by the list of erasures. Files"
    " that `rlwd export` wrote, copies of the database, and digests of lines that `rlwd keep` has in work"
    " trees are where they were written"
)
ON_SERVER = (
    ". Of PostgreSQL: its write-ahead log (pg_wal, its archive, replicas that lag) until its segments are"
    " removed or written over, and base backups"
)
NOT_REWRITTEN = (
    "; and in the tables' files the room of deleted rows until it is written over: `--rewrite` writes"
    " them anew, while nobody reads or writes the table that is at turn"
)


def run_erase(
    config: Config, user: str, *, hashed: bool, tenant: str = "default", rewrite: bool = False
) -> int:
    """Erase and print the report as JSON; return 1 where it has to be run again."""
    store = existing_store(config)
    user_hash = user
    if not hashed:
        key = read_secret("gateway.user_key", config.gateway.user_key).encode()
        user_hash = hash_user(user, tenant_key(key, tenant))
    now = time.time()
    # First: where this is cut off, the daemon's next start goes on.
    note_erased(config.erasures_path, config.policy, {user_hash: now})
    done = erase_person(config, store, user_hash, now, rewrite=rewrite)
    on_server = not isinstance(store, SqliteStore)
    again = done.batches_waiting or (not done.bytes_gone and (rewrite or not on_server))
    store.close()
    others = other_policies(config, None if hashed else tenant)
    began = began_with_any(config, done.learned)
    left = NOT_REACHED + ON_SERVER * on_server + NOT_REWRITTEN * (on_server and not rewrite)
    report: dict[str, Any] = {
        **msgspec.to_builtins(done),
        "listed_in": str(config.erasures_path),
        # A person of a tenant with a specialist has answers of two policies, and each is erased by itself.
        **({"other_policies": others} if others else {}),
        **({"specialists_began_with": began} if began else {}),
        "not_reached": left,
    }
    print(shown_json(report))
    return 1 if again else 0
