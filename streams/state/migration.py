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
) -> None:
    """Run the scripts that this database has not seen; nobody else may migrate meanwhile.

    Scripts are written for SQLite, with what only one database understands in comments;
    `in_dialect` returns a statement as this database takes it. Raises StoreTooNew where a later
    version has migrated it further.
    """
    tx.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (folder TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (folder, number))"
    )
    for folder, scripts in migrations.items():
        row = tx.execute(
            "SELECT COALESCE(MAX(number), 0) FROM migrations WHERE folder = ?", (folder,)
        ).fetchone()
        if row[0] > len(scripts):
            raise StoreTooNew(
                f"{name}: {folder} is at migration {row[0]}, this rlwd knows"
                f" {len(scripts)}: run the newer rlwd, or restore an older state"
            )
        for number, script in enumerate(scripts[row[0] :], start=row[0] + 1):
            for statement in filter(str.strip, script.split(";")):
                tx.execute(in_dialect(statement))
            tx.execute("INSERT INTO migrations VALUES (?, ?)", (folder, number))
