"""Lane parts: the lanes beside the ratio lane that a batch has episodes of."""

from collections.abc import Sequence
from pathlib import Path

from ...streams.join import fate
from ..sealed import SealedEpisode
from ..train.state import Learner
from ..train.steps import LanePart, LaneParts
from .hindsight import HindsightPart, with_teachers
from .imitation import SFT, ImitationPart
from .kto import KtoPart, kto_episodes
from .model_words import ModelWords
from .preference import PreferencePart, edited_pairs
from .tensors import LaneTensors, OwnTensors


def lane_parts(learner: Learner, episodes: Sequence[SealedEpisode], batch_id: int) -> LaneParts:
    """As `parts_on`, with the tensors of this process."""
    return parts_on(OwnTensors(learner), episodes, batch_id)


def parts_on(tensors: LaneTensors, episodes: Sequence[SealedEpisode], batch_id: int) -> LaneParts:
    """Build the parts of a batch, in a fixed order; a lane whose weight is 0 has none.

    What a lane cannot read or hold is told by its rule: no tokens where the model's chat template takes no
    such conversation, too long with the edit or the follow-up that the lane reads beside it, too.
    """
    parts = list[LanePart]()
    lanes, longest = tensors.settings.lanes, tensors.settings.max_episode_tokens
    words = ModelWords(Path(tensors.settings.model))
    spelt = [words.spelt(one) for one in episodes]
    unfit = {
        one.generation_id: fate.NO_TOKENS
        for one, told in zip(episodes, spelt, strict=True)
        if told is None
    }
    readable = [one for one in spelt if one is not None]
    episodes = [one for one in readable if _fits(one, longest)]
    unfit |= {one.generation_id: fate.TOO_LONG for one in readable if not _fits(one, longest)}
    if lanes.kto and (liked := kto_episodes(episodes)):
        parts.append(KtoPart(tensors, liked, batch_id=batch_id))
    if lanes.dpo:
        pairs = edited_pairs(episodes, words, longest=longest)
        if pairs.units:
            parts.append(PreferencePart(tensors, pairs.units, batch_id=batch_id))
        unfit |= dict.fromkeys(pairs.too_long, fate.TOO_LONG)
    if lanes.sft and (taken := [one for one in episodes if one.in_lane(SFT)]):
        parts.append(ImitationPart(tensors, taken, batch_id=batch_id))
    if lanes.hindsight:
        told = with_teachers(episodes, words, longest=longest)
        if told.units:
            parts.append(HindsightPart(tensors, told.units, batch_id=batch_id))
        unfit |= dict.fromkeys(told.too_long, fate.TOO_LONG)
    return LaneParts(parts, unfit)


def _fits(episode: SealedEpisode, longest: int) -> bool:
    return len(episode.prompt_token_ids) + len(episode.completion_token_ids) <= longest
