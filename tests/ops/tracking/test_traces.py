"""Sessions in MLflow: from the log's records through the tables and the mirror to a real server.

Locked here: a turn is a trace of its session with its calls as spans and what was said of it as
assessments; a person finds it by MLflow's own search; writing again, a restart, and a server that was
away change nothing; what is forgotten here is forgotten there.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_by_hand import FEEDBACK, GENERATIONS, SPEC, Ledger, feedback
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Feedback
from mlflow.tracing.client import TracingClient
from traced_by_hand import HERS, VERSION, rate, serve_refund, take_it, turn_down
from waiting import until

from rlwd.ops.servers.mlflow_server import MlflowServer
from rlwd.ops.tracking.mirror import Mirror
from rlwd.ops.tracking.mirror_settings import MirrorSettings
from rlwd.ops.tracking.trace_record import trace_id_of
from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.events.signals import Accepted
from rlwd.streams.join.erasure import erase
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.open import open_store
from rlwd.streams.redaction.privacy import PrivacySettings

pytestmark = pytest.mark.mlflow
SHARED = PrivacySettings(purposes=("count", "train", "share"))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A joiner that notes every session."""
    store = open_store(tmp_path / "rlwd.db")
    joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, trace_share=1.0)
    ledger = Ledger(store, joiner)
    with store.transaction() as tx:
        ledger.ends = joiner.resume(tx, [GENERATIONS, FEEDBACK])
    return ledger


@contextlib.contextmanager
def mirrored(uri: str, experiment: str, ledger: Ledger, folder: Path) -> Iterator[Mirror]:
    """Run a mirror on a ledger's tables until all is told."""
    settings = MirrorSettings(
        tracking_uri=uri,
        experiment=experiment,
        flush_seconds=0.05,
        retry_seconds=0.5,
        traces_per_second=1000.0,
    )
    mirror = Mirror(settings, "policy", folder, ledger.store, SHARED)
    mirror.start()
    yield mirror
    until(lambda: told(mirror))
    assert mirror.close(60.0)
    assert mirror.refused == 0


def told(mirror: Mirror) -> bool:
    """Note what was told, as the loop does; return whether nothing waits."""
    mirror.settle()
    assert mirror.traces is not None
    return mirror.traces.waiting == 0


