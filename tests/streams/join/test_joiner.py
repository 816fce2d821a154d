"""The join: one row for each generation, whichever record comes first, and one fate at the end.

Semantics locked here: CONTRACTS 4, 9 to 13, 15, 16, and 17 for revisions after sealing.
"""

import gzip
import math
from collections.abc import Callable

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback, generation

from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted, Copied, Edited, Kept, Rejected, Undone
from rlwd.streams.events.usage import Usage
from rlwd.streams.join.fate import JoinSettings
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.join.offsets import StaleOffset, mark_read_past, record_counts, watermark
from rlwd.streams.log.ports import Partition, ReadPosition, Record

REWARD = "SELECT reward, stage, fate, revision, late FROM episodes WHERE generation_id = ?"


def test_decisive_feedback_makes_an_episode_ready(ledger: Ledger) -> None:
    """An accepted generation is ready with reward 1 and still waits to be trained."""
    ledger.take(generation("g", 0.0))
    ledger.take(feedback("f", "g", Accepted(), 5.0), partition=FEEDBACK)
    assert ledger.ask(REWARD, "g") == (1.0, "ready", "waiting", 1, 0)


def test_order_of_arrival_does_not_matter(ledger: Ledger) -> None:
    """Feedback that comes before its generation waits for it and counts the same."""
    ledger.take(feedback("f", "g", Accepted(), 5.0), partition=FEEDBACK)
    assert ledger.fates() == {}
    ledger.take(generation("g", 6.0))
    assert ledger.ask(REWARD, "g")[:3] == (1.0, "ready", "waiting")


def test_undecided_generations_are_censored_by_name(ledger: Ledger) -> None:
    """Without a decision within its horizon a generation is censored, never worth zero."""
    ledger.take(generation("g", 0.0))
    assert ledger.close(read_past=99.0) == 0
    assert ledger.close(read_past=100.5) == 1
    assert ledger.ask(REWARD, "g")[:3] == (None, "closed", "censored:no_decision")


def test_indecisive_feedback_alone_is_no_reward(ledger: Ledger) -> None:
    """A copy says nothing about acceptance: the generation is censored."""
    ledger.take(generation("g", 0.0), feedback("f", "g", Copied(), 1.0))
    ledger.close(read_past=math.inf)
    assert ledger.fates() == {"censored:no_decision": 1}


def test_a_wrong_year_closes_no_horizon(ledger: Ledger) -> None:
    """A receive time that is still to come moves the watermark to now and not a second further."""
    far = 16_725_225_600.0  # The year 2500.
    ledger.take(generation("g", far), partition=GENERATIONS, now=50.0)
    ledger.take(feedback("f", "g", Copied(), far), partition=FEEDBACK, now=60.0)
    with ledger.store.reading() as view:
        assert watermark(view, "policy") == 50.0


def test_lag_censors_nobody(ledger: Ledger) -> None:
    """The watermark is the least that every partition was read past, whatever the clock says."""
    ledger.take(generation("g", 0.0), now=10_000.0)
    ledger.take(feedback("f", "other", Copied(), 500.0), partition=FEEDBACK, now=10_000.0)
    with ledger.store.transaction() as tx:
        assert watermark(tx, "policy") == 0.0
        owner = ledger.joiner.owner
        mark_read_past(
            tx, "policy", {GENERATIONS: ReadPosition(position=1, end=1)}, 10_000.0, owner
        )
        assert watermark(tx, "policy") == 500.0
        mark_read_past(tx, "policy", {FEEDBACK: ReadPosition(position=1, end=9)}, 10_000.0, owner)
        assert watermark(tx, "policy") == 500.0
        # What came since the end was asked for may wait there unread.
        heard = ReadPosition(position=1, end=1, age_seconds=2.5)
        mark_read_past(tx, "policy", {FEEDBACK: heard}, 10_000.0, owner)
        assert watermark(tx, "policy") == 9_997.5


def test_undo_within_the_horizon_revises_the_reward(ledger: Ledger) -> None:
    """Accepted then undone is a rejection, as the next revision of the same episode."""
    ledger.take(generation("g", 0.0), feedback("a", "g", Accepted(), 1.0))
    ledger.take(feedback("u", "g", Undone(), 30.0), partition=FEEDBACK)
    assert ledger.ask(REWARD, "g")[:4] == (0.0, "ready", "waiting", 2)


