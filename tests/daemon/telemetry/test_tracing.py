"""Traces: an answer's begins in the gateway, goes with its record, and costs nobody an answer."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from daemon_by_hand import open_daemon_ledger
from gateway_rig import CHAT, HELLO, GatewayRig, LoopThread
from otlp_collector import OtlpCollector, collecting
from prometheus_client import generate_latest
from sessions_by_hand import answered
from waiting import until

from rlwd.daemon.control.ingest_loop import INGEST_PERIODS, IngestLoop
from rlwd.daemon.control.loop import Consumer, StatusPages
from rlwd.daemon.control.timers import Intent, Timers
from rlwd.daemon.gateway.settings import GatewaySettings
from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.server import StatusServer, Vitals
from rlwd.daemon.telemetry.open_tracing import open_tracing
from rlwd.daemon.telemetry.sdk_tracing import SdkTracing
from rlwd.daemon.telemetry.telemetry_settings import TelemetrySettings
from rlwd.daemon.telemetry.tracing import Tracing
from rlwd.ops.servers.process import LOOPBACK, free_port
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource

SAID = "where is the quixotic parcel"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[OtlpCollector]:
    """A collector of this test's own."""
    with collecting() as collector:
        yield collector


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayRig]:
    """A gateway on a fake engine, not open yet."""
    loop = LoopThread()
    try:
        with ExitStack() as stack:
            rig = GatewayRig(tmp_path, loop, stack)
            rig.set_flags()
            yield rig
    finally:
        loop.close()


def traced(collector: OtlpCollector, share: float = 1.0, queue: int = 100) -> Tracing:
    """Return what makes the spans of a gateway."""
    settings = TelemetrySettings(otlp_endpoint=collector.url, share=share, queue=queue)
    return open_tracing(settings, "gateway", "policy")


def ask(client: httpx.Client, traceparent: str = "") -> str:
    """Ask for an answer; return its id."""
    headers = {"traceparent": traceparent} if traceparent else {}
    answer = client.post(
        CHAT, json={**HELLO, "messages": [{"role": "user", "content": SAID}]}, headers=headers
    )
    assert answer.status_code == 200
    return str(answer.json()["id"])


def test_an_answer_is_a_span_and_its_record_carries_it(
    gateway: GatewayRig, collector: OtlpCollector
) -> None:
    """It says which answer, version and variant, how it ended and how long it took; no text, no user."""
    name = ask(gateway.open(tracing=traced(collector)))
    until(lambda: bool(collector.spans))
    (span,) = collector.spans
    (event,) = gateway.sink.generations(1)
    assert event.traceparent == f"00-{span.trace}-{span.span}-01"
    assert (span.service, span.name, span.parent) == ("rlwd-gateway", "chat", "")
    assert span.attributes["rlwd.generation_id"] == name
    assert span.attributes["gen_ai.response.model"] == event.version
    assert span.attributes["rlwd.variant"] == "champion"
    assert span.attributes["http.response.status_code"] == 200
    assert span.seconds == pytest.approx(event.latency_seconds, abs=1e-3)
    raw = b"".join(collector.bodies)
    for text in (event.text, SAID, event.user_hash):
        assert text
        assert text.encode() not in raw


def test_taking_it_in_is_a_span_of_the_same_trace(
    gateway: GatewayRig, collector: OtlpCollector, tmp_path: Path
) -> None:
    """The daemon that reads the log goes on in the answer's trace: from its receipt to its being known."""
    log = tmp_path / "log.db"
    name = ask(gateway.open(lambda: EmbeddedSink(log), tracing=traced(collector)))
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    topics = (GatewaySettings().generations_topic, GatewaySettings().feedback_topic)
    ingest = Ingest(ledger.store, ledger.joiner, lambda resume: EmbeddedSource(log, topics, resume))
    metrics = Metrics()
    settings = TelemetrySettings(otlp_endpoint=collector.url)
    daemon = IngestLoop(
        Consumer(
            policy="policy",
            store=ledger.store,
            ingest=ingest,
            poll_seconds=0.05,
            poll_records=100,
            tracing=open_tracing(settings, "ingest", "policy"),
        ),
        StatusPages(
            server=StatusServer(Vitals(), metrics.registry, dict, host=LOOPBACK, port=free_port()),
            metrics=metrics,
        ),
        Timers(INGEST_PERIODS),
        stop_seconds=10.0,
        clock=time.time,
    )

    def both() -> bool:
        daemon.tick(time.time())
        return len(collector.of(name)) == 2

    until(both)
    chat, join = sorted(collector.of(name), key=lambda span: span.name)
    assert (chat.name, join.name, join.service) == ("chat", "join", "rlwd-ingest")
    assert (join.trace, join.parent) == (chat.trace, chat.span)
    assert join.seconds >= 0.0
    daemon.timers.ask(Intent.MEASURE)
    daemon.tick(time.time())
    assert b'rlwd_spans_total{outcome="sent"} 1.0' in generate_latest(metrics.registry)
    daemon.tracing.close(5.0)
    ingest.source.close()


