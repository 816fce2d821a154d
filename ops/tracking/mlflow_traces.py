"""MLflow traces: a trace record as MLflow's entities, written such that twice equals once.

MLflow draws random ids for traces that its fluent interface makes. Here ids follow from the answer,
so traces are written as an exporter does: the trace with its assessments, then its spans. Both calls
put a row in the place of the one with the same id.
"""

import base64
from typing import Any

import orjson
from mlflow.entities import (
    AssessmentSource,
    Feedback,
    Span,
    TraceInfo,
    TraceLocation,
    TraceState,
)
from mlflow.entities.assessment import Assessment
from mlflow.exceptions import MlflowException
from mlflow.tracing.client import TracingClient

from .mlflow_client import ModelRegistry, cut
from .trace_record import TraceAssessment, TraceRecord, TraceSpan, part_id

OURS = "rlwd.key"
"""Metadata of an assessment that we wrote."""


class TraceWriter:
    """The traces of one policy's experiment. Used by one thread; blocks while it asks."""

    def __init__(self, registry: ModelRegistry) -> None:
        self.registry = registry
        self.client = TracingClient(tracking_uri=registry.tracking_uri)

    def write(self, record: TraceRecord, *, again: bool) -> None:
        """Write a trace, or bring one up to date that may be there; what people wrote on it stays."""
        experiment = self.registry.experiment_id()
        before = self._assessments(record.trace_id) if again else []
        self.client.start_trace(_info(record, experiment))
        self.client.log_spans(experiment, [_span(record, one) for one in record.spans])
        told = {_assessment_id(record.trace_id, one.key) for one in record.assessments}
        for one in before:
            if one.metadata and OURS in one.metadata and one.assessment_id not in told:
                self.client.delete_assessment(record.trace_id, one.assessment_id or "")

    def delete(self, trace_ids: list[str]) -> None:
        """Delete traces; those that are not there are no error."""
        self.client.delete_traces(self.registry.experiment_id(), trace_ids=trace_ids)

    def _assessments(self, trace_id: str) -> list[Assessment]:
        """Return what is on a trace; nothing where there is none."""
        try:
            return list(self.client.store.get_trace_info(trace_id).assessments)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return []


def _info(record: TraceRecord, experiment: str) -> TraceInfo:
    turn = record.spans[0]
    return TraceInfo(
        trace_id=record.trace_id,
        client_request_id=record.generation_id,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=int(turn.start * 1000),
        execution_duration=int((turn.end - turn.start) * 1000),
        state=TraceState.ERROR if record.failed else TraceState.OK,
        request_preview=record.asked,
        response_preview=record.answered,
        trace_metadata={**record.metadata, "mlflow.trace_schema.version": "3"},
        tags={"mlflow.traceName": record.tags["segment"], **record.tags},
        assessments=[_assessment(record.trace_id, one) for one in record.assessments],
    )


def _assessment(trace_id: str, one: TraceAssessment) -> Feedback:
    made = Feedback(
        name=one.name,
        value=one.value,
        source=AssessmentSource(source_type="HUMAN" if one.human else "CODE", source_id=one.source),
        trace_id=trace_id,
        span_id=part_id(trace_id, one.span) if one.span else None,
        rationale=cut(one.rationale) or None,
        metadata={OURS: one.key},
        create_time_ms=int(one.at * 1000),
        last_update_time_ms=int(one.at * 1000),
    )
    made.assessment_id = _assessment_id(trace_id, one.key)
    return made


def _span(record: TraceRecord, one: TraceSpan) -> Span:
    attributes = {
        **one.attributes,
        "mlflow.traceRequestId": record.trace_id,
        "mlflow.spanType": one.kind,
        "mlflow.spanInputs": one.inputs,
        "mlflow.spanOutputs": one.outputs,
    }
    parent = None if one is record.spans[0] else record.spans[0]
    return Span.from_dict(
        {
            "trace_id": _base64(record.trace_id.removeprefix("tr-")),
            "span_id": _base64(part_id(record.trace_id, one.key)),
            "parent_span_id": ""
            if parent is None
            else _base64(part_id(record.trace_id, parent.key)),
            "name": one.name,
            "start_time_unix_nano": int(one.start * 1e9),
            "end_time_unix_nano": int(one.end * 1e9),
            "attributes": {name: _json(value) for name, value in attributes.items()},
            "status": {
                "code": "STATUS_CODE_ERROR" if one.problem else "STATUS_CODE_OK",
                "message": one.problem,
            },
            "events": [],
        }
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def _assessment_id(trace_id: str, key: str) -> str:
    return f"a-{part_id(trace_id, key)}"