def test_a_signal_after_its_horizon_is_recorded_and_not_counted(ledger: Ledger) -> None:
    """Kept within 300 s counts; an acceptance after 100 s does not."""
    ledger.take(generation("g", 0.0), feedback("r", "g", Rejected(), 1.0))
    ledger.take(feedback("late", "g", Accepted(), 150.0), partition=FEEDBACK)
    ledger.take(
        feedback("k", "g", Kept(fraction=0.5, horizon_seconds=15), 200.0), partition=FEEDBACK
    )
    assert ledger.ask(REWARD, "g")[0] == pytest.approx((0.0 + 0.5) / 2)
    assert ledger.ask("SELECT COUNT(*) FROM feedback")[0] == 3


def test_replacing_feedback_takes_the_place_of_the_old(ledger: Ledger) -> None:
    """An edit that replaces an earlier edit is the only one that counts."""
    ledger.take(generation("g", 0.0), feedback("e1", "g", Edited(final_text="xxxx"), 1.0))
    assert ledger.ask(REWARD, "g")[0] == 0.0
    ledger.take(
        feedback("e2", "g", Edited(final_text="abcx"), 2.0, replaces="e1"), partition=FEEDBACK
    )
    assert ledger.ask(REWARD, "g")[0] == pytest.approx(0.75)


def test_repeats_change_nothing(ledger: Ledger) -> None:
    """The same records delivered again are counted as duplicates and move no reward."""
    values = (generation("g", 0.0), feedback("f", "g", Accepted(), 1.0))
    ledger.take(*values)
    before = ledger.ask(REWARD, "g")
    again = ledger.take(*values)
    assert (again.counts.accepted, again.counts.duplicate) == (0, 2)
    assert ledger.ask(REWARD, "g") == before


def test_one_feedback_id_counts_once_through_two_gateways(ledger: Ledger) -> None:
    """A client that retries at another gateway has given its feedback once."""
    ledger.take(generation("g", 0.0), feedback("f", "g", Accepted(), 1.0))
    other = feedback("f", "g", Accepted(), 2.0).replace(b"/feedback/test", b"/feedback/eu-2")
    assert ledger.take(other).counts.duplicate == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (generation("g", 0.0).replace(b"generation.v1", b"generation.v9"), "$.type"),
        (generation("g", 0.0).replace(b"-0.5", b"NaN"), "malformed"),
        (generation("g", 0.0).replace(b"[-0.5]", b"[-0.5,-0.5]"), "$.data.logprobs"),
        (b"\xff\xfe", "malformed"),
        (b"", "tombstone"),
        (gzip.compress(generation("z", 1.0)), "compressed with gzip"),
        (generation("h", 1.0).replace(b'"h"', b'"\\ud83d"', 1), "half a surrogate pair"),
        (generation("h", 1.0).replace(b'"h"', b'"\\udc00 "', 1), "half a surrogate pair"),
    ],
)
def test_malformed_records_are_dead_lettered_with_the_reason(
    ledger: Ledger, value: bytes, reason: str
) -> None:
    """A record that is no event is kept as it came, with what is wrong, and the next one goes on."""
    result = ledger.take(value, generation("next", 1.0))
    assert (result.counts.dead_lettered, result.counts.accepted) == (1, 1)
    said, kept = ledger.ask("SELECT reason, value FROM dead_letters")
    assert reason in said
    assert kept == value


def test_feedback_whose_generation_never_comes_is_dead_lettered(ledger: Ledger) -> None:
    """It waits for its horizon first, and the record then counts as dead-lettered instead."""
    ledger.take(feedback("f", "nowhere", Accepted(), 0.0), partition=FEEDBACK)
    ledger.close(read_past=99.0)
    assert ledger.ask("SELECT COUNT(*) FROM dead_letters") == (0,)
    ledger.close(read_past=101.0)
    assert "unknown_generation: nowhere" in ledger.ask("SELECT reason FROM dead_letters")[0]
    with ledger.store.reading() as view:
        counts = record_counts(view, "policy")[FEEDBACK]
    assert (counts.accepted, counts.dead_lettered, counts.delivered) == (0, 1, 1)


