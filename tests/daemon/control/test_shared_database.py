"""The daemon's tables on a PostgreSQL server, while others write beside it (CONTRACTS 16, 17, 24)."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import orjson
import psycopg
import pytest
from daemon_by_hand import FEEDBACK, fill, open_daemon_ledger
from ledger_by_hand import GENERATIONS, Ledger, feedback, generation
from manifests_by_hand import manifest, version_of
from places_by_hand import new_schema
from talks_by_hand import Talk, call, links, person
from waiting import until

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.commands.audit_report import run_audit
from rlwd.daemon.commands.explain import run_explain
from rlwd.daemon.commands.status import print_status
from rlwd.daemon.config import Config, load_config
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.checkpoints_table import record_checkpoints
from rlwd.learner.ledger.seal import seal
from rlwd.learner.sealed import SealedBatch
from rlwd.streams.events.signals import Rejected
from rlwd.streams.join import offsets
from rlwd.streams.join.arrival import NewArrivals
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from rlwd.streams.log.ports import Partition, Record
from rlwd.streams.state.lease import LeaseHeld, release_lease, take_lease
from rlwd.streams.state.store import Store
from rlwd.streams.state.transaction import Transaction

SETTINGS = BatchSettings(episodes=4, held_out=0.0)


@pytest.fixture
def url(postgres_url: str) -> str:
    """An empty schema on the server."""
    return new_schema(postgres_url)


@pytest.fixture
def open_ledger(url: str) -> Iterator[Callable[[], Ledger]]:
    """Open the daemon's tables, as another process would; closed at the end."""
    opened: list[Ledger] = []

    def open_one() -> Ledger:
        opened.append(open_daemon_ledger(url))
        return opened[-1]

    yield open_one
    for ledger in opened:
        ledger.store.close()


def seal_now(ledger: Ledger) -> SealedBatch:
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            SETTINGS,
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=2000.0,
        )
    assert batch is not None
    return batch


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Begin work elsewhere; return the thread and where its result or error will be."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as problem:  # noqa: BLE001 (handed to the test)
            results.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def wait_until_blocked(store: Store, count: int = 1) -> None:
    """Return once so many wait for a lock; by then the other transactions are really under way."""
    sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    def blocked() -> bool:
        with store.reading() as view:
            return bool(view.execute(sql).fetchone()[0] >= count)

    until(blocked, told=lambda: "nobody waits")


def test_of_two_that_start_at_once_one_is_in_charge(open_ledger: Callable[[], Ledger]) -> None:
    """The lease's row is locked before it is read, also where it is not there yet."""
    make = (
        "INSERT INTO leases (policy, role, epoch, host, pid, started, seen)"
        " VALUES ('policy', 'control', 0, '', 0, '', 0)"
    )
    stores = [open_ledger().store for _ in range(3)]
    for epoch, hold in ((1, make), (2, "SELECT 1 FROM leases FOR UPDATE")):
        with suppress(KeyboardInterrupt), stores[2].transaction() as tx:
            # Both begin while the row is held; then they go at the same moment.
            tx.execute(hold)
            both = [in_thread(partial(take_lease, store, "policy", 1.0)) for store in stores[:2]]
            wait_until_blocked(stores[2], 2)
            raise KeyboardInterrupt
        for thread, _ in both:
            thread.join(30.0)
        found = [results[0] for _, results in both]
        held = [one for one in found if not isinstance(one, LeaseHeld)]
        assert [one.epoch for one in held] == [epoch]
        release_lease(stores[0], held[0])


