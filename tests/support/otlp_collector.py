"""OtlpCollector: a small collector of traces, by OTLP over HTTP and the published protocol buffers."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from rlwd.ops.servers.process import LOOPBACK


class Collected(NamedTuple):
    """One span as it arrived."""

    service: str
    """Which process made it."""
    name: str
    """What it is of."""
    trace: str
    """Id of its trace, hex."""
    span: str
    """Its own id, hex."""
    parent: str
    """Id of the span that it is part of, hex; empty where it begins the trace."""
    seconds: float
    """How long it took."""
    attributes: dict[str, Any]
    """What it says."""


class OtlpCollector:
    """Keeps every span; away, it refuses them, and slow, it holds each message until it is let go."""

    def __init__(self) -> None:
        self.spans: list[Collected] = []
        self.bodies: list[bytes] = []
        self.away = False
        self.goes_on = threading.Event()
        self.goes_on.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            """Takes messages at the path that OTLP names."""

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                collector.goes_on.wait(30.0)
                status = 404 if self.path != "/v1/traces" else 400 if collector.away else 200
                if status == 200:
                    packed = self.headers.get("Content-Encoding") == "gzip"
                    collector.take(gzip.decompress(raw) if packed else raw)
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self.server.server_address[1]}"

    def take(self, raw: bytes) -> None:
        """Decode a message and keep its spans."""
        self.bodies.append(raw)
        for of_process in ExportTraceServiceRequest.FromString(raw).resource_spans:
            about = _attributes(of_process.resource.attributes)
            for scope in of_process.scope_spans:
                self.spans += [
                    Collected(
                        about["service.name"],
                        one.name,
                        one.trace_id.hex(),
                        one.span_id.hex(),
                        one.parent_span_id.hex(),
                        (one.end_time_unix_nano - one.start_time_unix_nano) / 1e9,
                        _attributes(one.attributes),
                    )
                    for one in scope.spans
                ]

    def of(self, generation: str) -> list[Collected]:
        """Return the spans of one answer."""
        return [one for one in self.spans if one.attributes["rlwd.generation_id"] == generation]


@contextmanager
def collecting() -> Iterator[OtlpCollector]:
    """Run a collector on a free port."""
    collector = OtlpCollector()
    thread = threading.Thread(target=collector.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collector
    finally:
        collector.goes_on.set()
        collector.server.shutdown()
        thread.join()
        collector.server.server_close()


def _attributes(found: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in found}
