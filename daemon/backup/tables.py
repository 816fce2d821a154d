"""Tables: one policy's rows of a state database, copied into another one, whichever server holds either.

On a server other policies stand in the same tables (docs/specialists.md): nothing of theirs is read, and
their rows stay as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...streams.state.bulk import insert_rows
from ...streams.state.transaction import Transaction, is_shared

PAGE = 5_000
"""Rows that are held in memory at a time."""
OWN = "migrations"
"""Written by whoever opened the database, and the same in both: the one table that is of no policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape:
    """A table, as the database describes it."""

    name: str
    """Its name."""
    columns: tuple[str, ...]
    """All of its columns."""
    key: tuple[str, ...]
    """Columns of its primary key, by which it is read page by page."""


def shapes(view: Transaction) -> list[TableShape]:
    """Return every table of rlwd's but the one of migrations, by name."""
    rows = view.execute(_SERVER_COLUMNS if is_shared(view) else _SQLITE_COLUMNS).fetchall()
    tables: dict[str, list[tuple[str, int]]] = {}
    for table, column, position in rows:
        tables.setdefault(table, []).append((column, position))
    return [
        TableShape(
            name=table,
            columns=tuple(column for column, _ in found),
            key=tuple(column for column, place in sorted(found, key=lambda each: each[1]) if place),
        )
        for table, found in sorted(tables.items())
        if table != OWN
    ]


def counted(view: Transaction, policy: str) -> dict[str, int]:
    """Return how many rows of a policy each table has."""
    return {
        shape.name: int(
            view.execute(
                f'SELECT COUNT(*) FROM "{shape.name}" WHERE policy = ?', (policy,)
            ).fetchone()[0]
        )
        for shape in shapes(view)
    }


def copy_tables(view: Transaction, tx: Transaction, policy: str) -> dict[str, int]:
    """Copy every row of a policy into the same tables of another database, which hold none of it.

    Both were migrated by this rlwd. Returns rows by table. Raises ValueError where a table holds something
    of the policy, lacks a column, or does not have afterwards what was read.
    """
    if is_shared(tx):
        without_time_limit(tx)
    wanted = {shape.name: set(shape.columns) for shape in shapes(tx)}
    found = shapes(view)
    if {shape.name: set(shape.columns) for shape in found} != wanted:
        raise ValueError("the two databases have not the same tables: run this rlwd on both first")
    if full := sorted(name for name, rows in counted(tx, policy).items() if rows):
        raise ValueError(f"the database to copy into holds rows already: {', '.join(full)}")
    copied, given = {}, dict[int, int]()
    # Contents come before the episodes that name them: by name.
    for shape in found:
        columns = ", ".join(f'"{name}"' for name in shape.columns)
        head = f'INSERT INTO "{shape.name}" ({columns}) VALUES '
        copied[shape.name] = 0
        for rows in _pages(view, shape, policy):
            if is_shared(tx):
                rows = _renumbered(tx, shape, rows, given)
            insert_rows(tx, head, rows)
            copied[shape.name] += len(rows)
    if (there := counted(tx, policy)) != copied:
        wrong = sorted(name for name in copied if there.get(name) != copied[name])
        raise ValueError(f"not every row arrived: {', '.join(wrong)}")
    _settle(tx, policy)
    return copied


def without_time_limit(tx: Transaction) -> None:
    """Let one transaction on a server take longer than a poll's."""
    tx.execute(
        "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN"
        " ('transaction_timeout', 'idle_in_transaction_session_timeout')"
    )


def _renumbered(
    tx: Transaction, shape: TableShape, rows: list[tuple[Any, ...]], given: dict[int, int]
) -> list[tuple[Any, ...]]:
    """Return rows with the numbers that a server counts, of which other policies have some already.

    `given` are those of contents, the old one and the new one, by which episodes name them.
    """
    if shape.key == ("id",):
        numbers = tx.execute(
            f"SELECT nextval(pg_get_serial_sequence('{shape.name}', 'id')) FROM generate_series(1, ?)",
            (len(rows),),
        ).fetchall()
        place = shape.columns.index("id")
        fresh: list[int | None] = [number for (number,) in numbers]
        if shape.name == "contents":
            given.update(zip((row[place] for row in rows), (n for (n,) in numbers), strict=True))
    elif shape.name == "episodes":
        place = shape.columns.index("content")
        fresh = [given.get(row[place]) for row in rows]
    else:
        return rows
    return [
        (*row[:place], number, *row[place + 1 :]) for row, number in zip(rows, fresh, strict=True)
    ]


def _pages(view: Transaction, shape: TableShape, policy: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield a policy's rows of a table by its key, some thousand at a time."""
    columns = ", ".join(f'"{name}"' for name in shape.columns)
    key = ", ".join(f'"{name}"' for name in shape.key)
    marks = ", ".join("?" * len(shape.key))
    places = [shape.columns.index(name) for name in shape.key]
    last: tuple[Any, ...] | None = None
    while True:
        after = "" if last is None else f" AND ({key}) > ({marks})"
        rows = view.execute(
            f'SELECT {columns} FROM "{shape.name}" WHERE policy = ?{after} ORDER BY {key} LIMIT {PAGE}',
            (policy, *(last or ())),
        ).fetchall()
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        last = tuple(rows[-1][place] for place in places)


def _settle(tx: Transaction, policy: str) -> None:
    """Let a server know all event keys by its index."""
    if not is_shared(tx):
        return
    # Only one that writes alone looks into the table of new keys (`streams/join/dedup.py`).
    tx.execute(
        "INSERT INTO event_keys (policy, digest) SELECT policy, digest FROM new_keys WHERE policy = ?"
        " ON CONFLICT DO NOTHING",
        (policy,),
    )
    tx.execute("DELETE FROM new_keys WHERE policy = ?", (policy,))


_SQLITE_COLUMNS = """
SELECT m.name, c.name, c.pk FROM sqlite_master m, pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY m.name, c.cid
"""
# By the catalogue: information_schema works out the keys of every schema of the server for it.
_SERVER_COLUMNS = """
SELECT c.relname, a.attname, COALESCE(k.place, 0)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
LEFT JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place) ON k.number = a.attnum
WHERE c.relkind = 'r' ORDER BY c.relname, a.attnum
"""
