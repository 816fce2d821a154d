"""Webhook: real posts to a real tracker that is slow, away, refuses, or sends elsewhere."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from issue_tracker import IssueTracker

from rlwd.ops.rollout import candidates_table
from rlwd.ops.servers.process import LOOPBACK, free_port
from rlwd.ops.triage import triage_tables
from rlwd.ops.triage.settings import TriageSettings
from rlwd.ops.triage.triage_tables import HOURLY, ROUNDS
from rlwd.ops.triage.webhook import Webhook
from rlwd.streams.open import open_store
from rlwd.streams.state.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A state in which three issues wait."""
    store = open_store(tmp_path / "rlwd.db", {"ops": candidates_table.MIGRATIONS})
    with store.transaction() as tx:
        triage_tables.open_issues(tx, "p", {f"k{n}": f'{{"n": {n}}}' for n in range(3)}, 0.0)
    yield store
    store.close()


@pytest.fixture
def tracker() -> Iterator[IssueTracker]:
    """A tracker."""
    with IssueTracker().serving() as tracker:
        yield tracker


class Posting:
    """A webhook whose waits take no time, and whose clock is set by hand."""

    def __init__(self, store: Store, url: str) -> None:
        self.now, self.slept = 10.0, list[float]()
        settings = TriageSettings(webhook=url, retries=2, timeout_seconds=60.0)
        self.webhook = Webhook(
            store, "p", settings, clock=lambda: self.now, sleep=self.slept.append
        )
        self.store = store

    @property
    def problem(self) -> str | None:
        """What is wrong."""
        with self.store.reading() as view:
            return triage_tables.issue_problem(view, "p")


def test_what_fails_is_tried_again_and_told_once(store: Store, tracker: IssueTracker) -> None:
    """An error of the moment is tried again at once, each time after twice as long."""
    tracker.statuses = [503, 429]
    posting = Posting(store, tracker.url)
    assert posting.webhook.deliver() == (3, "")
    assert posting.slept == [1.0, 2.0]
    assert len(tracker.posts) == 5
    assert {headers["Idempotency-Key"] for headers, _ in tracker.posts} == {"k0", "k1", "k2"}
    assert posting.problem is None
    assert posting.webhook.deliver() == (0, "")


def test_what_is_refused_holds_up_no_other(store: Store, tracker: IssueTracker) -> None:
    """One is refused and the others are told; it is tried again each hour, after a day each day, and given up
    after a week."""
    tracker.statuses = [422]
    posting = Posting(store, tracker.url)
    assert posting.webhook.deliver() == (2, "the webhook refuses it with status 422")
    assert posting.problem == ("1 issues could not be told: the webhook refuses it with status 422")
    assert posting.webhook.deliver() == (0, "")
    for tried in range(1, ROUNDS):
        posting.now += 3601.0 if tried < HOURLY else 86_401.0
        with store.transaction() as tx:
            (one,) = triage_tables.waiting_issues(tx, "p", posting.now)
            triage_tables.note_failed(tx, "p", one.key, "refused", posting.now)
            soon = triage_tables.waiting_issues(tx, "p", posting.now + 3601.0)
        assert len(soon) == (tried < HOURLY - 1)
        assert ("given up" in str(posting.problem)) == (tried == ROUNDS - 1)
    posting.now += 1e6
    assert posting.webhook.deliver() == (0, "")
    assert len(tracker.posts) == 3
    assert "1 of them given up" in str(posting.problem)
    # What was given up is no problem of a later week, nor does it keep the daemon from being ready.
    with store.transaction() as tx:
        triage_tables.forget_old(tx, "p", 0, 0)
    assert posting.problem is None


def test_an_issue_that_a_receiver_stumbles_over_holds_up_no_other(
    store: Store, tracker: IssueTracker
) -> None:
    """It answers 500 to one and takes the others, with the tries of one; a receiver that takes no more is
    asked no more."""
    tracker.statuses = [500, 500, 500]
    posting = Posting(store, tracker.url)
    assert posting.webhook.deliver() == (2, "the webhook refuses it with status 500")
    assert (set(tracker.issues), posting.slept) == ({"k1", "k2"}, [1.0, 2.0])
    assert str(posting.problem).startswith("1 issues could not be told")
    with store.transaction() as tx:
        triage_tables.open_issues(tx, "p", {"k3": "{}", "k4": "{}"}, 3700.0)
    posting.now, tracker.statuses = 3700.0, [500, 500, 500, 429]
    assert posting.webhook.deliver() == (0, "the webhook refuses it with status 429")
    assert len(tracker.posts) == 5 + 4


def test_who_is_away_costs_one_round_of_tries(store: Store) -> None:
    """The other issues wait with the first; the address is not told."""
    port = free_port()
    posting = Posting(store, f"http://{LOOPBACK}:{port}/secret")
    assert posting.webhook.deliver() == (0, "the webhook cannot be reached (ConnectError)")
    assert posting.slept == [1.0, 2.0]
    assert str(posting.problem).startswith("3 issues could not be told")
    assert "secret" not in str(posting.problem)
    posting.now += 3601.0
    for webhook, token in (("http://xn--.example/", ""), (posting.webhook.settings.webhook, "“t”")):
        posting.webhook.settings = TriageSettings(webhook=webhook, token=token, retries=0)
        assert "cannot be reached" in posting.webhook.deliver()[1], "no request can be made of it"
        posting.now += 3601.0


def test_a_redirect_is_not_followed(store: Store, tracker: IssueTracker) -> None:
    """Neither body nor token go to where the tracker sends them."""
    with IssueTracker().serving() as other:
        tracker.statuses, tracker.elsewhere = [307] * 3, other.url
        posting = Posting(store, tracker.url)
        told, problem = posting.webhook.deliver()
        assert (told, other.posts) == (0, [])
    assert "redirects (status 307)" in problem


def test_a_tracker_that_never_answers_costs_its_time(store: Store, tracker: IssueTracker) -> None:
    """The limit is of the whole call; the issue waits."""
    ends = threading.Event()
    tracker.before_answer = lambda: _wait(ends)
    posting = Posting(store, tracker.url)
    posting.webhook.settings = TriageSettings(webhook=tracker.url, retries=0, timeout_seconds=0.3)
    try:
        assert posting.webhook.deliver() == (0, "the webhook did not answer in 0.3 s")
    finally:
        ends.set()


def _wait(ends: threading.Event) -> None:
    ends.wait(30.0)
