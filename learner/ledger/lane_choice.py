"""Lane choice: which lanes learn from an answer, and by which rule none does."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...streams.events.episode import Episode
from ...streams.join import episodes_table, fate
from ...streams.state.transaction import Transaction
from ..lane_settings import LaneSettings
from ..sealed import RATIO, Correction
from .own_words import Spell, correction_of, follow_up_of, origins_of
from .ready import ReadyEpisode


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRules:
    """Which lanes are on, and whom they take."""

    settings: LaneSettings = field(
        default_factory=lambda: LaneSettings(top_p=1.0, kto=0.0, dpo=0.0)
    )
    """`[learner.lanes]`; without any the ratio lane is alone."""
    own_words: Callable[[str], bool] | None = None
    """Whether a tenant allows that what its people wrote themselves is trained on; None: none does."""
    spell: Spell | None = None
    """The bytes of token ids; None where the model's tokens do not say them, and no edit is learned from."""
    at_one: bool = False
    """Ratios are made of answers at temperature 1 alone: a training service says no other log-probabilities."""

    @property
    def admitted(self) -> fate.Admitted:
        """What the join lets through to them."""
        ours = self.settings
        words = (ours.dpo or ours.hindsight) and self.own_words is not None
        taken = bool(ours.kto or ours.sft)
        return fate.Admitted(ours.top_p, taken or bool(words), as_text=taken)

    @property
    def oldest(self) -> int:
        """Age of the oldest answers that a lane beside the ratio lane takes; -1 where there is none."""
        return self.settings.max_age if self.admitted.without_ratio else -1


RATIO_ONLY = LaneRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneChoice:
    """The lanes of an answer."""

    lane: str
    """As `SealedEpisode.lane`; empty where none learns from it."""
    rule: str = ""
    """The rule by which the ratio lane does not: its fate where no other lane does."""
    correction: Correction | None = None
    """For the lane `dpo`."""
    follow_up: str = ""
    """For the lane `hindsight`."""


class ChosenEpisode(NamedTuple):
    """An episode that a batch is sealed of."""

    row: ReadyEpisode
    """As its row has it."""
    episode: Episode
    """What was served, and what people did about it."""
    choice: LaneChoice
    """Its lanes."""


def choose_episodes(
    tx: Transaction,
    policy: str,
    rows: Sequence[ReadyEpisode],
    rules: LaneRules,
    max_policy_age: int,
) -> list[ChosenEpisode]:
    """Return the episodes that some lane learns from; the others end by the rule of the ratio lane."""
    ids = [row.generation_id for row in rows]
    known = {one.id: one for one in episodes_table.load_episodes(tx, policy, ids)}
    origins = dict[str, Episode]()
    if rules.settings.hindsight and rules.own_words is not None:
        told = origins_of(known.values())
        origins = {one.id: one for one in episodes_table.load_episodes(tx, policy, told)}
    chosen, unused = list[ChosenEpisode](), defaultdict[str, list[str]](list)
    for row in rows:
        episode = known[row.generation_id]
        choice = choose_lanes(episode, row, rules, max_policy_age, origins)
        if choice.lane:
            chosen.append(ChosenEpisode(row, episode, choice))
        else:
            unused[choice.rule].append(row.generation_id)
    for rule, names in sorted(unused.items()):
        episodes_table.close(tx, policy, names, rule)
    return chosen


def choose_lanes(
    episode: Episode,
    row: ReadyEpisode,
    rules: LaneRules,
    max_policy_age: int,
    origins: Mapping[str, Episode],
) -> LaneChoice:
    """Return the lanes of a decided answer.

    The ratio lane has what it can use. Of the rest KTO has the decisions, but an edit's where the edit is
    learned from itself, and SFT what was taken. What a person wrote about any of them is learned from beside.
    """
    settings = rules.settings
    rule = fate.exclusion_from_ratio(episode.generation, top_p=settings.top_p)
    if rule is None and not 0 <= row.age <= max_policy_age:
        rule = fate.TOO_OLD
    if rule is None and rules.at_one and episode.generation.sampling.temperature != 1.0:
        rule = fate.OTHER_TEMPERATURE
    if fate.exclusion_from_training(episode.generation, admitted=rules.admitted) is not None:
        return LaneChoice(lane="", rule=rule or "")
    correction, follow_up = _own_words(episode, rules, origins)
    lanes = [] if rule else [RATIO]
    if rule and settings.kto and correction is None:
        lanes.append("kto")
    if correction is not None:
        lanes.append("dpo")
    if rule and settings.sft and row.reward >= settings.sft_from:
        lanes.append("sft")
    if follow_up:
        lanes.append("hindsight")
    if rule and row.age > rules.oldest:
        lanes, rule = [], fate.TOO_OLD
    return LaneChoice(
        lane="+".join(lanes), rule=rule or "", correction=correction, follow_up=follow_up
    )


def _own_words(
    episode: Episode, rules: LaneRules, origins: Mapping[str, Episode]
) -> tuple[Correction | None, str]:
    """Return what the person made of the answer and wrote back, as far as it may be learned from."""
    if rules.own_words is None or not rules.own_words(episode.generation.tenant):
        return None, ""
    correction = None
    if rules.settings.dpo and rules.spell is not None:
        correction = correction_of(episode, rules.spell)
    follow_up = follow_up_of(episode, origins) if rules.settings.hindsight else ""
    return correction, follow_up
