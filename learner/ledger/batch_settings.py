"""Batch settings: when a batch is sealed, and of what."""

import msgspec


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a batch is sealed, and of what."""

    episodes: int = 256
    """Fewest ready episodes that a batch is sealed of."""
    at_most: int = 1024
    """Most; answers of the newest version come first, and of these the ones decided last."""
    held_out: float = 0.1
    """Share kept from training as evidence for the gate: of answers with usable ratios, and of the users of
    all others (from 8 / share users on)."""
    user_share: float = 0.25
    """Largest share of a batch that answers to one named user may be; more of them are left out
    (`excluded:user_share`). Where fewer users than that are there, each has an equal part."""
    users: int = 1
    """Fewest users whose answers a batch is sealed of, held-out ones among them; all answers to nobody in
    particular count as one user's. Where few say anything, and those often, the learner waits for others.
    1: as many as there are."""
    max_lead: int = 1
    """Versions that the learner may be ahead of the champion."""
