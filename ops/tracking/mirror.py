"""Mirror: tells MLflow what happens, from a thread of its own; it never decides and never blocks.

MLflow's own asynchronous queue is unbounded and its exit hook waits for the drain: with the server
away a stop can take minutes (measured: 4 at the default 7 retries).
"""

import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from ...streams.redaction.privacy import PrivacySettings
from ...streams.state.store import Store
from ..statistics.verdict import Verdict
from .mirror_settings import MirrorSettings, limit_requests
from .outbox import AliasEntry, CandidateEntry, EvidenceEntry, Outbox, OutcomeEntry
from .trace_queue import TraceQueue

if TYPE_CHECKING:
    from .mlflow_client import ModelRegistry

log = structlog.get_logger()

BATCH = 1000
"""Most points of one call; the server's limit."""

_Point = tuple[str, str, float, int, int]
"""Run key, metric name, value, epoch milliseconds, step."""


class Mirror:
    """A bounded queue of metrics, a file of registry operations, and the thread that empties both.

    Thread `mlflow-mirror` consumes the two, and what `traces` reads from the tables; waits for `flush_seconds`, longer while the server is
    away; is unblocked by `close`; produces calls to MLflow. No caller waits for it or sees its
    errors. A process that ends takes it along: what the file holds is sent in the next life.
    """

    def __init__(
        self,
        settings: MirrorSettings,
        policy: str,
        folder: Path,
        store: Store | None = None,
        privacy: PrivacySettings | None = None,
    ) -> None:
        self.settings, self.policy = settings, policy
        self.enabled = bool(settings.tracking_uri)
        self.life = uuid.uuid4().hex[:12]
        self.dropped = 0
        """Metric points that found no room, oldest first."""
        self.non_finite = 0
        """Values left out: infinity comes back from MLflow as 1.8e308 and ruins every plot."""
        self.refused = 0
        """Operations that the server understood and declined; logged, then let go."""
        self.sent = 0
        """Metric points written."""
        self._spool = Outbox(folder / "mlflow_spool.jsonl") if self.enabled else None
        traced = self.enabled and store
        self.traces = TraceQueue(settings, policy, store, privacy) if traced and store else None
        """Answers on their way from the tables to MLflow; None without tables or server."""
        self._points: deque[_Point] = deque()
        self._lock = threading.Lock()
        self._wake, self._closing = threading.Event(), False
        self._registry: ModelRegistry | None = None
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> int:
        """Registry operations that MLflow has not confirmed."""
        return 0 if self._spool is None else len(self._spool)

    @property
    def waiting(self) -> int:
        """Metric points that wait to be written."""
        return len(self._points)

    def start(self) -> None:
        """Start the thread; what an earlier life left behind goes first."""
        if self.enabled and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mlflow-mirror", daemon=True)
            self._thread.start()

    def metrics(self, run_key: str, step: int, values: Mapping[str, float], at: float) -> None:
        """Queue points for a version's run, or the daemon's own where it is "parent".

        `at` is the time of the event: the same point sent again is then stored once.
        """
        if not self.enabled:
            return
        stamp = int(at * 1000)
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        with self._lock:
            self.non_finite += len(values) - len(finite)
            for name, value in finite.items():
                self._points.append((run_key, name, float(value), stamp, step))
            self._make_room()

    def candidate(
        self,
        version: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        adapter_path: Path,
        at: float,
    ) -> None:
        """Mirror a version: nested run, adapter files, registered model version. v0 too."""
        if self._spool is None:
            return
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self.non_finite += len(metrics) - len(finite)
        self._spool.append(
            CandidateEntry(
                version=version,
                life=self.life,
                at=at,
                tags={name: str(value) for name, value in tags.items()},
                params={name: str(value) for name, value in params.items()},
                metrics=finite,
                adapter_path=str(adapter_path),
            )
        )

    def alias(self, aliases: Mapping[str, str | None]) -> None:
        """Mirror who is champion, challenger, previous, anchor; None takes an alias away."""
        if self._spool is not None:
            self._spool.append(AliasEntry(aliases=dict(aliases)))

    def outcome(self, version: str, outcome: str, reason: str, at: float | None = None) -> None:
        """Mirror what became of a version, and when; None is now."""
        if self._spool is not None:
            at = time.time() if at is None else at
            self._spool.append(
                OutcomeEntry(
                    version=version, life=self.life, outcome=str(outcome), reason=reason, at=at
                )
            )

    def evidence(self, version: str, verdict: Verdict, at: float) -> None:
        """Mirror what the gate said of a version: reasons and numbers, its suites' too."""
        if self._spool is not None:
            finite = {name: one for name, one in verdict.numbers.items() if math.isfinite(one)}
            said = msgspec.structs.replace(verdict, numbers=finite)
            entry = EvidenceEntry(version=version, life=self.life, verdict=said, at=at)
            self._spool.append(entry)

    def settle(self) -> None:
        """Note in the tables which traces were written; for the thread that owns the tables."""
        if self.traces is not None:
            self.traces.settle()

    def close(self, timeout_seconds: float) -> bool:
        """Write what can be written in this time; return whether nothing was left."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        return not self.pending and not self.waiting

    def _make_room(self) -> None:
        while len(self._points) > self.settings.waiting_points:
            self._points.popleft()
            self.dropped += 1

    def _run(self) -> None:
        pause = self.settings.flush_seconds
        while True:
            self._wake.wait(0 if self._closing else pause)
            closing = self._closing
            try:
                self._flush()
                if closing:
                    self._connected().finish(self.life)
                pause = self.settings.flush_seconds
            except Exception as error:  # noqa: BLE001  top of the loop
                pause = min(2 * pause, self.settings.retry_seconds)
                from .mlflow_client import said_by

                log.warning("mlflow_unreachable", error=said_by(error), retry_seconds=pause)
            if closing:
                return

    def _connected(self) -> "ModelRegistry":
        if self._registry is None:
            limit_requests(self.settings)
            from .mlflow_client import ModelRegistry  # 1.2 to 3.4 s, so not at start

            experiment = self.settings.experiment_of(self.policy)
            self._registry = ModelRegistry(self.settings.tracking_uri, self.policy, experiment)
            self._registry.open(self.life, time.time())
        return self._registry

    def _flush(self) -> None:
        """Write registry operations in order, then metrics; raise where the server is away."""
        registry = self._connected()
        assert self._spool is not None
        while (entry := self._spool.first()) is not None:
            self._insist(registry, partial(registry.apply, entry))
            self._spool.done()
        while points := self._take():
            try:
                self._write(registry, points)
            finally:
                with self._lock:
                    self._points.extendleft(reversed(points))
                    self._make_room()
        if self.traces is not None:
            from .mlflow_traces import TraceWriter

            self.traces.flush(TraceWriter(registry), partial(self._insist, registry))

    def _take(self) -> list[_Point]:
        """Take the oldest points."""
        with self._lock:
            return [self._points.popleft() for _ in range(min(BATCH, len(self._points)))]

    def _write(self, registry: "ModelRegistry", points: list[_Point]) -> None:
        """Write points run by run, and take out of the list what was written."""
        for key in dict.fromkeys(point[0] for point in points):
            own = [point for point in points if point[0] == key]
            values = [(name, value, stamp, step) for _, name, value, stamp, step in own]
            began = own[0][3] / 1000
            self._insist(registry, partial(registry.log, key, self.life, values, began))
            self.sent += len(own)
            points[:] = [point for point in points if point[0] != key]

    def _insist(self, registry: "ModelRegistry", operation: Callable[[], None]) -> None:
        """Run an operation; one that the server declines is run once more with nothing remembered."""
        from .mlflow_client import MLFLOW_ERRORS, refused, said_by

        try:
            operation()
        except MLFLOW_ERRORS as error:
            if not refused(error):
                raise
            registry.forget()
            try:
                operation()
            except MLFLOW_ERRORS as again:
                if not refused(again):
                    raise
                self.refused += 1
                log.warning("mlflow_refused", error=said_by(again))