def test_sealing_waits_for_a_poll_and_takes_what_it_changed(
    open_ledger: Callable[[], Ledger],
) -> None:
    """A revision that is being written when a batch is sealed is the one that the batch holds."""
    control, ingest = open_ledger(), open_ledger()
    names = fill(ingest, 4)
    revised = feedback("again", names[0], Rejected(), 1010.0)
    record = Record(partition=FEEDBACK, offset=4, key=b"s", value=revised)
    with ingest.store.transaction() as tx:
        ingest.joiner.ingest(tx, [record], 0.0)
        thread, results = in_thread(lambda: seal_now(control))
        wait_until_blocked(ingest.store)
    thread.join(30.0)
    batch = results[0]
    assert isinstance(batch, SealedBatch), batch
    sealed = {one.generation_id: (one.reward, one.reward_revision) for one in batch.episodes}
    assert sealed[names[0]] == (0.0, 2)
    assert ingest.ask("SELECT SUM(late) FROM episodes") == (0,)


def test_a_poll_waits_for_sealing_and_comes_too_late(open_ledger: Callable[[], Ledger]) -> None:
    """Feedback that arrives while its episode is sealed counts as late, and moves no reward."""
    control, ingest = open_ledger(), open_ledger()
    names = fill(ingest, 4)
    with control.store.transaction() as tx:
        batch = seal(
            tx, "policy", SETTINGS, parent_sequence=0, max_policy_age=8, age=lambda v: 0, now=2000.0
        )
        revised = feedback("again", names[0], Rejected(), 1010.0)
        thread, results = in_thread(lambda: ingest.take(revised, partition=FEEDBACK))
        wait_until_blocked(control.store)
    thread.join(30.0)
    assert batch is not None
    assert results[0].late == 1
    where = f"FROM episodes WHERE generation_id = '{names[0]}'"
    assert ingest.ask(f"SELECT reward, revision, late, stage {where}") == (1.0, 1, 1, "sealed")


def config_at(folder: Path, url: str) -> Config:
    path = folder / "rlwd.toml"
    path.write_text(f'database = "{url}"\n[learner]\nmodel = "base"\n')
    return load_config(path)


