"""Postgres statistics: the planner of a PostgreSQL server is told of tables, and of policies in them, that are new.

Of a table that was never analysed it assumes that one policy's rows are a two-hundredth of it, and of one that
was analysed before a policy came that the policy has no rows; then it reads all that it has, by another index, to
find each one that is asked for by its id. Beside no other policy the server's own analysis ends that within a
minute or two; beside others it waits until a tenth of the table has changed. Meanwhile each record costs the
more the more there are (measured: 2.5 ms in place of 0.4 after 12,000 records into new tables, and 10 ms to find
one answer of 24,000 beside 100,000 of another policy; `make bench ARGS="--only members"`).
"""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

FEWEST = 1_000
"""Rows that are new: fewer are read as fast whole."""
SAMPLED = 10_000
"""Or one in so many: of fewer the server's sample, 30,000 rows, shows nothing."""
LOOK_SECONDS, SPACE_SECONDS, LONGEST_SPACE = 1.0, 5.0, 3600.0
"""Time between two looks at what has changed, between two at one table, and at most between two analyses of it."""
_PATIENCE = "SET LOCAL statement_timeout = '120s'; SET LOCAL lock_timeout = '1s'"

_CHANGED = f"""
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
AND pg_stat_get_mod_since_analyze(c.oid) >= GREATEST({FEWEST}, c.reltuples / {SAMPLED})
"""
"""Asks the server's counters: what a table's file holds is told to nobody while somebody rewrites it."""
_KNOWN = """
SELECT c.reltuples, (SELECT s.most_common_vals::text::text[] FROM pg_stats s WHERE s.attname = 'policy'
AND s.schemaname = n.nspname AND s.tablename = c.relname),
EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'policy')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relname = %s
"""
_UNKNOWN = sql.SQL("""
WITH RECURSIVE found(policy) AS (
    (SELECT policy FROM {table} ORDER BY policy LIMIT 1)
    UNION ALL
    SELECT (SELECT t.policy FROM {table} t WHERE t.policy > found.policy ORDER BY t.policy LIMIT 1)
    FROM found WHERE found.policy IS NOT NULL)
SELECT policy FROM found WHERE policy <> ALL (%s) AND policy = (SELECT t.policy FROM {table} t
    WHERE t.policy >= found.policy ORDER BY t.policy OFFSET %s LIMIT 1) LIMIT 1
""")
"""A policy that has so many rows and that the statistics do not name; by one step into an index for each policy."""


class PlannerHelp:
    """Has tables analysed as they fill, on a thread and a connection of its own: nobody waits for it.

    A table that is new, or in which a policy is, is analysed at once, and while it changes again after
    1, 2, 4 … s up to an hour. What another one analyses just now is left to it. `look` is called by one
    thread at a time; `now` is of a clock that only goes on.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], now: float) -> None:
        self._connect = connect
        self._look_at = now + LOOK_SECONDS  # A command that is over by then has nothing analysed.
        self._next: dict[str, float] = {}
        self._space: dict[str, float] = {}
        self._thread: threading.Thread | None = None

    def look(self, connection: psycopg.Connection[Any], now: float) -> None:
        """Begin to analyse what changed, where it is time; outside any transaction of the connection."""
        if now < self._look_at or (self._thread is not None and self._thread.is_alive()):
            return
        self._look_at = now + LOOK_SECONDS
        changed = [str(name) for (name,) in connection.execute(_CHANGED).fetchall()]
        if due := [name for name in changed if now >= self._next.get(name, 0.0)]:
            self._thread = threading.Thread(
                target=self._help, args=(due, now), name="planner-help", daemon=True
            )
            self._thread.start()

    def _help(self, names: list[str], now: float) -> None:
        try:
            with self._connect() as connection:
                for name in names:
                    self._next[name] = now + SPACE_SECONDS
                    with connection.transaction():
                        connection.execute(_PATIENCE)
                        if name in self._space or is_new(connection, name):
                            self._analyse(connection, name, now)
        except (psycopg.Error, OSError, ValueError):
            return  # It is a help: what it is kept from is tried again, and the server does it late.

    def _analyse(self, connection: psycopg.Connection[Any], name: str, now: float) -> None:
        space = 2 * self._space.pop(name, LOOK_SECONDS / 2)
        if space > LONGEST_SPACE:
            return
        self._space[name], self._next[name] = space, now + space
        # Who has it locked, for one that analyses it or writes its file anew, is not waited for.
        connection.execute(
            sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(sql.Identifier(name)), prepare=False
        )


def is_new(connection: psycopg.Connection[Any], name: str) -> bool:
    """Return whether a table of the current schema was never analysed, or not since one of its policies came."""
    known = connection.execute(_KNOWN, (name,)).fetchone()
    if known is None:
        return False
    rows, policies, has_policies = known
    if rows <= 0.0 or not has_policies:
        return bool(rows <= 0.0)
    asked = _UNKNOWN.format(table=sql.Identifier(name))
    least = max(FEWEST, int(rows / SAMPLED))
    return connection.execute(asked, (policies or [], least - 1)).fetchone() is not None
