"""Retention: what was said is forgotten, that it was said is not (CONTRACTS 13)."""

from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.streams.events.signals import Accepted, FollowedUp
from rlwd.streams.join.retention import expire
from rlwd.streams.log.ports import Partition

RECORDS = (
    generation("old", 0.0),
    generation("waiting", 10.0),
    generation("young", 1000.0),
    feedback("f", "old", Accepted(), 1.0),
    feedback("t", "old", FollowedUp(text="my secret"), 2.0),
)


def test_pruned_and_read_again_moves_nothing(ledger: Ledger) -> None:
    """After its content is forgotten, the whole topic read again is all duplicates."""
    ledger.take(*RECORDS)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET stage = 'closed', fate = 'trained' WHERE reward = 1.0")
        assert expire(tx, "policy", 500.0) == 2
    fates = ledger.fates()
    assert fates == {"trained": 1, "excluded:expired": 1, "waiting": 1}
    again = ledger.take(*RECORDS, partition=Partition(topic="generations", index=9))
    assert (again.counts.duplicate, again.counts.accepted) == (len(RECORDS), 0)
    assert ledger.fates() == fates


def test_the_words_are_gone(ledger: Ledger) -> None:
    """Neither answer nor follow-up is kept; which kinds of signal came still is."""
    ledger.take(*RECORDS)
    with ledger.store.transaction() as tx:
        expire(tx, "policy", 500.0)
    assert ledger.ask("SELECT COUNT(*) FROM episodes WHERE content IS NOT NULL") == (1,)
    assert ledger.ask("SELECT generation_id FROM contents") == ("young",)
    assert ledger.ask("SELECT COUNT(*) FROM contents") == (1,)
    with ledger.store.reading() as view:
        rows = view.execute("SELECT kind, payload FROM feedback ORDER BY kind").fetchall()
    assert [kind for kind, _ in rows] == ["accepted", "followed_up"]
    assert all(b"secret" not in bytes(payload) for _, payload in rows)


def test_words_about_what_was_never_held_go_too(ledger: Ledger) -> None:
    """Without consent, late, or of nobody's: no edit and no dead letter outlives its time."""
    secret = FollowedUp(text="my secret")
    ledger.take(generation("private", 0.0, consent=False))
    ledger.take(
        feedback("p", "private", secret, 1.0),
        feedback("n", "nobody", secret, 1.0),
        b'{"my secret": 1}',
        partition=FEEDBACK,
        now=2.0,
    )
    ledger.close(read_past=300.0)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE dead_letters SET forwarded = 1")
        expire(tx, "policy", 500.0)
    with ledger.store.reading() as view:
        said = view.execute("SELECT payload FROM feedback").fetchall()
        buried = view.execute("SELECT value FROM dead_letters").fetchall()
    assert len(said) == len(buried) == 2
    assert not any(b"secret" in bytes(value) for (value,) in [*said, *buried])


def test_late_feedback_on_what_was_forgotten_is_counted_and_harmless(ledger: Ledger) -> None:
    """It can move nothing any more."""
    ledger.take(*RECORDS)
    with ledger.store.transaction() as tx:
        expire(tx, "policy", 500.0)
    ledger.take(feedback("later", "waiting", Accepted(), 20.0), partition=FEEDBACK)
    assert ledger.fates() == {"excluded:expired": 2, "waiting": 1}


def test_a_sealed_episode_is_not_touched(ledger: Ledger) -> None:
    """A batch that waits for the learner keeps all that its update depends on."""
    ledger.take(*RECORDS)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET stage = 'sealed', batch_id = 1 WHERE reward = 1.0")
        assert expire(tx, "policy", 500.0) == 1
    assert ledger.ask("SELECT content IS NULL FROM episodes WHERE generation_id = 'old'") == (0,)
