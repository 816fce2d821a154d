"""Sealing: what goes into a batch is decided once, in one transaction, by name (CONTRACTS 17)."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon_by_hand import FEEDBACK, decide, fill, open_daemon_ledger
from ledger_by_hand import Ledger, feedback, generation
from manifests_by_hand import version_of

from rlwd.learner.ledger import token_credits
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.batches_table import count_death, pending_batch, write_batch
from rlwd.learner.ledger.passed_over import describe_passed_over
from rlwd.learner.ledger.ready import waits_for
from rlwd.learner.ledger.seal import seal
from rlwd.learner.sealed import SealedBatch, batch_hash
from rlwd.rewards.spec.spec import reward_spec
from rlwd.rewards.spec.token_credit import token_credit
from rlwd.streams.events.signals import Accepted, Edited, Rejected
from rlwd.streams.routed_experts import RoutedExperts

SETTINGS = BatchSettings(episodes=4, at_most=100, held_out=0.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger with the daemon's tables."""
    return open_daemon_ledger(tmp_path / "rlwd.db")


def seal_now(ledger: Ledger, settings: BatchSettings = SETTINGS, **more: Any) -> SealedBatch | None:
    given = {"parent_sequence": 0, "max_policy_age": 8, "age": lambda version: 0, "now": 2000.0}
    with ledger.store.transaction() as tx:
        return seal(tx, "policy", settings, **{**given, **more})


def sealed_now(ledger: Ledger, settings: BatchSettings = SETTINGS, **more: Any) -> SealedBatch:
    batch = seal_now(ledger, settings, **more)
    assert batch is not None
    return batch


def by_number(version: str) -> int | None:
    """Policy age with version 9 as the head; of version 5 it is not known."""
    number = int(version.rpartition("@v")[2][:6])
    return None if number == 5 else 9 - number


def test_too_few_are_left_alone(ledger: Ledger) -> None:
    """Below the fewest episodes nothing is sealed, and everybody goes on waiting."""
    fill(ledger, 3)
    assert seal_now(ledger) is None
    assert ledger.fates() == {"waiting": 3}
    fill(ledger, 1, prefix="late")
    assert len(sealed_now(ledger).episodes) == 4


def test_only_ready_episodes_are_sealed(ledger: Ledger) -> None:
    """Undecided and tokenless ones stay out, and what is sealed is not sealed again."""
    names = fill(ledger, 5)
    ledger.take(generation("open", 1500.0))
    decide(ledger, "tokenless", 1500.0, completion_token_ids=(), logprobs=())
    assert [one.generation_id for one in sealed_now(ledger).episodes] == names
    assert seal_now(ledger) is None


def test_the_newest_version_comes_first_and_then_what_was_decided_last(ledger: Ledger) -> None:
    """Whoever asked long ago and decided just now comes before who asked later; no more than the most."""
    versions = {"a": 7, "b": 9, "c": 8, "d": 9, "e": 7, "f": 9}
    for place, (name, number) in enumerate(versions.items()):
        ledger.take(generation(name, 1000.0 + place, version=version_of(number)))
    for place, name in enumerate("fadbce"):
        said = feedback(f"{name}.f", name, Accepted(), 1010.0 + place)
        ledger.take(said, partition=FEEDBACK, now=1010.0 + place)
    batch = sealed_now(ledger, BatchSettings(episodes=5, at_most=5, held_out=0.0), age=by_number)
    assert [(one.generation_id, one.age) for one in batch.episodes] == [
        ("b", 0),
        ("d", 0),
        ("f", 0),
        ("c", 1),
        ("e", 2),
    ]
    assert ledger.ask("SELECT stage FROM episodes WHERE generation_id = 'a'") == ("ready",)


