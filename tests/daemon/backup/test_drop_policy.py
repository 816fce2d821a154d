"""`rlwd drop-policy`: one policy's rows leave every table of a database, and another's stay as they are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from places_by_hand import new_schema
from typer.testing import CliRunner, Result

from rlwd.daemon.backup.tables import TableShape, counted, shapes
from rlwd.daemon.cli import app
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.store import state_store
from rlwd.streams.state.lease import release_lease, take_lease
from rlwd.streams.state.store import Store
from rlwd.streams.state.transaction import Transaction, is_shared

CONFIG = '{database}policy = "main"\nstate = "state"\n[learner]\nmodel = "base"\n'
TYPES = """SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = ?"""
VALUES = {"text": "x", "real": 1.0, "double precision": 1.0, "blob": b"x", "bytea": b"x"}


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """A state database with a row of two policies in every table, on either engine."""
    database = ""
    if request.param == "postgres":
        database = f'database = "{new_schema(request.getfixturevalue("postgres_url"))}"\n'
    (tmp_path / "rlwd.toml").write_text(CONFIG.format(database=database))
    return load_config(tmp_path / "rlwd.toml")


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    store = state_store(config)
    with store.transaction() as tx:
        for shape in shapes(tx):
            for policy in ("acme", "main"):
                fill(tx, shape, policy)
    yield store
    store.close()


def fill(tx: Transaction, shape: TableShape, policy: str) -> None:
    """Put a row of a policy into a table, whatever its columns are: of one that is new, too."""
    asked = TYPES if is_shared(tx) else "SELECT name, type FROM pragma_table_info(?)"
    kinds = dict(tx.execute(asked, (shape.name,)).fetchall())
    columns = [one for one in shape.columns if one != "id"]
    values = [policy if one == "policy" else VALUES.get(kinds[one].lower(), 1) for one in columns]
    names, marks = ", ".join(f'"{one}"' for one in columns), ", ".join("?" * len(columns))
    tx.execute(f'INSERT INTO "{shape.name}" ({names}) VALUES ({marks})', values)


def rows(store: Store, policy: str) -> dict[str, int]:
    with store.reading() as view:
        return counted(view, policy)


def drop(config: Config, *arguments: str) -> Result:
    file = config.state_path.parent / "rlwd.toml"
    return CliRunner().invoke(app, ["drop-policy", *arguments, "-c", str(file)])


def test_one_policys_rows_leave_every_table(config: Config, store: Store) -> None:
    """Without `--yes` they are only counted; with it no table keeps one, whichever tables there are, and the
    other policy has all of its own. What is not reached is said.
    """
    before = rows(store, "acme")
    assert set(before.values()) == {1}
    assert rows(store, "main") == before
    told = drop(config, "acme")
    assert (told.exit_code, rows(store, "acme")) == (1, before)
    assert f"{len(before)} rows of acme in {len(before)} tables" in told.stderr
    assert "nothing is deleted yet" in told.stderr

    store.close()
    told = drop(config, "acme", "--yes", "--rewrite")
    assert told.exit_code == 0, told.output
    assert told.stdout.split() == [word for name in before for word in (name, "1")]
    for place in ("topics", "spools", "checkpoints", "MLflow", "backups"):
        assert place in told.stderr
    again = state_store(config)
    assert set(rows(again, "acme").values()) == {0}
    assert rows(again, "main") == before
    again.close()


def test_a_policy_that_a_daemon_works_on_is_not_dropped(config: Config, store: Store) -> None:
    """Its holder is named; the other's daemon is in nobody's way."""
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET role = 'control', pid = 0, epoch = 0")
    held = take_lease(store, "acme", 1.0)
    told = drop(config, "acme", "--yes")
    assert f"acme: process {os.getpid()} on" in str(told.exception)
    assert set(rows(store, "acme").values()) == {1}
    release_lease(store, held)
    take_lease(store, "main", 1.0)
    assert "is in charge" not in drop(config, "acme", "--yes").output
    assert set(rows(store, "acme").values()) == {0}


def test_a_name_that_nothing_has_is_refused(config: Config, store: Store) -> None:
    """The policies that have rows are named, since it was mistyped."""
    told = drop(config, "acmee", "--yes")
    assert "acmee: has no row in" in str(told.exception)
    assert "there are rows of acme, main" in str(told.exception)
