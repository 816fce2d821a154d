"""Observing on real tables, of either kind of database: which answers are compared, and how."""

from collections.abc import Iterator

import pytest
from places_by_hand import new_schema

from rlwd.ops.rollout.observe import CLOCKS_APART, Comparing, in_time, observe_users
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.metric import MetricSettings
from rlwd.streams.answers.answer_rows import answer_rows
from rlwd.streams.answers.exposure import user_means
from rlwd.streams.open import MIGRATIONS
from rlwd.streams.state.postgres import PostgresStore
from rlwd.streams.state.sqlite import SqliteStore
from rlwd.streams.state.store import Store

KEPT = MetricSettings(name="keep_rate", kind="non-inferior")
REWARD = MetricSettings(name="reward", kind="non-inferior")
SLOW = MetricSettings(name="latency_p95")
COLUMNS = (
    "policy, generation_id, stage, fate, due, received, segment, user_hash, user_named, salt,"
    " variant, reward, parts, harness, latency, tokens, first_turn"
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """Six answers under one salt: two of the candidate, three of the control, one unnamed."""
    tables = {"streams": MIGRATIONS}
    if request.param == "sqlite":
        store: Store = SqliteStore(tmp_path_factory.mktemp("state") / "rlwd.db", tables)
    else:
        store = PostgresStore(new_schema(request.getfixturevalue("postgres_url")), tables)
    rows = [
        (1.0, "chat", "ann", 1, "candidate", 1.0, b'{"kept":[0.5,1.0]}', "v1", 0.2, 7, 1),
        (2.0, "code", "ann", 1, "candidate", None, None, "v1", None, None, 0),
        (3.0, "chat", "bob", 1, "control", 0.0, b'{"kept":[null,1.0]}', "v1", 0.4, 9, 1),
        (4.0, "chat", "eve", 1, "control", 1.0, None, "v2", 0.1, 3, 1),
        (5.0, "chat", "s1", 0, "control", 0.0, None, "v1", 0.1, 3, 1),
        (90.0, "chat", "dan", 1, "control", 1.0, None, "v1", 0.1, 3, 1),
    ]
    with store.transaction() as tx:
        tx.executemany(
            f"INSERT INTO episodes ({COLUMNS}) VALUES ({', '.join('?' * 17)})",
            [
                ("p", f"g{at}", "open", "waiting", 0.0, *row[:4], "salt", *row[4:])
                for at, row in enumerate(rows)
            ],
        )
    yield store
    store.close()


def comparing(*metrics: MetricSettings, horizon: float = 50.0) -> Comparing:
    return Comparing.of(
        RolloutSettings(metric=metrics), ComparisonSettings(), lambda segment: horizon
    )


def test_silence_that_pays_must_be_watched() -> None:
    """Where the undecided earn a reward, a comparison without the feedback rate is refused by name."""
    paid = ComparisonSettings(undecided=0.5)
    with pytest.raises(
        ValueError, match=r"comparison\.undecided is 0\.5 and no rollout\.metric fee"
    ):
        Comparing.of(RolloutSettings(metric=(REWARD,)), paid, lambda segment: 0.0)
    for settings in (
        RolloutSettings(),
        RolloutSettings(metric=(REWARD, MetricSettings(name="feedback_rate"))),
    ):
        assert Comparing.of(settings, paid, lambda segment: 0.0).comparison is paid


def test_answers_past_their_horizon_by_named_users_are_compared(store: Store) -> None:
    """By the newest answer it is 90 s: that one is too young, and the session without a user no one."""
    with store.reading() as view:
        seen = observe_users(view, "p", "salt", comparing(REWARD))
    assert seen.readout.rewards is not None
    assert [mean.users for mean in seen.readout.rewards] == [1, 2]
    assert (seen.candidate.exposed_users, seen.control.exposed_users) == (1, 3)
    assert seen.readout.looks[0].users == 1


def test_a_clock_that_is_ahead_takes_nobody_for_silent(store: Store) -> None:
    """One answer of next year matures no other, is not the last one served, and makes no day whole."""
    with store.transaction() as tx:
        row = ("p", "late", "open", "waiting", 0.0, 3e7, "chat", "ann", 1, "salt", "candidate")
        tx.execute(
            f"INSERT INTO episodes ({COLUMNS}) VALUES ({', '.join('?' * 17)})",
            (*row, 1.0, None, "v1", 0.1, 3, 1),
        )
    with store.reading() as view:
        seen = observe_users(view, "p", "salt", comparing(REWARD), until=90.0 - CLOCKS_APART)
        rows, now = in_time(answer_rows(view, "p", "salt"), 90.0)
    with store.transaction() as tx:
        tx.execute("DELETE FROM episodes WHERE generation_id = 'late'")
    assert seen.readout.rewards is not None
    assert [mean.users for mean in seen.readout.rewards] == [1, 2]
    assert (rows[0].received, rows[-1].received, now) == (3e7, 90.0, 90.0 + CLOCKS_APART)


def test_kept_text_and_latency_are_read_where_they_are_asked_for(store: Store) -> None:
    """What was kept comes from the reward's parts; a part without a value is none."""
    with store.reading() as view:
        seen = observe_users(view, "p", "salt", comparing(KEPT, SLOW))
    kept, slow = seen.readout.looks
    assert (kept.candidate, kept.users) == (0.5, 0)
    assert slow.users == 1


def test_what_was_kept_is_read_of_any_part_that_measures_it(store: Store) -> None:
    """At the longest horizon that has a value, whichever horizons the spec names, in whatever order."""
    write = "UPDATE episodes SET parts = ? WHERE generation_id = 'g0'"
    told = (
        b'{"kept@3600":[0.25,1.0],"kept@43200":[null,1.0],"kept@300":[1.0,0.5],"kept@own":[0.9,1]}'
    )
    with store.transaction() as tx:
        tx.execute(write, (told,))
    with store.reading() as view:
        (kept,) = observe_users(view, "p", "salt", comparing(KEPT)).readout.looks
    with store.transaction() as tx:
        tx.execute(write, (b'{"kept":[0.5,1.0]}',))
    assert kept.candidate == 0.25


def test_a_salt_that_nobody_was_served_under_is_nothing_yet(store: Store) -> None:
    """Before the first answer there are no users, and no error."""
    with store.reading() as view:
        seen = observe_users(view, "p", "unheard of", comparing(REWARD))
    assert seen.candidate.exposed_users == 0
    assert seen.tripped is None


def test_the_mean_of_a_users_past_is_over_all_variants(store: Store) -> None:
    """Named users alone have a past."""
    with store.reading() as view:
        means = user_means(view, "p", "salt")
    assert means == {"ann": 1.0, "bob": 0.0, "eve": 1.0, "dan": 1.0}
