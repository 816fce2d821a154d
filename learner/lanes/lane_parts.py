"""Lane parts: the lanes beside the ratio lane that a batch has episodes of."""

from collections.abc import Sequence
from pathlib import Path

from ..sealed import SealedEpisode
from ..train.state import Learner
from ..train.steps import LanePart
from .hindsight import HindsightPart, with_teachers
from .imitation import SFT, ImitationPart
from .kto import KtoPart, kto_episodes
from .model_words import ModelWords
from .preference import PreferencePart, edited_pairs


def lane_parts(
    learner: Learner, episodes: Sequence[SealedEpisode], batch_id: int
) -> Sequence[LanePart]:
    """Build the parts of a batch, in a fixed order; a lane whose weight is 0 has none."""
    parts = list[LanePart]()
    lanes, longest = learner.settings.lanes, learner.settings.max_episode_tokens
    words = ModelWords(Path(learner.settings.model))
    spelt = [words.spelt(one) for one in episodes]
    episodes = [one for one in spelt if one is not None and _fits(one, longest)]
    if lanes.kto and (liked := kto_episodes(episodes)):
        parts.append(KtoPart(learner, liked, batch_id=batch_id))
    if lanes.dpo and (pairs := edited_pairs(episodes, words, longest=longest)):
        parts.append(PreferencePart(learner, pairs, batch_id=batch_id))
    if lanes.sft and (taken := [one for one in episodes if one.in_lane(SFT)]):
        parts.append(ImitationPart(learner, taken, batch_id=batch_id))
    if lanes.hindsight and (told := with_teachers(episodes, words, longest=longest)):
        parts.append(HindsightPart(learner, told, batch_id=batch_id))
    return parts


def _fits(episode: SealedEpisode, longest: int) -> bool:
    return len(episode.prompt_token_ids) + len(episode.completion_token_ids) <= longest
