"""Webhook: posts issues, each until the receiver has it; nothing that it answers is followed or kept.

At least once: whoever dies between a post and its note posts the same bytes under the same key again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx

from ...streams.state.store import Store
from . import triage_tables
from .settings import TriageSettings
from .triage_tables import WaitingIssue

PASSING = frozenset((408, 425, 429))
"""Statuses below 500 after which the same post may succeed by itself."""
FIRST_WAIT = 1.0
"""Seconds before the first try after one that failed; each wait is twice the one before."""


class PostedIssue(NamedTuple):
    """How one post ended."""

    problem: str
    """Why it failed; empty where the receiver has it."""
    passing: bool
    """Whether the same may succeed by itself, for this issue as for others."""


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

        Where nothing answers the rest is not tried: all of it waits for an hour.
        """
        with self.store.reading() as view:
            waiting = triage_tables.waiting_issues(view, self.policy, self.clock())
        told, problem = 0, ""
        for number, one in enumerate(waiting):
            posted = self._tell(one)
            if not posted.problem:
                told += 1
                continue
            problem = posted.problem
            failed = waiting[number:] if posted.passing else [one]
            with self.store.transaction() as tx:
                for each in failed:
                    now = self.clock()
                    triage_tables.note_failed(tx, self.policy, each.key, problem, now)
            if posted.passing:
                break
        return told, problem

    def _tell(self, issue: WaitingIssue) -> PostedIssue:
        wait = FIRST_WAIT
        for tried in range(self.settings.retries + 1):
            posted = asyncio.run(self._post(issue))
            if not posted.problem:
                with self.store.transaction() as tx:
                    triage_tables.note_told(tx, self.policy, issue.key, self.clock())
                return posted
            if not posted.passing or tried == self.settings.retries:
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
                    timeout=None, trust_env=False, follow_redirects=False, headers=headers
                ) as client,
                client.stream("POST", self.settings.webhook, content=issue.body) as response,
            ):
                status = response.status_code
        except TimeoutError:
            return PostedIssue(f"the webhook did not answer in {seconds:g} s", True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as problem:
            # Its words may name the address, which may be a secret.
            return PostedIssue(f"the webhook cannot be reached ({type(problem).__name__})", True)
        if 200 <= status < 300:
            return PostedIssue("", False)
        if 300 <= status < 400:
            return PostedIssue(
                f"the webhook redirects (status {status}), which is not followed", False
            )
        passing = status >= 500 or status in PASSING
        return PostedIssue(f"the webhook refuses it with status {status}", passing)