def test_what_is_too_old_is_excluded_by_name(ledger: Ledger) -> None:
    """Older than the bound, or of unknown age: excluded when the batch is sealed, not trained on."""
    for name, number in (("old", 2), ("edge", 6), ("unknown", 5), ("new", 9), ("next", 8)):
        decide(ledger, name, 1000.0, version=version_of(number))
    settings = BatchSettings(episodes=3, held_out=0.0)
    batch = sealed_now(ledger, settings, age=by_number, max_policy_age=3)
    assert [one.generation_id for one in batch.episodes] == ["new", "next", "edge"]
    assert ledger.fates() == {"excluded:too_old": 2, "waiting": 3}


def test_one_user_teaches_no_more_than_a_share(ledger: Ledger) -> None:
    """Beyond it a named user's answers are excluded by name once there is a batch, not before."""
    for number in range(8):
        decide(ledger, f"heavy{number}", 1000.0 + number, user_hash="heavy")
    for number in range(3):
        decide(ledger, f"other{number}", 1100.0 + number, user_hash=f"u{number}")
    settings = BatchSettings(episodes=6, held_out=0.0, user_share=0.25)
    assert seal_now(ledger, settings) is None
    assert ledger.fates() == {"waiting": 11}
    for number in range(3, 6):
        decide(ledger, f"other{number}", 1100.0 + number, user_hash=f"u{number}")
    batch = sealed_now(ledger, settings)
    others = [f"other{number}" for number in range(6)]
    assert [one.generation_id for one in batch.episodes] == ["heavy0", "heavy1", *others]
    assert ledger.fates() == {"excluded:user_share": 6, "waiting": 8}


def test_of_more_than_a_batch_takes_one_user_has_no_more_than_a_share(ledger: Ledger) -> None:
    """A share of all that is ready would be a whole batch of somebody who comes first; the rest waits its turn."""
    for number in range(10):
        decide(ledger, f"heavy{number}", 1000.0 + number, user_hash="heavy")
    for number in range(30):
        decide(ledger, f"other{number:02d}", 1100.0 + number, user_hash=f"u{number}")
    settings = BatchSettings(episodes=8, at_most=12, held_out=0.0, user_share=0.25)
    names = [one.generation_id for one in sealed_now(ledger, settings).episodes]
    assert names == [f"heavy{n}" for n in range(3)] + [f"other{n:02d}" for n in range(9)]
    assert ledger.fates() == {"waiting": 40}
    names = [one.generation_id for one in sealed_now(ledger, settings).episodes]
    assert [one for one in names if one.startswith("heavy")] == [f"heavy{n}" for n in range(3, 6)]


def test_users_of_a_share_each_fill_a_batch(ledger: Ledger) -> None:
    """A share that is no whole number of answers leaves no batch short, where it would never be sealed."""
    for number in range(12):
        decide(ledger, f"g{number:02d}", 1000.0 + number, user_hash=f"u{number % 4}")
    settings = BatchSettings(episodes=10, at_most=10, held_out=0.0, user_share=0.25)
    assert len(sealed_now(ledger, settings).episodes) == 10


def test_a_batch_waits_for_as_many_users_as_it_takes(ledger: Ledger) -> None:
    """Answers enough, but to few users, are kept; then each of so many users comes before anybody's second."""
    settings = BatchSettings(episodes=4, at_most=6, held_out=0.0, user_share=1.0, users=4)
    for number in range(3):
        decide(ledger, f"one{number}", 1000.0 + number, user_hash=f"u{number}")
    for number in range(9):
        decide(ledger, f"heavy{number}", 1100.0 + number, user_hash="heavy")
    few = msgspec.structs.replace(settings, users=5)
    assert seal_now(ledger, few) is None
    with ledger.store.reading() as view:
        assert waits_for(view, "policy", few).endswith("answers to 4 of 5 users")
        assert waits_for(view, "policy", settings) == "waiting for episodes"
    assert ledger.fates() == {"waiting": 12}
    batch = sealed_now(ledger, settings)
    ones = {"one0", "one1", "one2"}
    assert ones < {one.generation_id for one in batch.episodes}
    assert len(batch.episodes) == 6


