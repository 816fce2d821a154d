"""Yield settings: how the learner makes way for people's requests on a machine that it shares with them."""

from typing import Annotated

import msgspec


class YieldSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[learner.yielding]` of the config file; docs/shared_machine.md has what was measured."""

    above_seconds: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """While a gateway's requests take longer than this (their 95th percentile, over 10 seconds, to the last
    byte), the learner pauses between two forward passes. 0 never pauses."""
    batch_seconds: Annotated[float, msgspec.Meta(ge=0.0)] = 300.0
    """Longest that one batch is paused, all its pauses together; then it goes on whatever requests take."""