@pytest.mark.parametrize(
    ("more", "fate"),
    [
        ({"consent": False}, "excluded:no_consent"),
        ({"purposes": ("count",)}, "excluded:no_consent"),
        ({"purposes": ("count", "share")}, "excluded:not_for_training"),
        ({"side_request": "title"}, "excluded:side_request"),
        ({"captured": False}, "excluded:no_capture"),
        ({"prompt_token_ids": None}, "excluded:no_tokens"),
        ({"logprobs": None}, "excluded:no_logprobs"),
        ({"version": ""}, "excluded:no_version"),
        ({"mixed_versions": True}, "excluded:mixed_versions"),
        ({"finish_reason": "abort"}, "excluded:aborted"),
        ({"finish_reason": ""}, "excluded:no_finish_reason"),
        ({"finish_reason": "error"}, "excluded:engine_error"),
        ({"finish_reason": "content_filter"}, "excluded:content_filter"),
        ({"finish_reason": "repetition"}, "excluded:unknown_finish"),
    ],
)
def test_what_may_not_be_trained_on_is_excluded_by_a_named_rule(
    ledger: Ledger, more: dict[str, object], fate: str
) -> None:
    """Each rule gives its own fate, and feedback does not bring the generation back."""
    ledger.take(generation("g", 0.0, **more), feedback("f", "g", Accepted(), 1.0))
    assert ledger.fates() == {fate: 1}


@pytest.mark.parametrize("ended", ["stop", "length", "tool_calls"])
def test_a_whole_answer_may_be_trained_on(ledger: Ledger, ended: str) -> None:
    """These ends, and no others, are of answers that the engine finished."""
    ledger.take(generation("g", 0.0, finish_reason=ended), feedback("f", "g", Rejected(), 1.0))
    assert ledger.ask(REWARD, "g")[:3] == (0.0, "ready", "waiting")


def test_answers_cut_at_their_limit_may_be_left_out(ledger: Ledger) -> None:
    """`join.cut_answers = false` excludes them by a name of their own."""
    settings = JoinSettings(cut_answers=False)
    ledger.joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, settings=settings)
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    ledger.take(generation("g", 0.0, finish_reason="length"), feedback("f", "g", Accepted(), 1.0))
    assert ledger.fates() == {"excluded:cut_answer": 1}


def test_without_consent_nothing_is_kept(ledger: Ledger) -> None:
    """A generation without consent is counted; its content is not stored."""
    ledger.take(generation("g", 0.0, consent=False))
    assert ledger.ask("SELECT content FROM episodes WHERE generation_id = 'g'") == (None,)


def test_an_excluded_episode_is_still_scored(ledger: Ledger) -> None:
    """A foreign product's generation has no tokens, and its reward is known all the same."""
    ledger.take(generation("g", 0.0, prompt_token_ids=None), feedback("f", "g", Accepted(), 1.0))
    ledger.take(feedback("k", "g", Kept(fraction=0.0, horizon_seconds=15), 16.0))
    assert ledger.ask(REWARD, "g")[:3] == (0.5, "closed", "excluded:no_tokens")


def test_after_sealing_a_revision_is_counted_and_moves_nothing(ledger: Ledger) -> None:
    """From sealing on the reward stands; the revision is recorded as late."""
    ledger.take(generation("g", 0.0), feedback("f", "g", Accepted(), 1.0))
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE episodes SET stage = 'sealed', batch_id = 1")
    assert ledger.take(feedback("u", "g", Undone(), 2.0)).late == 1
    assert ledger.ask(REWARD, "g") == (1.0, "sealed", "waiting", 1, 1)


def test_a_crash_before_commit_leaves_no_trace(
    make_ledger: Callable[[], Ledger],
) -> None:
    """Events and the offsets that carried them are taken together or not at all."""
    ledger = make_ledger()
    record = Record(partition=GENERATIONS, offset=0, key=b"s", value=generation("g", 0.0))
    with pytest.raises(KeyboardInterrupt), ledger.store.transaction() as tx:  # noqa: PT012
        ledger.joiner.ingest(tx, [record], 0.0)
        raise KeyboardInterrupt
    ledger.store.close()
    again = make_ledger()
    assert again.ends == {}
    assert again.fates() == {}
    again.take(generation("g", 0.0))
    assert again.fates() == {"waiting": 1}