def test_who_is_not_named_may_be_one_person(ledger: Ledger) -> None:
    """Leaving the user out passes no bound on users: all such answers count as one user's."""
    settings = BatchSettings(episodes=2, held_out=0.0, users=3)
    for number in range(3):
        decide(ledger, f"g{number}", 1000.0 + number, user_hash="nobody", user_named=False)
    decide(ledger, "known", 1100.0, user_hash="ann")
    assert seal_now(ledger, settings) is None
    with ledger.store.reading() as view:
        assert waits_for(view, "policy", settings).endswith("answers to 2 of 3 users")
    decide(ledger, "other", 1101.0, user_hash="ben")
    assert len(sealed_now(ledger, settings).episodes) == 5


def test_users_whom_the_product_did_not_name_are_not_one_user(ledger: Ledger) -> None:
    """A hash that stands for nobody caps nothing."""
    for number in range(6):
        decide(ledger, f"g{number}", 1000.0 + number, user_hash="nobody", user_named=False)
    decide(ledger, "known", 1100.0, user_hash="ann")
    assert len(sealed_now(ledger, BatchSettings(episodes=4, held_out=0.0)).episodes) == 7


def test_the_same_episodes_are_held_out_again(tmp_path: Path) -> None:
    """Who is held out follows from the ids alone, so that a lost transaction decides the same."""
    settings = BatchSettings(episodes=200, held_out=0.1)
    batches = []
    for number in range(2):
        ledger = open_daemon_ledger(tmp_path / f"{number}.db")
        names = fill(ledger, 200)
        batches.append(sealed_now(ledger, settings))
    assert batches[0] == batches[1]
    held = {one.generation_id for one in batches[0].held_out}
    assert 8 <= len(held) <= 34  # 20 expected; 4 standard deviations are 17
    assert {one.generation_id for one in batches[0].episodes} == set(names) - held
    assert ledger.fates() == {"excluded:held_out": len(held), "waiting": 200 - len(held)}


def test_the_hash_is_of_the_content(ledger: Ledger) -> None:
    """The database keeps the hash of the very bytes that the learner will read, field by field."""
    fill(ledger, 4)
    batch = sealed_now(ledger)
    with ledger.store.transaction() as tx:
        pending = pending_batch(tx, "policy")
    assert pending is not None
    number, content, deaths = pending
    assert (number, deaths) == (1, 0)
    read = msgspec.json.decode(content, type=SealedBatch)
    assert read == batch
    assert ledger.ask("SELECT hash FROM batches") == (batch_hash(read),)
    changed = msgspec.structs.replace(batch.episodes[0], reward=0.25)
    other = msgspec.structs.replace(batch, episodes=(changed, *batch.episodes[1:]))
    assert batch_hash(other) != batch_hash(batch)


def test_a_batch_holds_all_that_its_update_needs(ledger: Ledger) -> None:
    """Tokens, log-probabilities, temperature, reward with its revision, and the offsets of then."""
    for name in "abcd":
        decide(ledger, name, 1000.0, segment="mail", sampling={"temperature": 0.7})
    batch = sealed_now(ledger, parent_sequence=3, age=lambda version: 2)
    one = batch.episodes[0]
    assert (one.prompt_token_ids, one.completion_token_ids, one.logprobs) == ((1, 2), (3,), (-0.5,))
    assert (one.segment, one.temperature, one.age) == ("mail", 0.7, 2)
    assert (one.reward, one.reward_revision) == (1.0, 1)
    assert (batch.parent_sequence, batch.batch_id) == (3, 1)
    assert batch.spec_version.startswith("test@")
    assert batch.offsets == {"generations/0": 4, "feedback/0": 4}


