"""DaemonLoop: what control and ingest share; poll, join, score, then the work of the role."""

import abc
import time
from collections.abc import Callable, Iterable, Iterator, KeysView
from dataclasses import dataclass, field
from typing import Any

import structlog

from ...streams.events.event import GenerationEvent
from ...streams.events.generation import Generation
from ...streams.join.arrival import Arrival
from ...streams.join.ingest import Ingest
from ...streams.join.offsets import watermark
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..status.answer_metrics import lag_values, mark_values
from ..status.metrics import Metrics
from ..status.server import StatusServer
from ..supervisor.notify import notify, notify_stopping
from ..telemetry.tracing import Tracing
from .lifecycle import Deadline, Lifecycle
from .timers import Intent, Timers

log = structlog.get_logger()

START_SECONDS = 60
"""How much longer the supervisor waits after each turn of a loop that cannot take in yet."""
LETTING_GO_SECONDS = 15.0
"""What may be needed beyond `stop_seconds`, on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """What a daemon reads, and where it puts it."""

    policy: str
    """Name of the policy."""
    store: Store
    """The state database."""
    ingest: Ingest
    """Takes polls into the store; it has a source."""
    poll_seconds: float
    """Longest wait for records in one turn."""
    poll_records: int
    """Most records in one turn."""
    tracing: Tracing = field(default_factory=Tracing)
    """Makes spans of what is traced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPages:
    """What a daemon shows of itself."""

    server: StatusServer
    """Answers the requests; its vitals are written by the loop."""
    metrics: Metrics
    """The series that the server shows."""


