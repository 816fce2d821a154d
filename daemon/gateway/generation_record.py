"""Account: what the log is told of one generation, at its admission and at its end."""

import logging
import time
from dataclasses import dataclass
from typing import Any

from ...ops.flags.assignment import Assignment
from ...streams.events.event import Generation, GenerationEvent
from ..spool.spool import Kind
from .context import GatewayContext, at
from .engine_pool import EngineResponse
from .engine_request import EngineRequest
from .identity import Identity
from .response_capture import ResponseCapture

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class GenerationRecord:
    """One generation, from its request to its event."""

    parts: GatewayContext
    """What the handlers share."""
    who: Identity
    """Who asks."""
    ask: EngineRequest
    """For what."""
    assignment: Assignment
    """By what it is to be served."""
    generation_id: str
    """Its name."""
    received: float
    """Epoch seconds when it came."""
    started: float
    """The same on the clock that measures."""
    answer: EngineResponse | None = None
    """The engine's, once there is one."""

    def __post_init__(self) -> None:
        self.capture = ResponseCapture(self.ask, self.generation_id, self.parts.settings.model)

    def admit(self) -> None:
        """Put on disk that this generation is about to be seen; before its first byte goes out."""
        self._record(Kind.ADMISSION, self._generation(captured=False))

    def end(self, finish: str) -> None:
        """Put the event on disk, and count it."""
        meters, variant = self.parts.meters, str(self.assignment.variant)
        seconds = time.perf_counter() - self.started
        if self.answer is not None and self.answer.fallback:
            meters.fallbacks.labels(variant).inc()
        meters.generations.labels(variant, finish).inc()
        meters.latency.labels(variant).observe(seconds)
        ended = self._captured() if self.who.consent else {}
        ended |= {
            "finish_reason": finish,
            "usage": self.capture.usage,
            "latency_seconds": seconds,
        }
        self._record(Kind.GENERATION, self._generation(**ended))

    def _captured(self) -> dict[str, Any]:
        """Return what only those who consent leave behind."""
        capture, logprobs = self.capture, self.capture.logprobs
        tokens, prompt = capture.token_ids, capture.prompt_token_ids
        return {
            "prompt_token_ids": None if prompt is None else tuple(prompt),
            "completion_token_ids": None if tokens is None else tuple(tokens),
            "logprobs": None if logprobs is None else tuple(logprobs),
            "text": capture.text,
        }

    def _record(self, kind: Kind, generation: Generation) -> None:
        event = GenerationEvent(
            id=self.generation_id,
            source=f"/gateway/{self.parts.settings.name}",
            specversion="1.0",
            time=at(self.received),
            receivedtime=at(self.parts.clock()),
            data=generation,
        )
        try:
            self.parts.record(kind, self.who.session, self.generation_id, event)
        except OSError as problem:
            # The answer goes out all the same; the count says what the log will never have.
            log.error("%s: not recorded: %s", self.generation_id, problem)

    def _generation(self, **ended: Any) -> Generation:
        settings, assigned, answer = self.parts.settings, self.assignment, self.answer
        served = assigned.served if answer is None else answer.served
        fallback = answer is not None and answer.fallback
        return Generation(
            generation_id=self.generation_id,
            session_id=self.who.session,
            parent_id=self.who.parent,
            tenant=self.who.tenant,
            user_hash=self.who.user_hash,
            consent=self.who.consent,
            segment=self.who.segment,
            policy=settings.policy,
            version=served.version,
            digest=served.digest,
            base_digest=settings.base_digest,
            tokenizer_digest=settings.tokenizer_digest,
            engine="" if answer is None else answer.engine,
            harness=self.who.harness,
            salt=assigned.salt,
            bucket=assigned.bucket,
            variant=str(assigned.variant),
            flag_generation=assigned.generation,
            reason="fallback" if fallback else assigned.reason,
            fallback=fallback,
            logprobs_mode="raw" if settings.logprobs_mode == "raw" else "processed",
            sampling=self.ask.sampling,
            **ended,
        )
