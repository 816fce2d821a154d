"""Posting: the feedback that waits is sent to the gateway, again and again under the same id."""

from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import structlog

from ...streams.state.store import Store

log = structlog.get_logger()

AT_ONCE = 100
KEPT_SECONDS = 7 * 86400.0
"""How long feedback is offered to a gateway that does not take it."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
_TAKEN = (202, 207)
_NEVER = (400, 413)
"""Statuses of a whole post by which the gateway says that it will never take the same. Any other may be
somebody else's: of a proxy, a page to log in, a gateway that is being moved."""
_LATER_EACH = frozenset((429, 500, 503))
"""Those of one feedback; a 4xx of one says that it will never be taken."""


class _Result(msgspec.Struct, frozen=True):
    status: int
    error: Any = None


class _Answer(msgspec.Struct, frozen=True):
    results: list[_Result]


@dataclass(slots=True, kw_only=True)
class FeedbackPoster:
    """Empties the outbox into a gateway."""

    store: Store
    """The state that has the outbox."""
    client: httpx.Client
    """Knows the gateway's address and the token."""
    pause: float = 0.0
    """How long the gateway is left alone after it failed; 0 while it takes what it is given."""
    next_try: float = 0.0
    """When it may be asked again, epoch seconds."""

    def post(self, now: float) -> int:
        """Send what waits; return how much still does. What is never taken is logged and dropped."""
        self._drop_old(now)
        while now >= self.next_try and (waiting := self._waiting()):
            answered = self._send(waiting, now)
            if not answered:
                break
            with self.store.transaction() as tx:
                for name in answered:
                    tx.execute("DELETE FROM outbox WHERE feedback_id = ?", (name,))
            if len(answered) < len(waiting):
                self._leave_alone(now, "the gateway takes no more for now")
                break
        with self.store.reading() as view:
            return int(view.execute("SELECT COUNT(*) FROM outbox").fetchone()[0])

    def _waiting(self) -> list[tuple[str, bytes]]:
        with self.store.reading() as view:
            return list(
                view.execute(
                    "SELECT feedback_id, body FROM outbox ORDER BY made, feedback_id LIMIT ?",
                    (AT_ONCE,),
                ).fetchall()
            )

    def _send(self, waiting: list[tuple[str, bytes]], now: float) -> list[str]:
        """Return the ids that need not be sent again."""
        body = b"[" + b",".join(one for _, one in waiting) + b"]"
        headers = {"Content-Type": "application/json"}
        try:
            answer = self.client.post("/v1/feedback", content=body, headers=headers)
        except httpx.HTTPError as problem:
            self._leave_alone(now, f"{type(problem).__name__}: {problem}")
            return []
        if answer.status_code == 413 and len(waiting) > 1:
            # Fewer at once may be small enough.
            return self._send(waiting[: len(waiting) // 2], now)
        if answer.status_code in _NEVER:
            log.error("feedback_dropped", status=answer.status_code, answer=answer.text[:200])
            return [name for name, _ in waiting]
        results = _results(answer, len(waiting))
        if results is None:
            self._leave_alone(now, f"HTTP {answer.status_code}", _seconds(answer))
            return []
        self.pause = 0.0
        done = []
        for (name, _), result in zip(waiting, results, strict=True):
            if result.status not in (202, *_LATER_EACH):
                log.warning("feedback_dropped", feedback=name, why=result.error)
            if result.status not in _LATER_EACH:
                done.append(name)
        return done

    def _leave_alone(self, now: float, why: str, asked: float = 0.0) -> None:
        self.pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self.pause, asked))
        self.next_try = now + self.pause
        log.warning("gateway_not_reached", why=why, next_try_seconds=self.pause)

    def _drop_old(self, now: float) -> None:
        with self.store.transaction() as tx:
            gone = tx.execute("DELETE FROM outbox WHERE made < ?", (now - KEPT_SECONDS,)).rowcount
        if gone > 0:
            log.error("feedback_dropped", count=gone, why="no gateway took it for a week")


def _results(answer: httpx.Response, count: int) -> list[_Result] | None:
    """Return what became of each feedback; None where it is no gateway that answers so."""
    if answer.status_code not in _TAKEN:
        return None
    try:
        found = msgspec.json.decode(answer.content, type=_Answer).results
    except ValueError:  # msgspec's, or of bytes that are no text
        return None
    return found if len(found) == count else None


def _seconds(answer: httpx.Response) -> float:
    try:
        return float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
