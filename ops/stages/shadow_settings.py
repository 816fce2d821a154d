"""Shadow settings: whether a candidate answers mirrored requests before anybody meets it."""

from typing import Literal

import msgspec


class ShadowSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[rollout.shadow]`: mirrored requests, within the engines' free capacity, shown to nobody."""

    share: float = 0.0
    """Share of the champion's requests that a candidate is asked too; 0 leaves the stage out."""
    answers: int = 200
    """Mirrored answers to named users, beside the champion's, that the first step waits for; the
    users among them must be `rollout.guardrail.harm_users` at least, for no fewer show harm."""
    seconds: float = 3600.0
    """Greatest time of the stage."""
    longer: float = 0.5
    """By what share of the champion's its answers may be longer: 0.5 is half as long again."""
    starved: Literal["canary", "supersede"] = "canary"
    """What becomes of a candidate that nothing speaks against and that had too few mirrored answers in
    the time, since the engines had no room: its first users, or an end without blame."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or not self.longer >= 0:
            raise ValueError(
                f"share must lie in [0, 1] and longer be at least 0: they are {self.share:g} and"
                f" {self.longer:g}"
            )
        if self.answers < 2 or not self.seconds > 0:
            raise ValueError(
                f"answers must be at least 2 and seconds above 0: they are {self.answers} and"
                f" {self.seconds:g}"
            )