class DaemonLoop(abc.ABC):
    """A daemon's loop. One thread owns all of its state; timers only ask.

    Consumes: records; waits for: records; unblocked by: records, the poll's time limit, a signal;
    produces: episodes with rewards, dead letters, and what the role makes of them.
    """

    role: str
    """In the log's events: `control_started`."""

    def __init__(
        self,
        consumer: Consumer,
        pages: StatusPages,
        timers: Timers,
        *,
        clock: Callable[[], float],
        stop_seconds: float,
    ) -> None:
        self.policy, self.store, self.ingest = consumer.policy, consumer.store, consumer.ingest
        self.poll_seconds, self.poll_records = consumer.poll_seconds, consumer.poll_records
        self.server, self.vitals, self.metrics = pages.server, pages.server.vitals, pages.metrics
        self.tracing = consumer.tracing
        self.timers, self.clock, self.stop_seconds = timers, clock, stop_seconds
        self.lifecycle = Lifecycle()
        self.away: str | None = None
        """What keeps the database from being reached, while it does."""
        self.turned = False
        """Whether a turn was ever seen through: what ends the daemon before has to do with its start."""
        self._taking_in = False
        self._waits, self._named = "", set[str]()

    def run(self) -> None:
        """Turn until asked to stop, then leave nothing half done."""
        with self.lifecycle.signals():
            self.startup()
            try:
                while not self.lifecycle.stopping:
                    self.tick(self.clock())
            finally:
                self.shutdown(Deadline.after(self.stop_seconds))

    def tick(self, now: float) -> None:
        """Turn once; where the database is away, go on from its tables when it is back."""
        try:
            self._turn(now)
        except (ConnectionError, TimeoutError) as problem:
            # Engines, log and MLflow are minded where they are asked: this is the database.
            if self.away is None:
                log.warning("database_away", problem=str(problem))
            self.away = str(problem)
            time.sleep(self.poll_seconds)
        else:
            self.away, self.turned = None, True
        self._tell()

    def _turn(self, now: float) -> None:
        self.prepare(now)
        taken = self.ingest.step(now, self.poll_seconds, self.poll_records)
        self.tracing.joined(_generations(taken.arrived.values()), time.time())
        began = time.perf_counter()
        self.work(now)
        asked = self.timers.drain()
        for intent in asked:
            self.do(intent, now)
        if asked & {Intent.MEASURE, Intent.MIRROR}:
            # One view for all that is counted in a turn.
            with self.store.reading() as view:
                self.measure(asked, view, now)
        self.metrics.ticked(time.perf_counter() - began)

    def startup(self) -> None:
        """Start what asks and answers."""
        self.server.start()
        self.timers.start()
        log.info(f"{self.role}_started", policy=self.policy, **self.names())

    def shutdown(self, deadline: Deadline) -> None:
        """Stop consuming, stop what the role started, and let go, all before the deadline."""
        notify_stopping(deadline.left + LETTING_GO_SECONDS)
        self.timers.stop()
        ended = self.stop_work(deadline)
        self.ingest.source.close()
        self.tracing.close(min(2.0, deadline.left))
        self.server.stop()
        self.store.close()
        log.info(f"{self.role}_stopped", delivered=self.ingest.delivered, **ended)

    @abc.abstractmethod
    def prepare(self, now: float) -> None:
        """Do what has to come before the poll."""

    @abc.abstractmethod
    def work(self, now: float) -> None:
        """Do the role's work after a poll."""

    def do(self, intent: Intent, now: float) -> None:
        """Do what a timer asked for."""
        if intent is Intent.CLOSE_HORIZONS:
            self.ingest.close_horizons(now)

    def measure(self, _asked: KeysView[Intent], view: Transaction, _now: float) -> None:
        """Show what this process reads and took in, and by which mark it closes horizons."""
        self.metrics.show(
            lag_values(self.ingest.source.progress()),
            mark_values(watermark(view, self.policy)),
            {
                "rlwd_feedback_total": dict(self.ingest.told),
                "rlwd_spans_total": self.tracing.counts(),
            },
        )

    @abc.abstractmethod
    def names(self) -> dict[str, Any]:
        """Return what tells this daemon from others."""

    @abc.abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what is in no table: what the loop is at, for the pages."""

    def problems(self) -> dict[str, str | None]:
        """Return what keeps the daemon from being ready, by dependency; None where it works."""
        return {
            "log": self.ingest.problem,
            "database": self.away or self.ingest.away,
            "rewards": self.ingest.joiner.scoring.score.problem,
        }

    @abc.abstractmethod
    def stop_work(self, deadline: Deadline) -> dict[str, Any]:
        """Stop what the role started; return what the log should say of it."""

    def _tell(self) -> None:
        self.vitals.ticked_at = time.monotonic()
        self.vitals.live = {**self.names(), **self.facts(), "delivered": self.ingest.delivered}
        problems = self.problems()
        for dependency, problem in problems.items():
            self.vitals.report(dependency, problem)
        # Each turn, and not when the tables are counted: they may be what is away.
        self.metrics.turned(problems)
        self._tell_supervisor()

    def _tell_supervisor(self) -> None:
        """Say that events are taken in, once; engines and learner are health and not readiness.

        A start that waits for log or database is prolonged as long as the loop turns: ended by the
        supervisor it would only begin again.
        """
        away = self.ingest.problem or self.away or self.ingest.away
        if not self._taking_in and not away:
            self._taking_in = True
            log.info(f"{self.role}_takes_in")
            notify("READY=1")
        if not self._taking_in:
            notify(f"EXTEND_TIMEOUT_USEC={START_SECONDS * 1_000_000}")
        waits = "; ".join(f"{name}: {problem}" for name, problem in self.vitals.problems.items())
        if waits != self._waits:
            self._waits = waits
            notify(f"STATUS={' '.join(waits.split()) or 'all is well'}")
        if self.vitals.problems.keys() != self._named:
            # Not each wording: some say for how long.
            self._named = set(self.vitals.problems)
            log.info(f"{self.role}_health", problems=dict(self.vitals.problems))
        notify("WATCHDOG=1")


def _generations(arrived: Iterable[Arrival]) -> Iterator[tuple[Generation, float]]:
    for one in arrived:
        if isinstance(one.event, GenerationEvent):
            yield one.event.data, one.received
