"""Exposure: who was really served which variant of one experiment, and what came of it."""

from pathlib import Path
from typing import Any

from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation

from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.streams.answers.exposure import VariantTally, exposures, mirrored_pairs, user_sums
from rlwd.streams.events.generation import SHADOW, shadow_id
from rlwd.streams.events.signals import Accepted, Rejected, Undone
from rlwd.streams.events.usage import Usage

SALT = "policy@v000001-00000000"


def serve(
    ledger: Ledger, name: str, user: str, variant: str, taken: bool | None, **more: Any
) -> None:
    """Let a user be served, and decide where `taken` says how."""
    given = {"salt": SALT, "user_hash": user, "variant": variant, **more}
    ledger.take(generation(name, 10.0, **given))
    if taken is not None:
        signal = Accepted() if taken else Rejected()
        ledger.take(feedback(f"{name}.f", name, signal, 11.0), partition=FEEDBACK)


def sums(ledger: Ledger, salt: str = SALT) -> dict[str, list[tuple[str, float, int]]]:
    with ledger.store.reading() as view:
        return {v: sorted(rows) for v, rows in user_sums(view, "policy", salt).items()}


def tallies(ledger: Ledger, salt: str = SALT) -> dict[str, VariantTally]:
    with ledger.store.reading() as view:
        return exposures(view, "policy", salt)


def test_rewards_add_up_by_user(ledger: Ledger) -> None:
    """A user's rewarded answers become one sum and count, in the variant that served them."""
    serve(ledger, "1", "ann", "candidate", True)
    serve(ledger, "2", "ann", "candidate", False)
    serve(ledger, "3", "ann", "candidate", True)
    serve(ledger, "4", "bob", "candidate", False)
    serve(ledger, "5", "cat", "control", True)
    assert sums(ledger) == {
        "candidate": [("ann", 2.0, 3), ("bob", 0.0, 1)],
        "control": [("cat", 1.0, 1)],
    }


def test_an_undecided_answer_is_an_exposure_and_no_zero(ledger: Ledger) -> None:
    """Whoever was served counts as exposed; a reward counts only once it is known."""
    serve(ledger, "1", "ann", "candidate", None)
    serve(ledger, "2", "ann", "candidate", None)
    serve(ledger, "3", "bob", "candidate", True)
    assert sums(ledger) == {"candidate": [("bob", 1.0, 1)]}
    assert tallies(ledger) == {"candidate": VariantTally(users=2, assigned=2, requests=3, empty=0)}
    late = feedback("late", "1", Accepted(), 90.0)
    ledger.take(late, partition=FEEDBACK)
    assert sums(ledger) == {"candidate": [("ann", 1.0, 1), ("bob", 1.0, 1)]}


def test_empty_answers_are_counted(ledger: Ledger) -> None:
    """An answer without a token is a request that came to nothing."""
    serve(ledger, "1", "ann", "candidate", None, completion_token_ids=(), logprobs=())
    serve(ledger, "2", "bob", "candidate", None)
    assert tallies(ledger)["candidate"] == VariantTally(users=2, assigned=2, requests=2, empty=1)


def test_another_experiment_is_another_count(ledger: Ledger) -> None:
    """What happened under another salt says nothing here."""
    serve(ledger, "1", "ann", "candidate", True, salt="policy@v000002-00000000")
    assert (sums(ledger), tallies(ledger)) == ({}, {})


def test_who_got_other_weights_is_in_no_variant(ledger: Ledger) -> None:
    """A fallback speaks neither for the candidate nor for the control."""
    serve(ledger, "1", "ann", "candidate", True, fallback=True)
    assert set(sums(ledger)) == {"fallback"}
    assert "candidate" not in tallies(ledger)


def test_nobody_is_no_user(ledger: Ledger) -> None:
    """Traffic without a user is served, but compared with nothing."""
    serve(ledger, "1", "", "candidate", True)
    assert sums(ledger) == {}
    assert tallies(ledger) == {"candidate": VariantTally(users=0, assigned=0, requests=1)}