class Search:
    """MLflow's own search in an experiment."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.client = MlflowClient(uri)
        found = self.client.get_experiment_by_name(experiment)
        assert found is not None
        self.experiment_id = found.experiment_id

    def traces(self, expression: str = "", *, spans: bool = True) -> list[Any]:
        """Return the traces that an expression finds."""
        return list(
            self.client.search_traces(
                locations=[self.experiment_id], filter_string=expression, include_spans=spans
            )
        )

    def names(self, expression: str = "") -> list[str]:
        """Return the ids of the answers that an expression finds."""
        return sorted(one.info.client_request_id for one in self.traces(expression, spans=False))


def test_a_person_finds_what_was_turned_down_by_v17_after_a_tool_failed(
    mlflow_server: MlflowServer, ledger: Ledger, tmp_path: Path
) -> None:
    """Each expression of the docs finds its answers in MLflow, and no other."""
    first, second = serve_refund(ledger, "a", 1000.0)
    other = serve_refund(ledger, "b", 2000.0, "b2" * 16)
    turn_down(ledger, first, 1020.0)
    rate(ledger, first, 0.25, 1021.0)
    take_it(ledger, second, 1022.0)
    take_it(ledger, other[0], 2022.0)
    with mirrored(mlflow_server.url, "found", ledger, tmp_path):
        pass
    search = Search(mlflow_server.url, "found")
    for expression, found in {
        "": [first, second, other[0]],
        "tags.step = 'v17' AND feedback.act = 'rejected' AND feedback.tool = 'failed'": [first],
        "tags.tools = 'failed'": [first, other[0]],
        "feedback.reward < 0.5": [first],
        "feedback.rated <= 0.5": [first],
        f"tags.version = '{VERSION}' AND tags.variant = 'candidate'": [first, second, other[0]],
        "tags.segment = 'support' AND tags.harness = 'desk 4.2'": [first, second, other[0]],
        "metadata.`mlflow.trace.session` = 'b'": [other[0]],
        f"metadata.`mlflow.trace.user` = '{HERS}'": [first, second],
        "span.type = 'TOOL' AND span.status = 'ERROR'": [first, other[0]],
        "trace.text LIKE '%money back%'": [first, other[0]],
        f"trace.client_request_id = '{second}'": [second],
    }.items():
        assert search.names(expression) == sorted(found), expression


def test_a_turn_is_a_trace_with_its_calls_and_what_was_said_of_it(
    mlflow_server: MlflowServer, ledger: Ledger, tmp_path: Path
) -> None:
    """Text, reasoning, the call with what came back, feedback of people and code, reward and parts."""
    first, _ = serve_refund(ledger, "a", 1000.0)
    turn_down(ledger, first, 1020.0)
    with mirrored(mlflow_server.url, "shape", ledger, tmp_path):
        pass
    (trace,) = Search(mlflow_server.url, "shape").traces()
    info, (turn, answer, call) = trace.info, trace.data.spans
    assert info.trace_id == trace_id_of("shape", first)
    assert (info.client_request_id, info.state.value) == (first, "OK")
    assert (info.request_time, info.execution_duration) == (1_000_000, 1500)
    assert info.request_preview == "I want my money back for order 4711."
    assert info.response_preview == "Let me look that up."
    assert info.trace_metadata["mlflow.trace.session"] == "a"
    assert info.token_usage["total_tokens"] == 143
    assert [span.span_type for span in (turn, answer, call)] == ["AGENT", "CHAT_MODEL", "TOOL"]
    assert {answer.parent_id, call.parent_id} == {turn.span_id}
    said = answer.outputs["choices"][0]["message"]
    assert said["reasoning"].startswith("The order number")
    assert said["tool_calls"][0]["function"]["name"] == "find_order"
    assert (call.name, call.inputs["order"]) == ("find_order", "4711")
    assert call.outputs == "Error: the order service does not answer"
    assert (str(call.status.status_code.value), call.status.description) == ("ERROR", "unknown")
    known = {one.name: one for one in info.assessments}
    assert {name: one.feedback.value for name, one in known.items()} == {
        "act": "rejected",
        "tool": "failed",
        "reward": 0.0,
        "reward.accepted": 0.0,
    }
    sources = {name: one.source for name, one in known.items()}
    assert sources["act"] == AssessmentSource(source_type="HUMAN", source_id="person")
    assert sources["tool"] == AssessmentSource(source_type="CODE", source_id="derived (system)")
    assert sources["reward"].source_id.startswith("test")
    assert known["tool"].span_id == call.span_id
    assert known["act"].create_time_ms == 1_020_000


def test_late_feedback_is_added_and_nothing_is_written_twice(
    mlflow_server: MlflowServer, ledger: Ledger, tmp_path: Path
) -> None:
    """In another life of the mirror: one trace, the newest reward, and what a person wrote there."""
    first, _ = serve_refund(ledger, "a", 1000.0)
    turn_down(ledger, first, 1020.0)
    with mirrored(mlflow_server.url, "late", ledger, tmp_path) as mirror:
        until(lambda: told(mirror))
    assert mirror.traces is not None
    assert mirror.traces.written == 1
    search = Search(mlflow_server.url, "late")
    seen = Feedback(name="seen", value=True)
    TracingClient(mlflow_server.url).log_assessment(trace_id_of("late", first), seen)
    replaced = feedback("b", first, Accepted(), 1050.0, replaces=f"{first}.no")
    ledger.take(replaced, partition=FEEDBACK, now=1050.0)
    with mirrored(mlflow_server.url, "late", ledger, tmp_path):
        pass
    (trace,) = search.traces("tags.step = 'v17' AND feedback.reward >= 1")
    values = sorted((one.name, str(one.feedback.value)) for one in trace.info.assessments)
    assert values == [
        ("act", "accepted"),
        ("reward", "1.0"),
        ("reward.accepted", "1.0"),
        ("seen", "True"),
        ("tool", "failed"),
    ]
    assert len(trace.data.spans) == 3
    with mirrored(mlflow_server.url, "late", ledger, tmp_path) as mirror:
        pass
    assert mirror.traces is not None
    assert mirror.traces.written == 0


def test_a_server_that_was_away_gets_all_when_it_is_back(ledger: Ledger, tmp_path: Path) -> None:
    """Nobody waits meanwhile; what was decided during the outage follows."""
    server = MlflowServer(tmp_path / "server")
    with mirrored(server.url, "back", ledger, tmp_path) as mirror:
        names = [name for n in range(3) for name in serve_refund(ledger, f"s{n}", 1000.0)]
        for name in names:
            turn_down(ledger, name, 1020.0)
        mirror.settle()
        assert mirror.traces is not None
        assert (mirror.traces.waiting, mirror.traces.written) == (len(names), 0)
        server.__enter__()
        until(lambda: told(mirror))
    try:
        assert Search(server.url, "back").names() == sorted(names)
    finally:
        server.__exit__(None, None, None)


def test_what_is_erased_here_is_deleted_there(
    mlflow_server: MlflowServer, ledger: Ledger, tmp_path: Path
) -> None:
    """The traces of an erased person go, others' stay; one that was still waiting is never written."""
    hers, his = serve_refund(ledger, "a", 1000.0), serve_refund(ledger, "b", 1000.0, "b2" * 16)
    for name in (hers[0], his[0]):
        turn_down(ledger, name, 1020.0)
    with mirrored(mlflow_server.url, "erased", ledger, tmp_path):
        pass
    search = Search(mlflow_server.url, "erased")
    assert search.names() == sorted([hers[0], his[0]])
    turn_down(ledger, hers[1], 1030.0)
    with ledger.store.transaction() as tx:
        found = erase(tx, "policy", HERS, 2000.0, [])
    assert found.traced == tuple(sorted(hers))
    with mirrored(mlflow_server.url, "erased", ledger, tmp_path) as mirror:
        pass
    assert search.names() == [his[0]]
    assert mirror.traces is not None
    assert (mirror.traces.written, mirror.traces.deleted) == (0, 2)