def test_a_sealed_reward_is_frozen(ledger: Ledger) -> None:
    """Feedback after sealing counts as late: the reward, its revision and the batch stay."""
    names = fill(ledger, 4)
    sealed_now(ledger)
    before = ledger.ask("SELECT reward, revision, late FROM episodes ORDER BY generation_id")
    again = feedback("again", names[0], Rejected(), 1010.0)
    assert ledger.take(again, partition=FEEDBACK).late == 1
    after = ledger.ask("SELECT reward, revision, late FROM episodes ORDER BY generation_id")
    assert (before, after) == ((1.0, 1, 0), (1.0, 1, 1))


def test_sealing_is_all_or_nothing(ledger: Ledger) -> None:
    """A transaction that does not commit leaves no batch, and its number is given again."""
    fill(ledger, 4)
    with pytest.raises(RuntimeError, match="crash"), ledger.store.transaction() as tx:  # noqa: PT012
        assert seal(
            tx, "policy", SETTINGS, parent_sequence=0, max_policy_age=8, age=lambda v: 0, now=1.0
        )
        raise RuntimeError("crash")
    assert ledger.ask("SELECT COUNT(*) FROM batches") == (0,)
    assert ledger.ask("SELECT COUNT(*) FROM episodes WHERE stage = 'ready'") == (4,)
    assert sealed_now(ledger).batch_id == 1
    fill(ledger, 4, prefix="more", at=1500.0)
    assert sealed_now(ledger).batch_id == 2


def test_the_oldest_pending_batch_is_the_next(ledger: Ledger) -> None:
    """Batches are applied in the order they were sealed, and deaths on one are its own."""
    fill(ledger, 4)
    sealed_now(ledger)
    fill(ledger, 4, prefix="more", at=1500.0)
    sealed_now(ledger)
    with ledger.store.transaction() as tx:
        count_death(tx, "policy", 1)
        count_death(tx, "policy", 1)
        pending = pending_batch(tx, "policy")
        assert pending is not None
        assert (pending[0], pending[2]) == (1, 2)
        tx.execute("UPDATE batches SET state = 'applied' WHERE batch_id = 1")
        after = pending_batch(tx, "policy")
        assert after is not None
        assert (after[0], after[2]) == (2, 0)


def test_the_batch_file_is_whole(tmp_path: Path) -> None:
    """Writing a batch again gives the same file, and leaves nothing aside."""
    for content in (b"half", b"whole"):
        path = write_batch(tmp_path / "batches", 12, content)
    assert path.name == "000012.json"
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_the_harness_is_sealed_and_older_batches_keep_their_hash(ledger: Ledger) -> None:
    """A batch from before the harness was in it has the same bytes and hash when it is read again."""
    decide(ledger, "new", 1000.0, harness="2.0")
    fill(ledger, 3)
    batch = sealed_now(ledger)
    assert {one.harness for one in batch.episodes} == {"", "2.0"}
    older = msgspec.structs.replace(
        batch, episodes=tuple(one for one in batch.episodes if not one.harness)
    )
    raw = msgspec.json.encode(older)
    assert b"harness" not in raw
    assert batch_hash(msgspec.json.decode(raw, type=SealedBatch)) == batch_hash(older)


