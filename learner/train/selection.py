"""Selection: which episodes of a sealed batch are learned from, and by which rule the others are not."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import structlog

from ...streams.events.trainable import MIN_TEMPERATURE
from ...streams.join import fate
from ..mixture import Mixture
from ..sealed import RATIO, SealedBatch, SealedEpisode
from ..settings import LearnerSettings

log = structlog.get_logger()

LEAST_WEIGHT = 1e-9
"""What counts for less counts for nothing: its square, and its sums in float32, are 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A batch without the episodes that nothing can be learned from."""

    episodes: tuple[SealedEpisode, ...]
    """To be trained on, in the batch's order."""
    held_out: tuple[SealedEpisode, ...]
    """Evidence for the gate."""
    left_out: dict[str, str]
    """Generation ids of all others, each with its rule (`fate.LEARNER_RULES`)."""


def select_episodes(
    batch: SealedBatch,
    settings: LearnerSettings,
    vocabulary: int,
    mixture: Mixture | None = None,
) -> Selection:
    """Leave out what is unfit, each episode alone; the log names the first of each rule, and its field.

    Without `mixture` nobody replays experts, and whatever an engine told of them is as good as another.

    One bad episode costs nobody else's: the batch is as if it had never been sealed into it.
    """
    left_out, first = dict[str, str](), dict[str, tuple[str, str]]()
    for name, episodes in (("episodes", batch.episodes), ("held_out", batch.held_out)):
        for index, episode in enumerate(episodes):
            if found := exclusion(episode, settings, vocabulary, mixture):
                rule, problem = found
                left_out[episode.generation_id] = rule
                first.setdefault(rule, (episode.generation_id, f"$.{name}[{index}].{problem}"))
    counts = Counter(left_out.values())
    for rule, (generation_id, problem) in first.items():
        log.warning(
            "episodes_left_out",
            rule=rule,
            count=counts[rule],
            first=generation_id,
            problem=problem,
        )
    episodes, held_out = (
        tuple(_as_used(e, mixture) for e in some if e.generation_id not in left_out)
        for some in (batch.episodes, batch.held_out)
    )
    return Selection(episodes=episodes, held_out=held_out, left_out=left_out)


def _as_used(episode: SealedEpisode, mixture: Mixture | None) -> SealedEpisode:
    if mixture or episode.routed_experts is None:
        return episode
    return msgspec.structs.replace(episode, routed_experts=None)


def exclusion(
    episode: SealedEpisode,
    settings: LearnerSettings,
    vocabulary: int,
    mixture: Mixture | None = None,
) -> tuple[str, str] | None:
    """Return the rule by which an episode is left out and the field at fault, or None."""
    prompt, completion = episode.prompt_token_ids, episode.completion_token_ids
    if (not prompt or not completion) and not episode.messages:
        empty = "completion_token_ids" if prompt else "prompt_token_ids"
        return fate.NO_TOKENS, f"{empty}: empty"
    if episode.in_lane(RATIO) and (unfit := _without_ratio(episode)):
        return unfit
    if (largest := max((*prompt, *completion), default=0)) >= vocabulary:
        return fate.UNKNOWN_TOKENS, f"token id {largest}: the model knows {vocabulary}"
    if mixture and (misfit := mixture.misfit(episode)):
        return fate.WRONG_EXPERTS, misfit
    if not 0.0 <= episode.reward <= 1.0:
        return fate.BAD_REWARD, f"reward: {episode.reward} is not in [0, 1]"
    if episode.weight < LEAST_WEIGHT:
        return fate.NO_WEIGHT, f"weight: {episode.weight:g} is below {LEAST_WEIGHT:g}"
    if (length := len(prompt) + len(completion)) > settings.max_episode_tokens:
        most = settings.max_episode_tokens
        return fate.TOO_LONG, f"{length} tokens: learner.max_episode_tokens is {most}"
    ratio = episode.in_lane(RATIO)
    most = settings.max_policy_age if ratio else settings.lanes.max_age
    if episode.age > most:
        key = "max_policy_age" if ratio else "lanes.max_age"
        return fate.TOO_OLD, f"age: {episode.age}, learner.{key} is {most}"
    return None


def _without_ratio(episode: SealedEpisode) -> tuple[str, str] | None:
    """Return why an episode's log-probabilities make no ratio, and the field at fault, or None."""
    tokens = len(episode.completion_token_ids)
    if len(episode.logprobs) != tokens:
        return fate.NO_LOGPROBS, f"logprobs: {len(episode.logprobs)} for {tokens} tokens"
    if not all(math.isfinite(value) for value in episode.logprobs):
        return fate.NO_LOGPROBS, "logprobs: not finite"
    if not episode.temperature >= MIN_TEMPERATURE:
        told = f"temperature: {episode.temperature} is below {MIN_TEMPERATURE}"
        return fate.LOW_TEMPERATURE, told
    return None


def counts_by_rule(left_out: Mapping[str, str]) -> dict[str, float]:
    """Return `episodes/too_old` and so on, of every rule, so that a count falls back to zero."""
    counts = Counter(left_out.values())
    return {
        f"episodes/{rule.partition(':')[2]}": float(counts[rule]) for rule in fate.LEARNER_RULES
    }
