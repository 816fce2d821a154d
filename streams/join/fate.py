"""Fate: where every generation ends (CONTRACTS 12), and the rules that exclude one from training."""

from ..events.event import Generation
from ..events.trainable import MIN_TEMPERATURE

WAITING = "waiting"
TRAINED = "trained"
DEAD_LETTERED = "dead_lettered"
NO_DECISION = "censored:no_decision"

NO_CONSENT = "excluded:no_consent"
NO_CAPTURE = "excluded:no_capture"
HELD_OUT = "excluded:held_out"
TOO_OLD = "excluded:too_old"
BATCH_FAILED = "excluded:batch_failed"
EXPIRED = "excluded:expired"
ERASED = "excluded:erased"

NO_TOKENS = "excluded:no_tokens"
NO_LOGPROBS = "excluded:no_logprobs"
LOW_TEMPERATURE = "excluded:low_temperature"
TOO_LONG = "excluded:too_long"
UNKNOWN_TOKENS = "excluded:unknown_tokens"
BAD_REWARD = "excluded:bad_reward"
NO_SPREAD = "excluded:no_spread"

LEARNER_RULES = (
    BAD_REWARD,
    LOW_TEMPERATURE,
    NO_LOGPROBS,
    NO_SPREAD,
    NO_TOKENS,
    TOO_LONG,
    TOO_OLD,
    UNKNOWN_TOKENS,
)
"""The rules by which the learner may leave out a sealed episode (CONTRACTS 17)."""


def exclusion_at_ingest(generation: Generation) -> str | None:
    """Name the rule that keeps a generation out before any feedback counts, or None."""
    if not generation.consent:
        return NO_CONSENT
    if not generation.captured:
        return NO_CAPTURE
    return None


def exclusion_from_training(generation: Generation) -> str | None:
    """Name the rule that keeps a generation out of the importance-ratio lane, or None.

    The ratio needs the distribution that the tokens were really drawn from: a cut or bent one has
    no counterpart in the learner, which only divides its logits by the temperature (CONTRACTS 7).
    """
    sampling = generation.sampling
    if not generation.prompt_token_ids or not generation.completion_token_ids:
        return NO_TOKENS
    if generation.logprobs is None:
        return NO_LOGPROBS
    if not generation.version:
        return "excluded:no_version"
    if generation.mixed_versions:
        return "excluded:mixed_versions"
    if generation.finish_reason == "abort":
        return "excluded:aborted"
    if sampling.temperature == 0.0:
        return "excluded:greedy"
    if sampling.temperature < MIN_TEMPERATURE:
        return LOW_TEMPERATURE
    if sampling.top_p < 1.0 or sampling.top_k > 0 or sampling.min_p > 0.0:
        return "excluded:cut_sampling"
    if sampling.constrained:
        return "excluded:constrained"
    if generation.logprobs_mode == "raw" and sampling.temperature != 1.0:
        return "excluded:raw_logprobs"
    return None
