"""Drift settings: how far one version, and a day's versions, may take the policy from where it began."""

from typing import Annotated

import msgspec

Nats = Annotated[float, msgspec.Meta(ge=0.0)]


class DriftSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[learner.drift]` of the config file; 0 sets no budget, and what is measured is reported all the same.

    KL is that of the policy to the base model, exact over the vocabulary, a mean over the tokens of a
    fixed set of texts: forgetting follows it (arXiv 2509.04259). docs/staying.md says what to set.
    """

    probes: str = ""
    """File of texts it is measured on, a JSON object a line: `{"text": "..."}` or `{"token_ids": [...]}`.
    Empty takes eight short ones of prose, code and data."""
    version_kl: Nats = 0.0
    """Most nats a token that one version may add. One that adds more is not made: its batch is skipped
    (`excluded:drift`), and the weights are as before."""
    version_norm: Nats = 0.0
    """Likewise, most that its update may be long, beside the length of what learns, the adapter or all weights (L2)."""
    day_kl: Nats = 0.0
    """Nats a token that the versions of 24 hours may add together; once they have, no batch is given to
    the learner until some of it is older, and `/readyz` says so."""
