"""Opens the state database."""

from collections.abc import Callable, Mapping
from pathlib import Path

from .answers import exposure, own_numbers, session_turns, traced
from .attribution import chain_table, referenced, spent, spreading
from .join import (
    dead_letters,
    dedup,
    episodes_table,
    erasure,
    feedback_checks,
    offsets,
)
from .readings import reading_keys, reading_tallies, unknown_signals, unread
from .rescore import rescorings_table
from .sessions import contents, retold, turns_table
from .state.sqlite import SqliteStore
from .state.store import Store
from .state.transaction import Transaction

POSTGRES = ("postgresql://", "postgres://")

READINGS = f"{unread.UNREAD};{reading_keys.READING_KEYS};{reading_tallies.READING_TALLIES}"
MIGRATIONS = (
    offsets.OFFSETS + ";" + dead_letters.DEAD_LETTERS + ";" + episodes_table.EPISODES,
    offsets.OWNERS,
    offsets.GAPS,
    contents.CONTENTS + ";" + episodes_table.INDEXES + ";" + dedup.NEW_KEYS,
    erasure.ERASED,
    exposure.OUTCOMES,
    episodes_table.TENANTS,
    exposure.MEASURED,
    feedback_checks.FEEDBACK_TENANTS,
    own_numbers.COUNTED,
    exposure.BY_TIME,
    contents.BASES + ";" + turns_table.TURNS + ";" + feedback_checks.ORIGINS,
    session_turns.SESSION_TURNS,
    traced.TRACED,
    episodes_table.TOOL_RESULTS,
    exposure.SPECS,
    READINGS + ";" + unknown_signals.UNKNOWN_SIGNALS,
    rescorings_table.RESCORINGS,
    chain_table.CHAINS + ";" + referenced.REFERENCED + ";" + turns_table.AWAITED,
    episodes_table.BEHAVIOURS,
    turns_table.READ,
    retold.RETOLD,
    turns_table.PEOPLE,
    feedback_checks.TAKEN,
    spent.AMOUNTS,
    spreading.SPREAD + ";" + rescorings_table.ATTRIBUTED,
    episodes_table.LANES,
    offsets.REWOUND,
    episodes_table.ENDED_INDEX,
)
"""The tables of the join, by number; a later version only adds to the end."""


def open_store(
    where: Path | str,
    extra: Mapping[str, tuple[str, ...]] | None = None,
    changing: Callable[[Transaction], None] = lambda _: None,
) -> Store:
    """Open the state database with the tables of the join and, by folder, those of `extra`.

    `where` is SQLite's file, or a `postgresql://` URL. `changing` is called before tables of an earlier
    version are migrated, and may raise. Raises ConnectionError where no server answers there.
    """
    migrations = {"streams": MIGRATIONS, **(extra or {})}
    if isinstance(where, str) and where.startswith(POSTGRES):
        try:
            # Imported here: only a server's URL needs its client.
            from .state.postgres import PostgresStore
        except ModuleNotFoundError as missing:
            raise ValueError(f"database: {missing}: pip install 'rlwd[postgres]'") from missing
        return PostgresStore(where, migrations, changing=changing)
    return SqliteStore(Path(where), migrations, changing=changing)
