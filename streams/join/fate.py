"""Fate: where every generation ends (CONTRACTS 12), and the rules that exclude one from training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec

from ..derived.derivation import call_key
from ..derived.provoked import WrittenBefore, is_provoked
from ..derived.tool_results import error_of
from ..events.episode import Episode
from ..events.generation import SHADOW, Generation
from ..events.signals import ErrorClass, ToolResult
from ..events.tool_use import ToolCall
from ..events.trainable import FINISH_REASONS, MIN_TEMPERATURE

WAITING = "waiting"
TRAINED = "trained"
DEAD_LETTERED = "dead_lettered"
NO_DECISION = "censored:no_decision"

NO_CONSENT = "excluded:no_consent"
NO_CAPTURE = "excluded:no_capture"
HELD_OUT = "excluded:held_out"
BENCHMARK = "excluded:benchmark"
TOO_OLD = "excluded:too_old"
USER_SHARE = "excluded:user_share"
SWITCHED = "excluded:switched"
TOOL_OUTAGE = "excluded:tool_outage"
BATCH_FAILED = "excluded:batch_failed"
EXPIRED = "excluded:expired"
ERASED = "excluded:erased"

OTHER_POLICY = "excluded:other_policy"
MIRRORED = "excluded:shadow"
SIDE_REQUEST = "excluded:side_request"

NOT_FOR_TRAINING = "excluded:not_for_training"
REDACTED = "excluded:redacted"
NO_TOKENS = "excluded:no_tokens"
NO_LOGPROBS = "excluded:no_logprobs"
NO_VERSION = "excluded:no_version"
GREEDY = "excluded:greedy"
CUT_SAMPLING = "excluded:cut_sampling"
RAW_LOGPROBS = "excluded:raw_logprobs"
LOW_TEMPERATURE = "excluded:low_temperature"
TOO_LONG = "excluded:too_long"
UNKNOWN_TOKENS = "excluded:unknown_tokens"
WRONG_EXPERTS = "excluded:wrong_experts"
BAD_REWARD = "excluded:bad_reward"
NO_SPREAD = "excluded:no_spread"
NO_WEIGHT = "excluded:no_weight"
LOW_ESS = "excluded:low_ess"
DRIFT = "excluded:drift"
OTHER_TEMPERATURE = "excluded:other_temperature"

LEARNER_RULES = (
    BAD_REWARD,
    DRIFT,
    LOW_ESS,
    LOW_TEMPERATURE,
    NO_LOGPROBS,
    NO_SPREAD,
    NO_TOKENS,
    NO_WEIGHT,
    OTHER_TEMPERATURE,
    TOO_LONG,
    TOO_OLD,
    UNKNOWN_TOKENS,
    WRONG_EXPERTS,
)
"""The rules by which the learner may leave out a sealed episode (CONTRACTS 17)."""


RATIO_RULES = frozenset(
    (NO_LOGPROBS, NO_VERSION, GREEDY, LOW_TEMPERATURE, CUT_SAMPLING, RAW_LOGPROBS)
)
"""The rules that only the ratio lane has: what is learned by them needs the probability by which each
token was drawn. Other lanes need the answer and what somebody thought of it."""


class Admitted(NamedTuple):
    """What may be trained on beside answers drawn from the whole distribution, by the lanes that are on."""

    top_p: float = 1.0
    """The ratio lane takes what top-p cut down to this mass, where the log-probabilities are processed."""
    without_ratio: bool = False
    """Whether another lane takes what the ratio lane cannot use (RATIO_RULES)."""
    as_text: bool = False
    """Whether such a lane takes an answer without tokens, too, of which the text tells all (`tells_all`)."""


RATIO_ALONE = Admitted()


_UNFINISHED = {
    "": "excluded:no_finish_reason",
    "abort": "excluded:aborted",
    "error": "excluded:engine_error",
    "content_filter": "excluded:content_filter",
}
"""The rule for each end, other than those in FINISH_REASONS, that is known."""


class JoinSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[join]` of the configuration: which answers may be trained on, and what feedback counts."""

    cut_answers: bool = True
    """Whether answers that were cut at their length limit may be trained on."""
    switched_answers: bool = True
    """Whether answers may be trained on whose conversation another version or model wrote in before."""
    outage_answers: bool = False
    """Whether answers may be trained on whose tools were out of order (`provider_error`)."""
    leaving_interrupts: bool = False
    """Whether a client that leaves in the middle of a streamed answer has interrupted it."""
    feedback_per_kind: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    """Most feedback of one kind on one answer that counts; more of it is dead-lettered."""


def exclusion_at_ingest(generation: Generation) -> str | None:
    """Name the rule that keeps a generation out before any feedback counts, or None."""
    if generation.variant == SHADOW:
        return MIRRORED
    if not generation.may_keep:
        return NO_CONSENT
    if not generation.captured:
        return NO_CAPTURE
    if generation.side_request:
        return SIDE_REQUEST
    return None


