"""Mirror: tells MLflow what happens, from a thread of its own; it never decides and never blocks.

MLflow's own asynchronous queue is unbounded and its exit hook waits for the drain, so that a stop
can take minutes while the server is away (measured: 4 minutes at the default 7 retries).
"""

import math
import os
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

from ..statistics.verdict import Verdict
from .outbox import AliasEntry, CandidateEntry, EvidenceEntry, Outbox, OutcomeEntry

if TYPE_CHECKING:
    from .mlflow_client import ModelRegistry

log = structlog.get_logger()

BATCH = 1000
"""Most points of one call; the server's limit."""

_Point = tuple[str, str, float, int, int]
"""Run key, metric name, value, epoch milliseconds, step."""


class MirrorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where MLflow is, and how much may wait for it. Times in seconds."""

    tracking_uri: str = ""
    """Such as http://127.0.0.1:5000; empty switches the mirror off."""
    experiment: str = ""
    """Name of the experiment; empty takes `rlwd/` and the policy's name."""
    flush_seconds: float = 2.0
    """Pause between writes."""
    waiting_points: int = 50_000
    """Metric points that may wait; beyond, the oldest are dropped and counted."""
    retry_seconds: float = 60.0
    """Longest pause between attempts while the server is away; it doubles up to this."""
    request_seconds: float = 10.0
    """Time limit of one request."""
    request_retries: int = 2
    """Retries within one request: 5 s against a server that is down (measured)."""

    def __post_init__(self) -> None:
        if self.flush_seconds <= 0 or self.waiting_points < 1 or self.request_retries < 0:
            raise ValueError("flush_seconds and waiting_points must be above 0, retries not below")


class Mirror:
    """A bounded queue of metrics, a file of registry operations, and the thread that empties both.

    Thread `mlflow-mirror` consumes the two; waits for `flush_seconds`, longer while the server is
    away; is unblocked by `close`; produces calls to MLflow. No caller waits for it or sees its
    errors. A process that ends takes it along: what the file holds is sent in the next life.
    """

    def __init__(self, settings: MirrorSettings, policy: str, folder: Path) -> None:
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
        with self._lock:
            for name, value in values.items():
                if not math.isfinite(value):
                    self.non_finite += 1
                    continue
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
                log.warning("mlflow_unreachable", error=str(error)[:300], retry_seconds=pause)
            if closing:
                return

    def _connected(self) -> "ModelRegistry":
        if self._registry is None:
            retries, seconds = self.settings.request_retries, self.settings.request_seconds
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(retries))
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(math.ceil(seconds)))
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            # It prints a line for every run that ends; standard output is not ours to litter.
            os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
            from .mlflow_client import ModelRegistry  # 1.2 to 3.4 s, so not at start

            experiment = self.settings.experiment or f"rlwd/{self.policy}"
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
        from .mlflow_client import MLFLOW_ERRORS, refused

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
                log.warning("mlflow_refused", error=str(again)[:300])
