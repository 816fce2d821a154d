"""Replay settings: texts on which the policy is held to the base model while it learns."""

from typing import Annotated

import msgspec


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[learner.replay]` of the config file; docs/staying.md has what was measured."""

    texts: str = ""
    """File of what must not be forgotten, a JSON object a line: `{"text": "..."}` or
    `{"token_ids": [...]}`. Empty replays nothing."""
    share: Annotated[float, msgspec.Meta(ge=0.0)] = 0.25
    """Tokens of it to one token of the batch, in every step."""
    weight: Annotated[float, msgspec.Meta(ge=0.0)] = 1.0
    """Weight of their mean KL(policy to base model), beside the mean over the batch's own tokens."""