def test_the_callers_trace_goes_on(gateway: GatewayRig, collector: OtlpCollector) -> None:
    """Under a sampled one whatever the share; under one that is not sampled, never; damaged, anew."""
    client = gateway.open(tracing=traced(collector, share=0.0))
    names = [ask(client, f"00-{TRACE}-{SPAN}-{flags}") for flags in ("01", "00")]
    ask(client)
    ask(client, "00-no-trace-01")
    first, *others = gateway.sink.generations(4)
    until(lambda: bool(collector.spans))
    (span,) = collector.spans
    assert first.generation_id == names[0] == span.attributes["rlwd.generation_id"]
    assert (span.trace, span.parent) == (TRACE, SPAN)
    assert first.traceparent == f"00-{TRACE}-{span.span}-01"
    assert [one.traceparent for one in others] == ["", "", ""]


def test_a_share_of_answers_is_traced(gateway: GatewayRig, collector: OtlpCollector) -> None:
    """About half of them at 0.5, and exactly those whose record says so."""
    client = gateway.open(tracing=traced(collector, share=0.5))
    for _ in range(60):
        ask(client)
    carried = {one.generation_id for one in gateway.sink.generations(60) if one.traceparent}
    until(lambda: {one.attributes["rlwd.generation_id"] for one in collector.spans} == carried)
    assert 10 < len(carried) < 50


def test_a_collector_that_is_slow_or_away_delays_nobody(
    gateway: GatewayRig, collector: OtlpCollector
) -> None:
    """Answers go out; what the queue does not hold is dropped, and each span is counted once."""
    tracing = traced(collector, queue=5)
    assert isinstance(tracing, SdkTracing)
    client = gateway.open(tracing=tracing)
    collector.goes_on.clear()
    for _ in range(20):
        ask(client)
    # Held by the collector, waiting or dropped: nobody waited for it.
    until(lambda: tracing.counts()["dropped"] > 0)
    page = client.get("/metrics").text
    assert 'rlwd_gateway_spans_total{outcome="dropped"}' in page
    collector.away = True
    collector.goes_on.set()
    until(lambda: tracing.counts()["dropped"] == 20)
    assert collector.spans == []
    collector.away = False
    ask(client)
    until(lambda: tracing.counts() == {"sent": 1, "dropped": 20})


def test_without_a_collector_nothing_is_traced(gateway: GatewayRig) -> None:
    """It is off by default: a caller's header is ignored, and the SDK is not even imported."""
    client = gateway.open()
    ask(client, f"00-{TRACE}-{SPAN}-01")
    (event,) = gateway.sink.generations(1)
    assert event.traceparent == ""
    assert type(open_tracing(TelemetrySettings(), "gateway", "policy")) is Tracing


def test_a_time_before_1970_costs_no_other_span(collector: OtlpCollector) -> None:
    """A record that carries no time is traced from 1970 on, and what goes with it is not dropped."""
    tracing = traced(collector)
    for received in (-0.001, time.time()):
        said = answered("g1", 0.0, traceparent=f"00-{TRACE}-{SPAN}-01").data
        tracing.joined([(said, received)], time.time())
    until(lambda: sum(tracing.counts().values()) == 2)
    assert tracing.counts() == {"sent": 2, "dropped": 0}
    tracing.close(5.0)
