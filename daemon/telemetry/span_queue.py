"""SpanQueue: spans on their way to a collector, which nobody waits for."""

import threading
from collections import deque

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = structlog.get_logger()

AT_ONCE = 512
"""Most spans in one message."""
FLUSH_SECONDS = 1.0
"""Longest wait of a span before it is sent."""


class SpanQueue(SpanProcessor):
    """A bounded queue with a thread; the SDK's own says of what it drops only that it does.

    Consumes: ended spans; waits for: `FLUSH_SECONDS`; unblocked by: `shutdown`; produces: messages to
    the collector. Where that is away or too slow the queue fills, and what comes then is dropped.
    """

    def __init__(self, exporter: SpanExporter, most: int) -> None:
        self.exporter, self.most = exporter, most
        self.sent, self.dropped = 0, 0
        self._waiting: deque[ReadableSpan] = deque()
        self._away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only what ended is sent."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, or drop it; at once either way."""
        if len(self._waiting) >= self.most:
            self.dropped += 1
        else:
            self._waiting.append(span)

    def stop(self, seconds: float) -> None:
        """Send what waits, for so long at most; what is left then is dropped."""
        self._stopping.set()
        self._thread.join(seconds)
        self.exporter.shutdown()
        self._thread.join(seconds)
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return whether nothing waits; the thread sends by itself."""
        return not self._waiting

    def _run(self) -> None:
        while not self._stopping.wait(FLUSH_SECONDS):
            self._send()
        self._send()

    def _send(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            try:
                sent = self.exporter.export(batch) is SpanExportResult.SUCCESS
            except Exception:
                log.exception("otlp_failed")
                sent = False
            if sent:
                self.sent += len(batch)
            else:
                self.dropped += len(batch)
            if sent is self._away:
                self._away = not sent
                (log.info if sent else log.warning)("otlp_back" if sent else "otlp_away")