def test_a_batch_of_long_edits_holds_nobody_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The freshest have a credit per token up to a bound; one endless edit takes nothing from them."""
    monkeypatch.setattr(token_credits, "MOST_IN_BATCH", 60)
    text = "keep this drop that."
    for number in range(6):
        name = f"e{number}"
        ids = tuple(text.encode())
        ledger.take(
            generation(
                *(name, 1000.0 + number),
                text=text,
                completion_token_ids=ids,
                logprobs=(-1.0,) * len(ids),
            )
        )
        final = "keep " * 10_000 if number == 0 else "keep this."
        ledger.take(
            feedback(f"{name}.f", name, Edited(final_text=final), 1010.0), partition=FEEDBACK
        )
    credit = partial(token_credit, reward_spec(""), spell=lambda ids: [bytes([one]) for one in ids])
    batch = sealed_now(ledger, credit=credit)
    assert [len(one.credit) for one in batch.episodes] == [0, 20, 20, 20, 0, 0]


def test_what_is_too_old_is_compared_with_what_is_taken(ledger: Ledger) -> None:
    """Two too old, turned down after 40 s in another segment; four taken, half of them accepted at once."""
    for number in range(4):
        signal = Accepted() if number < 2 else Rejected()
        ledger.take(generation(f"new{number}", 1000.0, version=version_of(9)))
        ledger.take(feedback(f"f{number}", f"new{number}", signal, 1001.0))
    for number in range(2):
        name = f"old{number}"
        ledger.take(generation(name, 1000.0, version=version_of(2), segment="title"))
        ledger.take(feedback(f"g{number}", name, Rejected(), 1040.0))
    batch = sealed_now(ledger, age=by_number, max_policy_age=3)
    seen = batch.passed_over
    assert seen is not None
    assert (seen.taken, seen.too_old) == (4, 2)
    assert (seen.reward, seen.too_old_reward) == (0.5, 0.0)
    assert (seen.delay, seen.too_old_delay, seen.segments_apart) == (1.0, 40.0, 1.0)
    assert seen.standard_error == pytest.approx((0.25 / 4) ** 0.5)
    assert seen.sentence.startswith("2 (33%): reward -0.500 ± 0.250 beside what was taken")


def test_what_was_too_old_before_there_was_a_batch_counts_with_the_next(ledger: Ledger) -> None:
    """Excluded while there were too few, it stands in the batch that was sealed then; once."""
    decide(ledger, "old", 1000.0, version=version_of(2))
    assert seal_now(ledger, age=by_number, max_policy_age=3) is None
    fill(ledger, 4)
    first = sealed_now(ledger)
    assert first.passed_over is not None
    assert (first.passed_over.taken, first.passed_over.too_old) == (4, 1)
    fill(ledger, 4, prefix="later")
    second = sealed_now(ledger)
    assert second.passed_over is not None
    assert (second.passed_over.taken, second.passed_over.too_old) == (4, 0)
    with ledger.store.reading() as view:
        assert describe_passed_over(view, "policy")["too_old"] == 1


def test_a_batch_of_before_keeps_its_hash() -> None:
    """What was sealed before the comparison was made is written without it."""
    old = SealedBatch(
        batch_id=1,
        policy="p",
        parent_sequence=0,
        spec_version="s",
        episodes=(),
        held_out=(),
        offsets={},
    )
    assert b"passed_over" not in msgspec.json.encode(old)


def test_answers_that_hang_together_are_sealed_as_a_session(ledger: Ledger) -> None:
    """Turns of a session, and an answer that goes on from one of them, have its number; others have none."""
    for at, (name, session, parent) in enumerate(
        (("a1", "a", None), ("b1", "b", None), ("a2", "a", None), ("sub", "c", "a1"))
    ):
        more = {"session_id": session, "session_found": "named", "parent_id": parent}
        decide(ledger, name, 1000.0 + at, taken=name != "a2", **more)
    decide(ledger, "x", 1004.0)
    decide(ledger, "y", 1005.0)
    sealed = {one.generation_id: one.session for one in sealed_now(ledger).episodes}
    assert sealed == {"a1": 1, "b1": 0, "a2": 1, "sub": 1, "x": 0, "y": 0}


def test_the_experts_of_an_answer_are_sealed(ledger: Ledger) -> None:
    """As the record on the log has them; a batch without any keeps the hash that it had."""
    routed = RoutedExperts(layers=2, k=2, experts=bytes((0, 3, 1, 2, 2, 1, 3, 0)))
    names = fill(ledger, 4)
    decide(ledger, "routed", 1000.0, routed_experts=routed)
    found = {one.generation_id: one for one in sealed_now(ledger).episodes}
    assert found["routed"].routed_experts == routed
    assert b"routed" not in msgspec.json.encode(found[names[0]])