def test_an_answer_that_may_not_be_trained_on_still_tells(ledger: Ledger) -> None:
    """Greedy answers are no lesson for the learner, but evidence on the version that gave them."""
    serve(ledger, "1", "ann", "candidate", True, sampling={"temperature": 0.0})
    assert sums(ledger) == {"candidate": [("ann", 1.0, 1)]}
    assert ledger.fates() == {"excluded:greedy": 1}


def test_unnamed_users_are_no_users_and_their_failures_count(ledger: Ledger) -> None:
    """A session stands for nobody in a comparison; that its request failed is a fact all the same."""
    serve(ledger, "1", "session", "candidate", True, user_named=False)
    serve(ledger, "2", "session", "candidate", None, user_named=False, finish_reason="error")
    assert sums(ledger) == {}
    assert tallies(ledger)["candidate"] == VariantTally(users=0, assigned=0, requests=2, failed=1)


def test_what_an_answer_was_is_counted(ledger: Ledger) -> None:
    """Failed, empty and cut are told apart; the caller's own fault and doing are none of them."""
    none: dict[str, Any] = {"completion_token_ids": None, "logprobs": None, "text": ""}
    for number, more in enumerate(
        (
            {"finish_reason": "error", **none},
            {"finish_reason": "timeout", **none},
            {"finish_reason": "stop", "status": 503, **none},
            {"finish_reason": "stop", "text": ""},
            {"finish_reason": "stop", "text": " \n"},
            {"finish_reason": "tool_calls", "text": ""},
            {"finish_reason": "length"},
            {"finish_reason": "refused", "status": 400, **none},
            {"finish_reason": "abort", "status": 499, **none},
            {"finish_reason": "stop", "capture_problem": "no token ids", **none},
            {"finish_reason": "stop"},
        )
    ):
        serve(ledger, str(number), "ann", "candidate", None, **more)
    assert tallies(ledger)["candidate"] == VariantTally(
        users=1, assigned=1, requests=11, failed=3, empty=2, cut=1
    )


def test_feedback_after_sealing_reaches_the_comparison(tmp_path: Path) -> None:
    """Training froze the reward at 1; the comparison learns that the answer was undone later."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    for number in range(8):
        serve(ledger, str(number), f"user{number}", "candidate", True)
    settings = BatchSettings(episodes=8, held_out=0.25)
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            settings,
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=20.0,
        )
    assert batch is not None
    assert batch.held_out, "what was held out is frozen as well"
    for number in range(8):
        undone = feedback(f"{number}.undo", str(number), Undone(), 30.0)
        ledger.take(undone, partition=FEEDBACK)
    assert {total for _, total, _ in sums(ledger)["candidate"]} == {0.0}
    assert ledger.ask("SELECT SUM(reward), SUM(late) FROM episodes") == (8.0, 8)


def test_a_mirrored_answer_stands_beside_the_champions_and_counts_for_nothing_else(
    ledger: Ledger,
) -> None:
    """Its fate says what it is, feedback moves nothing of it, and nobody was exposed to it."""
    serve(ledger, "1", "ann", "champion", True, salt="before", usage=Usage(completion_tokens=4))
    mirrored = {"finish_reason": "length", "usage": Usage(completion_tokens=9)}
    serve(ledger, shadow_id("1"), "ann", SHADOW, True, **mirrored)
    serve(ledger, shadow_id("gone"), "bob", SHADOW, None)
    with ledger.store.reading() as view:
        pairs = mirrored_pairs(view, "policy", SALT)
        assert mirrored_pairs(view, "policy", "before") == []
    assert pairs == [("ann", 0, 1, 9, 0, 0, 4)]
    assert ledger.fates() == {"excluded:shadow": 2, "waiting": 1}
    assert sums(ledger) == {}
    reward, content = ledger.ask(
        "SELECT reward, content FROM episodes WHERE generation_id = ?", shadow_id("1")
    )
    assert (reward, content) == (None, None)
