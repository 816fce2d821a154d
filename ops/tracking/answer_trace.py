"""Answer trace: reads decided answers out of the state and says them as trace records."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import orjson

from ...learner.candidate import sequence_of
from ...streams.answers.answer_rows import LATEST
from ...streams.derived.overruled import without_overruled
from ...streams.derived.shown_words import with_shown_words
from ...streams.events.episode import Timed
from ...streams.events.event import GenerationEvent
from ...streams.events.generation import Generation
from ...streams.events.signals import ToolResult, kind_of
from ...streams.join.episodes_table import feedback_of
from ...streams.redaction.privacy import PrivacySettings
from ...streams.sessions.contents import load_contents
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction
from .trace_assessments import Worth, assessments_of
from .trace_record import TraceRecord, TraceSpan, trace_id_of
from .turn_spans import failed, results_of, turn_spans

SHORT = 400
"""Characters of what is shown in a list."""


class _Row(msgspec.Struct, array_like=True):
    """What became of an answer."""

    generation_id: str
    parent_id: str | None
    reward: float | None
    parts: bytes | None
    spec_version: str | None
    fate: str
    scored_at: float | None


def trace_records(
    view: Transaction,
    policy: str,
    experiment: str,
    ids: Sequence[str],
    privacy: PrivacySettings,
) -> dict[str, TraceRecord]:
    """Return the records of these answers, of those whose content is held and may be shown."""
    feedback = feedback_of(view, policy, ids)
    # What a tool gave back stands in the request after it.
    after = sorted({one.origin for said in feedback.values() for one in said if one.origin})
    held = load_contents(view, policy, sorted({*ids, *after}))
    shown = {name: one.event for name, one in held.items() if privacy.may_leave(one.event.data)}
    found: dict[str, TraceRecord] = {}
    for row in _rows(view, policy, ids):
        name = row.generation_id
        if name in shown:
            said = with_shown_words(feedback.get(name, ()), shown)
            found[name] = _record(experiment, shown, row, said)
    return found


def _rows(view: Transaction, policy: str, ids: Sequence[str]) -> Iterator[_Row]:
    for marks, chunk in by_ids(ids):
        rows = view.execute(
            f"SELECT generation_id, parent_id, {LATEST}, parts, spec_version, fate, scored_at"
            f" FROM episodes WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()
        yield from (_Row(*row) for row in rows)


def _record(
    experiment: str, shown: Mapping[str, GenerationEvent], row: _Row, said: Sequence[Timed]
) -> TraceRecord:
    event = shown[row.generation_id]
    data = event.data
    counted = without_overruled(data, said)
    spans = turn_spans(event, results_of(data, shown, said))
    parts = orjson.loads(row.parts) if row.parts else {}
    at = row.scored_at or event.receivedtime.timestamp()
    calls = ", ".join(f"{call.name}({call.arguments})" for call in data.tool_calls)
    return TraceRecord(
        trace_id=trace_id_of(experiment, data.generation_id),
        generation_id=data.generation_id,
        asked=_short(_asked(data)),
        answered=_short(data.text or calls or data.finish_reason),
        failed=failed(data),
        spans=spans,
        tags=_tags(data, row, counted, spans),
        metadata=_metadata(data, row.parent_id),
        assessments=assessments_of(
            counted, data.tool_calls, Worth(row.reward, parts, row.spec_version or "", at)
        ),
    )


def _tags(
    data: Generation, row: _Row, said: Sequence[Timed], spans: Sequence[TraceSpan]
) -> dict[str, str]:
    calls = [span for span in spans if span.kind == "TOOL"]
    acts = {kind_of(one.feedback.signal) for one in said}
    broken = any(span.problem for span in calls) or any(map(_failed_tool, said))
    return {
        "version": data.version or "unknown",
        "step": _step(data.version),
        "variant": "fallback" if data.fallback else data.variant or "none",
        "segment": data.segment,
        "harness": data.harness or "none",
        "tenant": data.tenant,
        "fate": row.fate,
        "feedback": " ".join(sorted(acts)) or "none",
        "tools": "failed" if broken else "worked" if calls else "none",
    }


def _step(version: str) -> str:
    """Return `v17` of `policy@v000017-3fa9c2e1`: what people say, and type."""
    try:
        return f"v{sequence_of(version)}"
    except ValueError:
        return "unknown"


def _failed_tool(one: Timed) -> bool:
    signal = one.feedback.signal
    return isinstance(signal, ToolResult) and signal.error_class is not None


def _metadata(data: Generation, parent: str | None) -> dict[str, str]:
    known = {
        "mlflow.trace.session": data.session_id,
        "mlflow.trace.user": data.user_hash if data.user_named else "",
        "rlwd.parent": parent or "",
        "rlwd.engine": data.engine,
        "rlwd.flag_generation": str(data.flag_generation),
    }
    return {name: value for name, value in known.items() if value}


def _asked(data: Generation) -> str:
    """Return the last thing that was said to the model, with who said it where no person did."""
    if not data.input:
        return ""
    last = data.input[-1]
    return last.text if last.role == "user" else f"{last.role}: {last.text}"


def _short(text: str) -> str:
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