def test_a_restart_goes_on_where_the_store_is(make_ledger: Callable[[], Ledger]) -> None:
    """The store's offsets are the ones resumed from."""
    ledger = make_ledger()
    ledger.take(generation("g1", 0.0), generation("g2", 0.0))
    ledger.store.close()
    assert make_ledger().ends == {GENERATIONS: 2}


def test_a_zombie_cannot_move_an_offset(make_ledger: Callable[[], Ledger]) -> None:
    """A consumer that lost its partition is refused, and what it polled leaves no trace."""
    zombie = make_ledger()
    zombie.take(generation("g1", 0.0))
    owner = make_ledger()
    with pytest.raises(StaleOffset, match=r"generations\[0\]"):
        zombie.take(generation("g2", 0.0))
    owner.take(generation("g2", 0.0))
    with pytest.raises(StaleOffset, match=r"generations\[0\]"):
        zombie.take(generation("g3", 0.0))
    assert owner.ask("SELECT next FROM offsets WHERE topic = 'generations'") == (2,)
    assert owner.ask("SELECT COUNT(*) FROM episodes") == (2,)


def test_a_zombie_cannot_say_how_far_it_has_read(make_ledger: Callable[[], Ledger]) -> None:
    """Who lost a partition does not know where it ends: no horizon closes by what it says."""
    zombie = make_ledger()
    zombie.take(generation("g", 0.0), now=0.0)
    owner = make_ledger()
    read = {each: ReadPosition(position=1, end=1) for each in (GENERATIONS, FEEDBACK)}
    for ledger, mark in ((zombie, 0.0), (owner, 500.0)):
        with ledger.store.transaction() as tx:
            mark_read_past(tx, "policy", read, 500.0, ledger.joiner.owner)
            assert watermark(tx, "policy") == mark


def test_a_topic_read_again_from_zero_moves_nothing(make_ledger: Callable[[], Ledger]) -> None:
    """Another copy of all records is all duplicates."""
    ledger = make_ledger()
    values = [generation(f"g{i}", 0.0) for i in range(5)]
    values += [feedback(f"f{i}", f"g{i}", Accepted(), 1.0) for i in range(5)]
    ledger.take(*values)
    copy = Partition(topic="generations", index=7)
    result = ledger.take(*values, partition=copy)
    assert (result.counts.duplicate, result.counts.accepted) == (10, 0)
    assert ledger.ask("SELECT MAX(revision) FROM episodes") == (1,)


@pytest.mark.parametrize("count", [10**30, -(10**30)])
def test_a_count_of_any_size_is_taken_in(ledger: Ledger, count: int) -> None:
    """What a product wrote as its usage is kept within what every database holds."""
    ledger.take(generation("g", 0.0, usage=Usage(completion_tokens=count)))
    assert ledger.fates() == {"waiting": 1}


def test_of_another_policy_s_answer_nothing_is_kept_but_that_it_came(ledger: Ledger) -> None:
    """Not who asked, what was asked or called, nor what the product says of it by numbers and references."""
    horizon = SPEC.decision_seconds
    ledger.joiner = Joiner(
        "policy",
        Scorer(SPEC),
        horizon,
        measure=lambda _: '{"asks": 1.0}',
        owns=lambda one: one.tenant != "lab",
    )
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [GENERATIONS])
    said = {"user_hash": "u", "numbers": {"price": 3.0}, "references": {"ticket": "4711"}}
    ledger.take(
        generation("g", 0.0, tenant="lab", session_found="named", variant="champion", **said)
    )
    assert ledger.fates() == {"excluded:other_policy": 1}
    kept = "SELECT user_hash, variant, version, tokens, user_named, tenant FROM episodes"
    assert ledger.ask(kept) == ("", "", "", 0, 0, "lab")
    for table in ("contents", "turns", "own_numbers", "referenced", "session_turns", "made_calls"):
        assert ledger.ask(f"SELECT COUNT(*) FROM {table}") == (0,), table
