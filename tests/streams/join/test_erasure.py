"""Erasure: no word of a person is left, and every count still closes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.streams.events.signals import Accepted, Edited
from rlwd.streams.join.erasure import ErasureCounts, erase
from rlwd.streams.log.claim_check import store_payload

HERS, OTHERS = "a1" * 16, "b2" * 16
SECRET = "her secret"


def serve(ledger: Ledger, name: str, user: str = HERS) -> None:
    """Answer somebody, who then says something that nobody else may know."""
    ledger.take(generation(name, 1.0, user_hash=user, text=f"{SECRET} {name}"))
    said = Edited(final_text=SECRET)
    ledger.take(feedback(f"{name}.f", name, said, 2.0), partition=FEEDBACK)


def forget(ledger: Ledger, user: str = HERS, *folders: Path) -> ErasureCounts:
    with ledger.store.transaction() as tx:
        return erase(tx, "policy", user, 50.0, folders)


def everything(ledger: Ledger) -> str:
    """Return all that the tables hold, as one text."""
    found = []
    with ledger.store.reading() as view:
        for table in ("episodes", "contents", "feedback", "dead_letters"):
            found += view.execute(f"SELECT * FROM {table}").fetchall()
    return repr([[bytes(v) if isinstance(v, memoryview) else v for v in row] for row in found])


def test_no_word_is_left_and_the_counts_close(ledger: Ledger) -> None:
    """What waited ends as erased; the same number of people, generations and feedback is counted."""
    for name in ("g1", "g2"):
        serve(ledger, name)
    serve(ledger, "g3", OTHERS)
    people = "SELECT COUNT(DISTINCT user_hash) FROM episodes"
    before = ledger.ask(people)
    assert forget(ledger) == ErasureCounts(generations=2, others=0, versions=(), batches=())
    assert ledger.fates() == {"excluded:erased": 2, "waiting": 1}
    assert ledger.ask(people) == before
    assert ledger.ask("SELECT COUNT(*) FROM feedback") == (3,)
    text = everything(ledger)
    assert HERS not in text
    assert f"{SECRET} g1" not in text
    assert f"{SECRET} g3" in text
    assert text.count(SECRET) == 2


def test_what_comes_later_or_again_brings_nothing_back(make_ledger: Callable[[], Ledger]) -> None:
    """A record still under way, late feedback, and the topic read again from zero, after a restart."""
    ledger = make_ledger()
    serve(ledger, "g1")
    forget(ledger)
    again = make_ledger()
    serve(again, "g1")
    serve(again, "g2")
    late = feedback("late", "g1", Edited(final_text=SECRET), 60.0)
    again.take(late, partition=FEEDBACK)
    assert again.fates() == {"excluded:erased": 2}
    text = everything(again)
    assert HERS not in text
    assert SECRET not in text


def test_what_came_before_its_generation_is_forgotten_too(ledger: Ledger) -> None:
    """Feedback on an answer that comes after the erasure, and the dead letter that it became."""
    said = Edited(final_text=SECRET)
    ledger.take(feedback("f1", "g1", said, 2.0), partition=FEEDBACK)
    ledger.take(feedback("f2", "g2", said, 2.0), partition=FEEDBACK)
    forget(ledger)
    ledger.take(generation("g1", 1.0, user_hash=HERS, text=SECRET))
    ledger.close(read_past=1e6)
    assert everything(ledger).count(SECRET) == 2  # g2's, as feedback and as a dead letter
    ledger.take(generation("g2", 1.0, user_hash=HERS, text=SECRET))
    assert SECRET not in everything(ledger)


def test_what_was_trained_stays_trained_and_names_its_version(ledger: Ledger) -> None:
    """Weights are not unlearned: the versions that had learned are named, and the batches."""
    for name in ("g1", "g2"):
        serve(ledger, name)
    with ledger.store.transaction() as tx:
        tx.execute(
            "UPDATE episodes SET stage = 'closed', fate = 'trained', batch_id = 1,"
            " trained_version = 'policy@v000001-0' WHERE generation_id = 'g1'"
        )
        tx.execute("UPDATE episodes SET stage = 'sealed', batch_id = 2 WHERE generation_id = 'g2'")
    assert forget(ledger) == ErasureCounts(
        generations=2, others=0, versions=("policy@v000001-0",), batches=(1, 2)
    )
    assert ledger.fates() == {"trained": 1, "waiting": 1}
    ledger.take(feedback("late", "g1", Edited(final_text=SECRET), 60.0), partition=FEEDBACK)
    assert SECRET not in everything(ledger)
    assert forget(ledger).generations == 2


def test_what_she_wrote_back_to_somebody_elses_answer_is_named_too(ledger: Ledger) -> None:
    """A batch that holds her words as the follow-up of an answer to another person of her session."""
    session = {"session_id": "t", "session_found": "named"}
    ledger.take(generation("a", 1.0, user_hash=OTHERS, **session))
    ledger.take(generation("b", 2.0, user_hash=OTHERS, **session, parent_id="a"))
    ledger.take(generation("c", 3.0, user_hash=HERS, **session, parent_id="b"))
    sealed = "UPDATE episodes SET stage = 'sealed', batch_id = ?, lane = ? WHERE generation_id = ?"
    with ledger.store.transaction() as tx:
        tx.executemany(sealed, [(1, "ratio+hindsight", "a"), (2, "ratio+hindsight", "b")])
    assert forget(ledger).batches == (2,)


def test_files_of_what_was_too_large_are_deleted(ledger: Ledger, tmp_path: Path) -> None:
    """Her answers, the feedback on them, and what no daemon has read yet; nobody else's."""
    ledger.joiner.reader.data = folder = tmp_path / "data"
    ledger.take(store_payload(folder, generation("g1", 1.0, user_hash=HERS, text=SECRET)))
    ledger.take(store_payload(folder, generation("g2", 1.0, user_hash=OTHERS)))
    said = feedback("f", "g1", Edited(final_text=SECRET), 2.0)
    ledger.take(store_payload(folder, said), partition=FEEDBACK)
    store_payload(folder, generation("unread", 3.0, user_hash=HERS, text=SECRET))
    (folder / "damaged.json").write_bytes(b"{}")
    assert len(list(folder.iterdir())) == 5
    assert forget(ledger, "c3" * 16, folder).generations == 0
    assert forget(ledger, HERS, folder).generations == 1
    left = [path.read_bytes() for path in folder.iterdir()]
    assert len(left) == 2
    assert not any(SECRET.encode() in content for content in left)


@pytest.mark.parametrize("signal", [Accepted(), Edited(final_text="x")])
def test_others_are_not_touched(ledger: Ledger, signal: Accepted | Edited) -> None:
    """While somebody is erased the others' feedback counts as ever."""
    forget(ledger)
    ledger.take(generation("g3", 1.0, user_hash=OTHERS))
    ledger.take(feedback("f3", "g3", signal, 2.0), partition=FEEDBACK)
    (stage, held) = ledger.ask("SELECT stage, content IS NOT NULL FROM episodes")
    assert (stage, bool(held)) == ("ready", True)