def test_audit_status_and_explain_read_a_server(
    tmp_path: Path,
    url: str,
    open_ledger: Callable[[], Ledger],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch sealed, applied and served is told as from SQLite, and both identities close."""
    monkeypatch.setenv("RLWD_TEST_DATABASE", url)
    config = config_at(tmp_path, "$RLWD_TEST_DATABASE")
    with pytest.raises(ValueError, match="there is no state database"):
        print_status(config, as_json=True)
    ledger = open_ledger()
    names = fill(ledger, 4)
    ledger.take(b"junk", generation("served", 3000.0, version=version_of(1)))
    batch = seal_now(ledger)
    made = msgspec.structs.replace(
        manifest(1, 0), episode_ids=tuple(one.generation_id for one in batch.episodes)
    )
    with ledger.store.transaction() as tx:
        record_checkpoints(tx, "policy", [manifest(0, None), made])
    with ledger.store.reading() as view:
        assert audit(view, "policy", [made]).problems == ()
    print_status(config, as_json=True)
    status = orjson.loads(capsys.readouterr().out)
    assert (status["fates"], status["generations"]) == ({"trained": 4, "waiting": 1}, 5)
    assert (status["batches"], status["late_feedback"]) == ({"applied": 1}, 0)
    assert status["event_to_served_s"]["count"] == 4
    run_explain(config, names[0])
    story = orjson.loads(capsys.readouterr().out)
    assert (story["fate"], story["trained_version"]) == ("trained", version_of(1))
    assert run_audit(config, as_json=True) == 1, "there is no manifest in this folder"
    assert "in no manifest" in orjson.loads(capsys.readouterr().out)["problems"][0]


def test_a_database_that_goes_away_in_a_poll_loses_nothing(
    tmp_path: Path, url: str, open_ledger: Callable[[], Ledger]
) -> None:
    """What was polled and not committed is read again once the server is back."""
    ledger, log = open_ledger(), tmp_path / "log.db"
    sink = EmbeddedSink(log)
    for number in range(50):
        sink.send("generations", f"s{number}", generation(f"g{number}", 1000.0))
    sink.flush(10.0)
    ingest = Ingest(ledger.store, ledger.joiner, partial(EmbeddedSource, log, ["generations"]))
    assert ingest.step(1.0, 0.0, 10).counts.accepted == 10
    real = ledger.joiner.settle

    def broken(tx: Transaction, taken: NewArrivals, now: float) -> int:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE relation = 'episodes'::regclass AND pid <> pg_backend_pid()"
            )
        return real(tx, taken, now)

    ledger.joiner.settle = broken  # type: ignore[method-assign]
    assert ingest.step(2.0, 0.0, 10).counts.delivered == 0
    assert ingest.away is not None
    ledger.joiner.settle = real  # type: ignore[method-assign]
    for _ in range(10):
        ingest.step(3.0, 0.0, 10)
    assert ingest.away is None
    assert ledger.ask("SELECT SUM(delivered), SUM(accepted) FROM offsets") == (50, 50)
    assert ledger.fates() == {"waiting": 50}
    ingest.source.close()
    sink.close()


def at_one_moment(
    last: Ledger, lasts: bytes, first: Ledger, firsts: bytes, *, told: bool = True
) -> None:
    """Have two members take in a record each, so that neither transaction sees the other's; `told` says whether
    the last one hears of its commit."""
    with last.store.transaction() as tx:
        last.joiner.resume(tx, [GENERATIONS])
    with last.store.transaction() as tx:
        record = Record(partition=GENERATIONS, offset=0, key=b"s", value=lasts)
        last.joiner.ingest(tx, [record], 5.0)
        with first.store.transaction() as beside:
            record = Record(partition=FEEDBACK, offset=0, key=b"s", value=firsts)
            first.joiner.ingest(beside, [record], 5.0)
    for ledger, partition in ((first, FEEDBACK), (last, GENERATIONS)):
        if told or ledger is first:
            ledger.joiner.committed()
        ledger.ends[partition] = 1


@pytest.mark.parametrize("named", [True, False], ids=["by its name", "by what it says"])
@pytest.mark.parametrize("call_last", [True, False], ids=["the call last", "the subagent last"])
def test_a_call_and_what_it_started_that_come_at_one_moment_meet(
    open_ledger: Callable[[], Ledger], call_last: bool, named: bool
) -> None:
    """Two members that take both in at once see neither: who commits last looks once more with its next poll,
    though no record comes any more. Nobody else's subagent is taken for its."""
    ledger, other, third = open_ledger(), open_ledger(), open_ledger()
    agent = Talk("agent", session="call-77" if named else "own")
    called = Talk("a").turn(1.0, calls=(call("call-77"),))
    answer = agent.turn(2.0, call_id="" if named else "call-77")
    of_others = Talk("other", session="call-77").turn(2.0, tenant="others")
    third.take(of_others, partition=Partition(topic=FEEDBACK.topic, index=7))
    if call_last:
        at_one_moment(ledger, called, other, answer)
    else:
        at_one_moment(ledger, answer, other, called)
    assert links(ledger)[agent.turns[0]] == (None, "", "")
    ledger.take()
    found = links(ledger)
    assert found[agent.turns[0]][:2] == ("s.a0", "subagent")
    assert found["call-77.other0"] == (None, "", "")
    ledger.take()
    other.take()
    assert links(ledger) == found


@pytest.mark.parametrize("summary_last", [True, False], ids=["the summary last", "the other last"])
def test_a_summary_and_the_session_that_begins_with_it_that_come_at_one_moment_meet(
    open_ledger: Callable[[], Ledger], summary_last: bool
) -> None:
    """Two members that take both in at once see neither: who commits last looks once more with its next poll,
    though no record comes any more. Whoever else is told the same began by himself, as did who begins with
    what nobody said."""
    ledger, other, third = open_ledger(), open_ledger(), open_ledger()
    summary = "The person wants a shop for bread. " * 8
    told = Talk("a").turn(2.0, user_hash="ada", text=summary)
    anew = Talk("b", session="t", tokens=list(range(900, 940)))
    begins = anew.turn(3.0, person(f"So far: {summary} Go on."), user_hash="ada")
    for at, (user, said) in enumerate([("eve", summary), ("ada", "Something else. " * 20)]):
        beside = Talk("c", session=f"u{at}", tokens=list(range(700 + 50 * at, 740 + 50 * at)))
        third.take(
            beside.turn(3.0, person(said), user_hash=user),
            partition=Partition(topic=FEEDBACK.topic, index=7),
        )
    if summary_last:
        at_one_moment(ledger, told, other, begins)
    else:
        at_one_moment(ledger, begins, other, told)
    assert links(ledger)["t.b0"] == (None, "", "")
    ledger.take()
    found = links(ledger)
    assert found["t.b0"][:2] == ("s.a0", "summary")
    assert found["u0.c0"] == found["u1.c0"] == (None, "", "")
    ledger.take()
    other.take()
    assert links(ledger) == found


def test_what_was_committed_and_not_said_to_be_is_looked_for_too(
    open_ledger: Callable[[], Ledger],
) -> None:
    """A connection that broke with the answer to a commit: the member reads on behind it, and looks once more."""
    ledger, other = open_ledger(), open_ledger()
    agent = Talk("agent", session="call-77")
    called = Talk("a").turn(1.0, calls=(call("call-77"),))
    at_one_moment(ledger, called, other, agent.turn(2.0), told=False)
    with ledger.store.transaction() as tx:
        assert ledger.joiner.look_up(tx, [GENERATIONS]) == {GENERATIONS: 1}
    ledger.take()
    ledger.take()
    assert links(ledger)[agent.turns[0]][:2] == ("s.a0", "subagent")


def test_a_member_that_ended_before_it_looked_once_more_is_made_up_for_at_the_next_turn(
    open_ledger: Callable[[], Ledger],
) -> None:
    """What it would have looked for is lost with it, and the subagent's next turn finds the call."""
    ledger, other = open_ledger(), open_ledger()
    agent = Talk("agent", session="call-77")
    called = Talk("a").turn(1.0, calls=(call("call-77"),))
    at_one_moment(ledger, called, other, agent.turn(2.0))
    successor = open_ledger()
    successor.take()
    assert links(successor)[agent.turns[0]] == (None, "", "")
    with successor.store.transaction() as tx:
        successor.ends |= successor.joiner.resume(tx, [FEEDBACK])
    successor.take(agent.turn(3.0), partition=FEEDBACK)
    found = links(successor)
    assert found[agent.turns[0]][:2] == ("s.a0", "subagent")
    assert found[agent.turns[1]][:2] == (agent.turns[0], "tokens")


def test_who_takes_partitions_over_in_a_poll_waits_for_its_end(
    tmp_path: Path, open_ledger: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll and a claim lock the partitions in one order, so that neither is ended as one of a circle."""
    successor, ledger, log = open_ledger(), open_ledger(), tmp_path / "log.db"
    sink = EmbeddedSink(log, partitions=1)
    sink.send("generations", "s", generation("g", 1000.0))
    sink.flush(10.0)
    topics = ["feedback", "generations"]
    opens = partial(EmbeddedSource, log, topics, partitions=1)
    ingest = Ingest(ledger.store, ledger.joiner, opens)
    real, claims = offsets.advance_offset, list[tuple[threading.Thread, list[Any]]]()

    def claim() -> Any:
        with successor.store.transaction() as tx:
            return successor.joiner.resume(tx, [FEEDBACK, GENERATIONS])

    def claimed_meanwhile(*given: Any) -> None:
        real(*given)
        claims.append(in_thread(claim))
        wait_until_blocked(ledger.store)

    monkeypatch.setattr(offsets, "advance_offset", claimed_meanwhile)
    assert ingest.step(2000.0, 0.0, 10).counts.delivered == 1, ingest.away
    for thread, results in claims:
        thread.join(30.0)
        assert results == [{FEEDBACK: 0, GENERATIONS: 1}]
    ingest.source.close()
    sink.close()
