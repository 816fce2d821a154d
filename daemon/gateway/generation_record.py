"""GenerationRecord: what the log is told of one generation, at its admission and at its end."""

import time
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from ...ops.flags.assignment import Assignment
from ...streams.events.event import GenerationEvent
from ...streams.events.generation import Generation
from ...streams.events.input_message import answer_digest
from ...streams.redaction.redacted_event import redact_generation
from ...streams.redaction.redactor import redact
from ..callers.identity import Identity
from ..callers.kept_version import VERSION, version_header
from ..capture.engine_request import EngineRequest
from ..capture.response_capture import ResponseCapture
from ..doors.door import AskedThrough
from ..doors.reply import Reply
from ..engines.engine_pool import EngineResponse
from ..spool.spool import Kind
from ..telemetry.tracing import UNTRACED, AnswerSpan
from .context import GatewayContext, at

log = structlog.get_logger()

LEFT = 499
"""Status of a request whose client left before it got one; nginx's number for it."""
_COUNTED_APART = frozenset(
    ("stop", "length", "tool_calls", "abort", "error", "timeout", "refused", "content_filter")
)


@dataclass(kw_only=True)
class GenerationRecord:
    """One generation, from its request to its event."""

    context: GatewayContext
    """What the handlers share."""
    identity: Identity
    """The caller."""
    engine_request: EngineRequest
    """What the engine is asked."""
    assignment: Assignment
    """Variant and version that the flag chose."""
    generation_id: str
    """Its id, which the client sees too."""
    received: float
    """Epoch seconds when it came."""
    started: float
    """The same moment on the clock that measures durations."""
    on_version_since: int
    """Epoch seconds of the session's first turn on the version that it is assigned."""
    through: AskedThrough | None = None
    """The door that it was asked through, where that is not the engine's own."""
    span: AnswerSpan = UNTRACED
    """Where it is traced, the trace's part here."""
    answer: EngineResponse | None = None
    """The engine's response, once there is one."""
    told: str = ""
    """How it ended, once the client was told."""

    def __post_init__(self) -> None:
        model = self.context.settings.model
        self.capture = ResponseCapture(self.engine_request, self.generation_id, model)
        self._ended = False
        self.finish = ""  # how it ended, once it has

    def answered_by(self, answer: EngineResponse) -> None:
        """Note which engine and version answer."""
        self.answer = answer
        self.capture.version = answer.served.version

    def reply(self, through: AskedThrough) -> Reply:
        """Return what the door needs to know of the answer."""
        return Reply(
            generation_id=self.generation_id,
            model=self.context.settings.model,
            created=self.received,
            asked=through.asked,
            usage=lambda: self.capture.usage,
        )

    def headers(self) -> dict[str, str]:
        """Return what the client is told before the first byte of the answer."""
        found = {"X-Rlwd-Generation": self.generation_id, "X-Request-Id": self.generation_id}
        if self.through is not None and self.through.door.id_header:
            found[self.through.door.id_header] = self.generation_id
        shows = self.context.settings.shows_variant
        if self.answer is not None:
            # Of a fallback nothing is kept: the next turn goes to what the flag says.
            found[VERSION] = version_header(
                self.identity,
                self.assignment.served.version,
                self.on_version_since,
                self.context.keep_key,
                shown=self.answer.served.version if shows else "",
            )
        if shows:
            found["X-Rlwd-Variant"] = str(self.assignment.variant)
        if self.engine_request.ignored:
            found["X-Rlwd-Ignored"] = ", ".join(self.engine_request.ignored)
        return found

    def admit(self) -> None:
        """Put on disk that this generation is about to be seen; before its first byte goes out."""
        self.write(Kind.ADMISSION, self.generation(captured=False))

    def end(self, finish: str, status: int = 200) -> None:
        """Put the event on disk, and count it; a second end changes nothing."""
        if self._ended:
            return
        self._ended, self.finish = True, finish
        metrics, variant = self.context.metrics, str(self.assignment.variant)
        seconds = time.perf_counter() - self.started
        if self.answer is not None and self.answer.fallback:
            metrics.fallbacks.labels(variant).inc()
        counted = finish if finish in _COUNTED_APART else "other"
        metrics.generations.labels(variant, counted).inc()
        metrics.latency.labels(variant).observe(seconds)
        self.capture.settle()
        problem = self.capture.tokens.problem
        if problem:
            metrics.uncaptured.inc()
            log.warning("capture_incomplete", generation=self.generation_id, problem=problem)
        ended = self._captured() if self.identity.keeps else {}
        ended |= {
            "finish_reason": finish,
            "status": status,
            "capture_problem": problem,
            "usage": self.capture.usage,
            "tool_call_count": len(self.capture.calls),
            "latency_seconds": seconds,
        }
        ended_as = self.generation(**ended)
        self.span.end(ended_as, seconds)
        self.write(Kind.GENERATION, self._redacted(ended_as))

    def _redacted(self, generation: Generation) -> Generation:
        """Return what may be written of a generation: before the spool, so before any disk."""
        if not self.context.settings.redacts(self.identity.tenant):
            return generation
        read = self.engine_request.texts() if self.identity.keeps else ()
        exempt = self.context.settings.exempts(self.identity.tenant)
        kinds = {kind for text in read for kind in self.context.seen_texts.kinds(text, exempt)}
        last = redact(self.engine_request.conversation.last_said, exempt).text if kinds else ""
        if last and generation.last_answer:
            # The answer before was written down redacted; its digest is of that.
            digest = answer_digest(last)
            generation = msgspec.structs.replace(generation, last_answer=digest)
        memory = self.context.seen_texts
        looked = redact_generation(generation, kinds, exempt=exempt, memory=memory)
        if not looked.redacted and self.engine_request.unread:
            # Nobody here can look at token ids: the join goes by what was found in the session.
            return msgspec.structs.replace(looked, redacted=None)
        return looked

    def _captured(self) -> dict[str, Any]:
        """Return what is kept only of those who consent."""
        tokens = self.capture.tokens
        prompt, written, logprobs = tokens.prompt_token_ids, tokens.token_ids, tokens.logprobs
        return {
            "prompt_token_ids": None if prompt is None else tuple(prompt),
            "completion_token_ids": None if written is None else tuple(written),
            "logprobs": None if logprobs is None else tuple(logprobs),
            "routed_experts": tokens.routed_experts,
            "text": self.capture.text,
            "reasoning": self.capture.reasoning,
            "tool_calls": self.capture.calls.checked(self.engine_request.tools),
            "tools": self.engine_request.tools.offered,
            "input": self.engine_request.conversation.input,
            "last_answer": self.engine_request.conversation.last_answer,
            "references": self.identity.references,
        }

    def write(self, kind: Kind, generation: Generation) -> None:
        """Put an event of this generation on disk; a disk that takes no more is logged."""
        event = GenerationEvent(
            id=self.generation_id,
            source=f"/gateway/{self.context.settings.name}",
            specversion="1.0",
            time=at(self.received),
            receivedtime=at(self.context.clock()),
            data=generation,
        )
        try:
            self.context.record(kind, self.identity.session, self.generation_id, event)
        except OSError as problem:
            # The answer goes out all the same; the count says what the log will never have.
            log.error(
                "generation_not_recorded", generation=self.generation_id, problem=str(problem)
            )

    def generation(self, **ended: Any) -> Generation:
        """Return the event's data, with what is known of its end."""
        settings, assigned, answer = self.context.settings, self.assignment, self.answer
        served = assigned.served if answer is None else answer.served
        fallback = answer is not None and answer.fallback
        return Generation(
            generation_id=self.generation_id,
            traceparent=self.span.traceparent,
            session_id=self.identity.session,
            session_found=self.identity.session_found,
            parent_id=self.identity.parent,
            call_id=self.identity.tool_call,
            side_request=self.identity.side_request,
            tenant=self.identity.tenant,
            user_hash=self.identity.user_hash,
            user_named=not self.identity.anonymous,
            consent=self.identity.consent,
            purposes=self.identity.purposes,
            segment=self.identity.segment,
            policy=self.identity.policy or settings.policy,
            version=served.version,
            digest=served.digest,
            base_digest=settings.base_digest,
            tokenizer_digest=settings.tokenizer_digest,
            engine="" if answer is None else answer.engine,
            harness=self.identity.harness,
            salt=assigned.salt,
            bucket=assigned.bucket,
            variant=assigned.recorded,
            flag_generation=assigned.generation,
            reason="fallback" if fallback else assigned.reason,
            fallback=fallback,
            kept=assigned.kept and not fallback,
            logprobs_mode="raw" if settings.logprobs_mode == "raw" else "processed",
            sampling=self.engine_request.sampling,
            earlier_answers=self.engine_request.conversation.earlier_answers,
            **ended,
        )
