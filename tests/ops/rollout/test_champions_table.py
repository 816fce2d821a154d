"""Who was champion: kept through the renaming of the table that says so."""

from pathlib import Path

from rlwd.ops.rollout import candidates_table, champions_table
from rlwd.streams.state.sqlite import SqliteStore

FIRST_RELEASE = 2
"""Migrations that a state database of 0.1.0 has."""


def test_a_state_database_of_the_first_release_keeps_its_champions(tmp_path: Path) -> None:
    """Opened by this version, the champions of 0.1.0 are read from the table's new name."""
    path, policy = tmp_path / "rlwd.db", "policy"
    old = SqliteStore(path, {"ops": candidates_table.MIGRATIONS[:FIRST_RELEASE]})
    with old.transaction() as tx:
        for number, version in enumerate(("v0", "v1"), start=1):
            tx.execute(
                "INSERT INTO reigns VALUES (?, ?, ?, ?, ?)",
                (policy, number, version, float(number), "people liked it"),
            )
    old.close()
    store = SqliteStore(path, {"ops": candidates_table.MIGRATIONS})
    with store.transaction() as tx:
        champions_table.set_champion(tx, policy, "v2", "even better", 3.0)
    with store.reading() as view:
        found = champions_table.history(view, policy)
    store.close()
    assert found == [
        ("v2", 3.0, "even better"),
        ("v1", 2.0, "people liked it"),
        ("v0", 1.0, "people liked it"),
    ]