def in_tool_outage(episode: Episode, told: Callable[[], Mapping[str, ErrorClass | None]]) -> bool:
    """Return whether an answer is about somebody's outage: it had a tool called that was out of order,
    or had to answer on what came back from it.

    What people then decide says little of the model, for or against it. A fault of the model's own
    beside the outage is not hidden by it: such an answer counts. So does one whose own calls explain
    the outage that somebody posted, and one that had to answer on an error which calls before it
    explain: `told` is asked what the results in its request were found to be, by `call_key`.
    """
    results = [
        one.feedback.signal
        for one in episode.feedback
        if isinstance(one.feedback.signal, ToolResult)
    ]
    if not results and not episode.generation.input:
        return False
    if results:
        errors = {one.error_class for one in results}
        if errors & {"invalid_arguments", "unexpected_environment"}:
            return False
        down = {one.tool for one in results if one.error_class == "provider_error"}
        calls = episode.generation.tool_calls
        if any(not _explained(calls, tool) for tool in down):
            return True
    failed = [
        call_key(message.tool_call_id or "")
        for message in episode.generation.input
        if message.role in ("tool", "function") and error_of(message) == "provider_error"
    ]
    if not failed:
        return False
    found = told()
    return any(found.get(key, "provider_error") == "provider_error" for key in failed)


def _explained(calls: Sequence[ToolCall], tool: str) -> bool:
    """Return whether an answer wrote the outage of a tool itself, into a call of it.

    A harness may know the tool by another name than the model: then any call may be the one.
    """
    named = [call for call in calls if call.name == tool] or calls
    return any(is_provoked("provider_error", "", WrittenBefore(call.arguments)) for call in named)


def exclusion_from_training(
    generation: Generation, *, cut_answers: bool = True, admitted: Admitted = RATIO_ALONE
) -> str | None:
    """Name the rule that keeps a generation out of every lane that is on, or None.

    `cut_answers` says whether an answer may be trained on that was cut at its length limit.
    """
    for rule in _rules(generation, cut_answers, admitted.top_p):
        if admitted.without_ratio and rule in RATIO_RULES:
            continue
        if rule != NO_TOKENS or not admitted.as_text or not tells_all(generation):
            return rule
    return None


def tells_all(generation: Generation) -> bool:
    """Return whether the texts of a record are all that was read and written: a first turn without tools.

    So are imported answers of other products. What is cut, attached or thought before is not there.
    """
    told = generation.input
    return bool(
        generation.text.strip()
        and told
        and told[-1].role == "user"
        and not generation.earlier_answers
        and not generation.reasoning
        and not generation.tools
        and not generation.tool_calls
        and not any(one.cut or one.attachments for one in told)
    )


def exclusion_from_ratio(generation: Generation, *, top_p: float = 1.0) -> str | None:
    """Name the rule that keeps a generation out of the importance-ratio lane, or None.

    The ratio needs the distribution that the tokens were really drawn from: a cut or bent one has
    no counterpart in the learner, which only divides its logits by the temperature (CONTRACTS 7).
    What top-p cut, down to `top_p`, is taken all the same: docs/lanes.md says how far that is off.
    """
    return next(_rules(generation, True, top_p), None)


def _rules(generation: Generation, cut_answers: bool, top_p: float) -> Iterator[str]:
    """Yield every rule that a generation falls under, the one that is named first."""
    if not generation.may_train:
        yield NOT_FOR_TRAINING
    if generation.redacted:
        yield REDACTED
    if not generation.prompt_token_ids or not generation.completion_token_ids:
        yield NO_TOKENS
    if generation.logprobs is None:
        yield NO_LOGPROBS
    if not generation.version:
        yield NO_VERSION
    if generation.mixed_versions:
        yield "excluded:mixed_versions"
    if generation.finish_reason not in FINISH_REASONS:
        yield _UNFINISHED.get(generation.finish_reason, "excluded:unknown_finish")
    if generation.finish_reason == "length" and not cut_answers:
        yield "excluded:cut_answer"
    yield from _drawn(generation, top_p)


def _drawn(generation: Generation, top_p: float) -> Iterator[str]:
    """Yield the rules about how the tokens of a generation were drawn."""
    sampling, raw = generation.sampling, generation.logprobs_mode == "raw"
    if sampling.temperature == 0.0:
        yield GREEDY
    elif sampling.temperature < MIN_TEMPERATURE:
        yield LOW_TEMPERATURE
    # Raw log-probabilities are of the whole distribution, and not of what was left of it.
    least = 1.0 if raw else top_p
    if sampling.top_p < least or sampling.top_k > 0 or sampling.min_p > 0.0:
        yield CUT_SAMPLING
    if sampling.constrained:
        yield "excluded:constrained"
    if raw and sampling.temperature != 1.0:
        yield RAW_LOGPROBS
