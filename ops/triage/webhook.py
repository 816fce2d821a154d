"""Webhook: posts issues, each until the receiver has it; nothing that it answers is followed or kept.

At least once: whoever dies between a post and its note posts the same bytes under the same key again.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import httpx

from ...streams.authorities import authorities
from ...streams.state.store import Store
from . import triage_tables
from .settings import TriageSettings
from .triage_tables import WaitingIssue

PASSING = frozenset((408, 425, 429))
"""Statuses below 500 after which the same post may succeed by itself."""
FIRST_WAIT = 1.0
"""Seconds before the first try after one that failed; each wait is twice the one before."""
SILENT_IN_A_ROW = 3
"""So many issues one after the other that nothing was answered to: it is not for what is in one of them."""
TOO_MANY = 429
"""The status by which a receiver takes no more for now, whatever it is."""


class PostedIssue(NamedTuple):
    """How one post ended."""

    problem: str
    """Why it failed; empty where the receiver has it."""
    passing: bool
    """Whether the same may succeed by itself."""
    is_silent: bool = False
    """Whether nothing was answered within the time."""
    is_away: bool = False
    """Whether no other issue would be taken now, either."""


class Webhook:
    """Posts what waits. Not thread-safe; a process of its own calls it, and no loop waits for it."""

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: TriageSettings,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`settings` have their secrets in place of what names them."""
        self.store, self.policy, self.settings = store, policy, settings
        self.clock, self.sleep = clock, sleep

    def deliver(self) -> tuple[int, str]:
        """Post what waits, each with its tries; return how many the receiver has, and what failed last.

        An issue that a receiver stumbles over holds up no other; once one failed for now, each of the others
        has one try. Where nothing is taken at all the rest is not tried: all of it waits for an hour.
        """
        with self.store.reading() as view:
            waiting = triage_tables.waiting_issues(view, self.policy, self.clock())
        told, problem, retries, silent = 0, "", self.settings.retries, 0
        for number, one in enumerate(waiting):
            posted = self._tell(one, retries)
            silent = silent + 1 if posted.is_silent else 0
            if not posted.problem:
                told += 1
                continue
            problem, retries = posted.problem, 0 if posted.passing else retries
            ends = posted.is_away or silent == SILENT_IN_A_ROW
            self._note_failed(waiting[number:] if ends else [one], problem)
            if ends:
                break
        return told, problem

    def _note_failed(self, issues: Iterable[WaitingIssue], problem: str) -> None:
        now = self.clock()
        with self.store.transaction() as tx:
            for each in issues:
                triage_tables.note_failed(tx, self.policy, each.key, problem, now)

    def _tell(self, issue: WaitingIssue, retries: int) -> PostedIssue:
        wait = FIRST_WAIT
        for tried in range(retries + 1):
            posted = asyncio.run(self._post(issue))
            if not posted.problem:
                with self.store.transaction() as tx:
                    triage_tables.note_told(tx, self.policy, issue.key, self.clock())
                return posted
            if not posted.passing or tried == retries:
                break
            self.sleep(wait)
            wait *= 2
        return posted

    async def _post(self, issue: WaitingIssue) -> PostedIssue:
        token = self.settings.token
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": issue.key,
            "User-Agent": "rlwd-triage",
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        seconds = self.settings.timeout_seconds
        try:
            # A limit of each read alone is none for a server that sends a byte now and then.
            async with (
                asyncio.timeout(seconds),
                httpx.AsyncClient(
                    timeout=None,
                    verify=authorities(),
                    trust_env=False,
                    follow_redirects=False,
                    headers=headers,
                ) as client,
                client.stream("POST", self.settings.webhook, content=issue.body) as response,
            ):
                status = response.status_code
        except TimeoutError:
            return PostedIssue(f"the webhook did not answer in {seconds:g} s", True, is_silent=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as problem:
            # Its words may name the address, which may be a secret.
            why = f"the webhook cannot be reached ({type(problem).__name__})"
            return PostedIssue(why, True, is_away=True)
        if 200 <= status < 300:
            return PostedIssue("", False)
        if 300 <= status < 400:
            return PostedIssue(
                f"the webhook redirects (status {status}), which is not followed", False
            )
        passing = status >= 500 or status in PASSING
        why = f"the webhook refuses it with status {status}"
        return PostedIssue(why, passing, is_away=status == TOO_MANY)
