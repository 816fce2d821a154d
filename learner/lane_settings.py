"""Lane settings: what is learned from beside answers with usable log-probabilities, and how much."""

from typing import Annotated

import msgspec

Weight = Annotated[float, msgspec.Meta(ge=0.0)]


class LaneSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[learner.lanes]` of the config file; a lane of weight 0 is off.

    Each lane's part of the loss is a mean over its own tokens, on the scale of an advantage of 1, so
    that none dilutes another; docs/lanes.md has the formulas and what was measured.
    """

    top_p: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.95
    """Answers that top-p cut stay in the ratio lane down to this mass, where the engine's
    log-probabilities are processed; 1 takes none. At 0.95 a step is 7 % off in the median of 100 toy
    worlds, at 0.8 24 % (docs/lanes.md)."""
    kto: Weight = 1.0
    """Weight of the lane that learns from decisions without usable log-probabilities (KTO): greedy
    answers, cut ones, raw log-probabilities, none, and answers too old for the ratio."""
    kto_beta: Annotated[float, msgspec.Meta(gt=0.0)] = 0.1
    """How soon an answer's log-ratio to the base model is enough: 10 nats are, at 0.1."""
    dpo: Weight = 0.5
    """Weight of the lane that learns from edits (DPO): what people made of an answer, over the answer.
    Only of tenants whose `privacy.own_words` allows it."""
    dpo_beta: Annotated[float, msgspec.Meta(gt=0.0)] = 0.1
    """How soon the edit's lead over the answer is enough, as `kto_beta`."""
    dpo_sft: Weight = 0.2
    """Weight, within that lane, of the edit's own likelihood: without it edit and answer may both fall."""
    sft: Weight = 0.0
    """Weight of the lane that imitates accepted answers which make no ratio. It starts a policy from
    answers of another; it says nothing of what is bad, and sharpens what is often answered."""
    sft_from: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.9
    """Least reward of an answer that is imitated."""
    hindsight: Weight = 0.0
    """Weight of the lane that learns from what a person wrote back: the policy that has read it is the
    teacher of the answer before. Only of tenants whose `privacy.own_words` allows it."""
    max_age: Annotated[int, msgspec.Meta(ge=0)] = 32
    """Answers of older versions are in no lane. Above `learner.max_policy_age`, which is the ratio lane's."""
