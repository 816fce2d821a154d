"""The holdout's table on both databases: who is summed, that sums grow, that looks replace each other."""

from collections.abc import Iterator

import msgspec
import pytest
from places_by_hand import new_schema

from rlwd.ops.rollout import candidates_table, experiments_table, holdout_table
from rlwd.ops.rollout.holdout_table import ALL_TIME, HoldoutLook, UserTotals
from rlwd.ops.stages.experiment import Experiment, ExperimentKind, ExperimentMove, ended
from rlwd.streams.open import MIGRATIONS
from rlwd.streams.state.postgres import PostgresStore
from rlwd.streams.state.sqlite import SqliteStore
from rlwd.streams.state.store import Store

COLUMNS = (
    "policy, generation_id, stage, fate, due, received, segment, user_hash, user_named, salt,"
    " variant, version, reward, failed"
)
ROWS = [
    (1.0, "chat", "ann", 1, "held", "anchor", "v0", 1.0, 0),
    (2.0, "chat", "ann", 1, "held", "anchor", "v0", None, 1),
    (2.0, None, "bob", 1, "s1", "champion", "v1", 0.5, 0),
    (3.0, "chat", "bob", 1, "s1", "candidate", "v1", 1.0, 0),
    (3.0, "chat", "cat", 1, "s1", "candidate", "v2", 1.0, 0),
    (3.0, "chat", "dan", 1, "s1", "anchor", "v0", 1.0, 0),
    (3.0, "chat", "", 1, "s1", "champion", "v1", 1.0, 0),
    (3.0, "chat", "eve", 0, "s1", "champion", "v1", 1.0, 0),
    (9.0, "chat", "fay", 1, "s1", "champion", "v1", 1.0, 0),
]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A few answers under two salts."""
    tables = {"streams": MIGRATIONS, "ops": candidates_table.MIGRATIONS}
    if request.param == "sqlite":
        store: Store = SqliteStore(tmp_path_factory.mktemp("state") / "rlwd.db", tables)
    else:
        store = PostgresStore(new_schema(request.getfixturevalue("postgres_url")), tables)
    with store.transaction() as tx:
        tx.executemany(
            f"INSERT INTO episodes ({COLUMNS}) VALUES ({', '.join('?' * 14)})",
            [("p", f"g{at}", "open", "waiting", 0.0, *row) for at, row in enumerate(ROWS)],
        )
    yield store
    store.close()


def test_the_champions_answers_and_the_holdouts_are_summed_by_user(store: Store) -> None:
    """Within the window, by its own version or under its own salt, of named users."""
    with store.reading() as view:
        sums = holdout_table.served_sums(view, "p", "v1", ["s1", "s2"], "held", (0.5, 3.0))
        assert holdout_table.nth_received(view, "p", ["s1", "held"], 0.0, 1) == 2.0
        assert holdout_table.nth_received(view, "p", ["s2"], 0.0, 0) is None
    assert sorted(sums) == [
        UserTotals("champion", "bob", "", "", 1, 1, 0.5, 0),
        UserTotals("champion", "bob", "chat", "", 1, 1, 1.0, 0),
        UserTotals("holdout", "ann", "chat", "", 2, 1, 1.0, 1),
    ]


def test_sums_grow_and_a_finished_period_keeps_its_look_alone(store: Store) -> None:
    """Users of a period that goes on are added to; erased ones are there under another name."""
    one = UserTotals("holdout", "ann", "chat", "", 2, 1, 1.0, 1)
    look = HoldoutLook(period=ALL_TIME, began=1.0, until=3.0)
    week = HoldoutLook(period="week 2026-11-23", began=1.0, until=3.0)
    with store.transaction() as tx:
        for period in (look, week):
            holdout_table.save_look(tx, "p", period, is_open=True)
            holdout_table.add_sums(tx, "p", period.period, [one])
        holdout_table.add_sums(tx, "p", ALL_TIME, [one])
        later = msgspec.structs.replace(look, until=8.0, holdout_users=1)
        holdout_table.save_look(tx, "p", later, is_open=True)
        holdout_table.save_look(tx, "p", week, is_open=False)
        holdout_table.forget_erased(tx, "p", {"ann": "erased-1"})
    with store.reading() as view:
        assert holdout_table.looks(view, "p") == [later, week]
        assert holdout_table.open_periods(view, "p") == [later]
        assert holdout_table.user_totals(view, "p", "week 2026-11-23") == []
        (kept,) = holdout_table.user_totals(view, "p", ALL_TIME)
    assert kept == UserTotals("holdout", "erased-1", "chat", "", 4, 2, 2.0, 2)


def test_experiments_are_kept_in_their_order(store: Store) -> None:
    """One goes on at a time; what ended stays."""
    move = ExperimentMove(what="started", at=1.0, by="ann", reason="why")
    first = Experiment(
        name="b",
        kind=ExperimentKind.HARNESS,
        salt="s",
        arms=("old", "new"),
        share=0.5,
        version="v1",
        started_at=1.0,
        ends_at=9.0,
        trail=(move,),
    )
    second = msgspec.structs.replace(first, name="a", kind=ExperimentKind.AA)
    with store.transaction() as tx:
        experiments_table.save(tx, "p", first)
        assert experiments_table.running(tx, "p") == first
        assert experiments_table.aa_under_way(tx, "p") is None
        over = ended(first, "bob", "enough", 5.0)
        experiments_table.save(tx, "p", over)
        experiments_table.save(tx, "p", second)
        assert experiments_table.history(tx, "p") == [over, second]
        assert experiments_table.aa_under_way(tx, "p") == second
        assert experiments_table.find(tx, "p", "b") == over
    assert ended(over, "eve", "again", 6.0) == over
