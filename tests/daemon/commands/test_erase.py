"""`rlwd erase`: a person is forgotten, and who learned from them is named."""

from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from daemon_by_hand import decide, open_daemon_ledger
from ledger_by_hand import Ledger, feedback
from places_by_hand import new_schema
from planted_person import KEY, TRACES, plant
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.commands.erase import run_erase
from rlwd.daemon.config import load_config
from rlwd.daemon.store import state_store
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.batches_table import batch_path, pending_batch, write_batch
from rlwd.learner.ledger.seal import seal
from rlwd.ops.flags.assignment import hash_user, tenant_key
from rlwd.streams.events.signals import Edited

CONFIG = 'state = "."\n[learner]\nmodel = "base"\n[gateway]\nuser_key = "key"\n'


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two people's answers, sealed into one batch that is being applied."""
    (tmp_path / "rlwd.toml").write_text(CONFIG)
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    for number in range(4):
        user = hash_user("ann" if number % 2 else "bob", KEY)
        decide(ledger, f"s.g{number}", 1.0, user_hash=user)
    with ledger.store.transaction() as tx:
        sealed = seal(
            tx,
            "policy",
            BatchSettings(episodes=4, held_out=0.0),
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=5.0,
        )
        assert sealed is not None
        waiting = pending_batch(tx, "policy")
        assert waiting is not None
    write_batch(tmp_path / "batches", waiting[0], waiting[1])
    return ledger


def run(folder: Path, capsys: pytest.CaptureFixture[str], user: str) -> tuple[int, dict[str, Any]]:
    status = run_erase(load_config(folder / "rlwd.toml"), user, hashed=False)
    return status, orjson.loads(capsys.readouterr().out)


