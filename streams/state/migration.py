"""Migrations: each folder's tables are brought up to date by number, in one transaction."""

from collections.abc import Callable, Mapping, Sequence

from .transaction import Transaction


class StoreTooNew(RuntimeError):
    """The database was written by a later rlwd; going on could lose what it knows."""


def migrate(
    tx: Transaction,
    name: str,
    migrations: Mapping[str, Sequence[str]],
    in_dialect: Callable[[str], str],
    changing: Callable[[Transaction], None] = lambda _: None,
) -> None:
    """Run the scripts that this database has not seen; nobody else may migrate meanwhile.

    Scripts are written for SQLite, with what only one database understands in comments;
    `in_dialect` returns a statement as this database takes it. `changing` is called first where tables
    of an earlier version are to be changed, and may raise: nothing is changed then. Raises StoreTooNew
    where a later version has migrated it further.
    """
    tx.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (folder TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (folder, number))"
    )
    seen = dict(tx.execute("SELECT folder, MAX(number) FROM migrations GROUP BY folder").fetchall())
    for folder, scripts in migrations.items():
        if seen.get(folder, 0) > len(scripts):
            raise StoreTooNew(
                f"{name}: {folder} is at migration {seen[folder]}, this rlwd knows"
                f" {len(scripts)}: run the newer rlwd, or restore an older state"
            )
    if seen and any(seen.get(folder, 0) < len(known) for folder, known in migrations.items()):
        changing(tx)
    for folder, scripts in migrations.items():
        after = seen.get(folder, 0)
        for number, script in enumerate(scripts[after:], start=after + 1):
            for statement in filter(str.strip, script.split(";")):
                tx.execute(in_dialect(statement))
            tx.execute("INSERT INTO migrations VALUES (?, ?)", (folder, number))