def test_a_batch_that_is_being_applied_is_waited_for(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named and the status says to come again; then its tokens go, from table and disk."""
    status, report = run(tmp_path, capsys, "ann")
    assert status == 1
    assert (report["generations"], report["batches_waiting"]) == (2, [1])
    assert report["learned"] == report["batches_forgotten"] == []
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE batches SET state = 'applied', sequence = 1")
        tx.execute(
            "UPDATE episodes SET stage = 'closed', fate = 'trained', trained_version = 'policy@v1'"
        )
    status, report = run(tmp_path, capsys, "ann")
    assert status == 0
    assert (report["learned"], report["batches_forgotten"]) == (["policy@v1"], [1])
    assert ledger.ask("SELECT LENGTH(content) FROM batches") == (0,)
    assert not batch_path(tmp_path / "batches", 1).exists()
    assert ledger.fates() == {"trained": 4}


def test_a_user_of_a_tenant_is_named_with_it(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody of the same name in another tenant keeps all of theirs."""
    decide(ledger, "t.g1", 9.0, user_hash=hash_user("ann", tenant_key(KEY, "acme")), tenant="acme")
    config = load_config(tmp_path / "rlwd.toml")
    assert run_erase(config, "ann", hashed=False, tenant="acme") == 0
    assert orjson.loads(capsys.readouterr().out)["generations"] == 1
    assert run_erase(config, "ann", hashed=False) == 1
    assert orjson.loads(capsys.readouterr().out)["generations"] == 2


def test_other_policies_of_the_same_people_are_named(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tenant with a specialist has answers in two states, and erasing in one of them leaves the other's."""
    shared = "[engine]\nadapters = 18\n[specialists.acme]\ntenants = ['acme']\n[specialists.lab]\n"
    (tmp_path / "rlwd.toml").write_text(f"{CONFIG}{shared}tenants = ['lab']\n")
    (tmp_path / "acme.toml").write_text(
        "policy = 'acme'\nparent = 'rlwd.toml'\n[http]\nport = 8091\n"
    )
    parent, own = load_config(tmp_path / "rlwd.toml"), load_config(tmp_path / "acme.toml")
    state_store(own).close()
    said = list[list[str] | None]()
    for config, tenant, hashed in (
        *((parent, "acme", False), (parent, "free", False), (parent, "acme", True)),
        (own, "acme", False),
    ):
        run_erase(config, "ann", hashed=hashed, tenant=tenant)
        said.append(orjson.loads(capsys.readouterr().out).get("other_policies"))
    assert said == [["acme"], None, ["acme", "lab"], ["policy"]]


def test_nobody_is_nobody(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody who was never served is remembered as erased, and nothing else happens."""
    status, report = run(tmp_path, capsys, "carol")
    assert (status, report["generations"], report["batches_waiting"]) == (0, 0, [])
    assert ledger.ask("SELECT COUNT(*) FROM erased") == (1,)


def test_feedback_that_the_log_refused_for_its_size_is_deleted_too(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway keeps it beside its spool: hers goes, his stays until its time is over."""
    kept = tmp_path / "spool-8001" / "oversize"
    kept.mkdir(parents=True)
    for name in ("s.g1", "s.g2"):
        (kept / f"{name}.json").write_bytes(feedback("f", name, Edited(final_text="long"), 2.0))
    run(tmp_path, capsys, "ann")
    assert [path.name for path in kept.iterdir()] == ["s.g2.json"]


def test_no_byte_of_it_is_left_in_the_state(tmp_path: Path) -> None:
    """From the command to the files: record, calls, thoughts, input, edits, derived signals, the prompts
    of others that went on from hers, a sealed batch, and what was too large for the log."""
    (tmp_path / "rlwd.toml").write_text(CONFIG + f'[stream]\ndata_folder = "{tmp_path}/data"\n')
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    plant(ledger, tmp_path)
    before = on_disk(tmp_path)
    assert all(trace in before for trace in (*TRACES, hash_user("ann", KEY).encode()))
    # The daemon has the database open meanwhile, so that its write-ahead log stays.
    done = CliRunner().invoke(app, ["erase", "ann", "-c", str(tmp_path / "rlwd.toml")])
    assert done.exit_code == 0, done.output
    report = orjson.loads(done.stdout)
    assert (report["generations"], report["others"], report["bytes_gone"]) == (2, 1, True)
    after = on_disk(tmp_path)
    assert [trace for trace in TRACES if trace in after] == []
    assert b"his" in after
    ledger.store.close()


def on_disk(folder: Path) -> bytes:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".toml"]
    return b"".join(path.read_bytes() for path in files)


@pytest.mark.parametrize("rewrite", [False, True])
def test_a_server_writes_its_tables_anew_where_it_is_asked_to(
    postgres_url: str, tmp_path: Path, rewrite: bool
) -> None:
    """Its VACUUM leaves the bytes in the files, and the report says so; with --rewrite they are gone."""
    url = new_schema(postgres_url)
    (tmp_path / "rlwd.toml").write_text(
        f'database = "{url}"\n' + CONFIG + f'[stream]\ndata_folder = "{tmp_path}/data"\n'
    )
    ledger = open_daemon_ledger(url)
    plant(ledger, tmp_path)
    before = in_tables(url)
    assert all(trace in before for trace in TRACES)
    command = ["erase", "ann", "-c", str(tmp_path / "rlwd.toml")]
    done = CliRunner().invoke(app, [*command, *["--rewrite"] * rewrite])
    assert done.exit_code == 0, done.output
    report = orjson.loads(done.stdout)
    assert (report["generations"], report["others"]) == (2, 1)
    after = in_tables(url)
    assert report["bytes_gone"] is rewrite
    assert ("--rewrite" in report["not_reached"]) is not rewrite
    assert "pg_wal" in report["not_reached"]
    assert [trace for trace in TRACES if trace in after] == ([] if rewrite else [*TRACES])
    assert b"his" in after
    ledger.store.close()


def test_a_server_that_has_to_keep_deleted_rows_is_asked_again(
    postgres_url: str, tmp_path: Path
) -> None:
    """Somebody who began to read before may still see them: status 1, and gone once they are done."""
    url = new_schema(postgres_url)
    (tmp_path / "rlwd.toml").write_text(f'database = "{url}"\n' + CONFIG)
    ledger = open_daemon_ledger(url)
    plant(ledger, tmp_path)
    command = ["erase", "ann", "--rewrite", "-c", str(tmp_path / "rlwd.toml")]
    with psycopg.connect(postgres_url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        done = CliRunner().invoke(app, command)
        assert (done.exit_code, orjson.loads(done.stdout)["bytes_gone"]) == (1, False)
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, orjson.loads(done.stdout)["bytes_gone"]) == (0, True)
    assert [trace for trace in TRACES if trace in in_tables(url)] == []
    ledger.store.close()


def in_tables(url: str) -> bytes:
    """Return all bytes of the files of a schema's tables and indexes, and of what lies beside them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        [(folder,)] = connection.execute("SHOW data_directory").fetchall()
        rows = connection.execute(
            "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't') AND ("
            " relnamespace = current_schema()::regnamespace OR oid IN (SELECT reltoastrelid FROM pg_class"
            " WHERE relnamespace = current_schema()::regnamespace))"
        ).fetchall()
    return b"".join(path.read_bytes() for (name,) in rows if (path := Path(folder) / name).exists())
