"""Rollout record: where a rollout is, how it came there, and what is known of it."""

import enum

import msgspec

from ..statistics.verdict import Verdict


class Stage(enum.StrEnum):
    """Where a rollout is."""

    OFFERED = "offered"
    """The gate has not judged the candidate yet."""
    GATED = "gated"
    """The gate passed it; nobody is served by it yet."""
    SHADOW = "shadow"
    """It answers mirrored requests, and nobody is shown its answers."""
    CANARY = "canary"
    """A share of the users is served by it, in rising steps."""
    PROMOTED = "promoted"
    """It is the champion, and bakes beside a control on the champion before it."""
    SETTLED = "settled"
    """The bake is over."""
    ROLLED_BACK = "rolled_back"
    """It did harm, or an operator took it back."""
    SUPERSEDED = "superseded"
    """It ran out of time and is not blamed."""
    QUARANTINED = "quarantined"
    """Gate or shadow refused it; it never served anybody."""


ENDED = frozenset({Stage.SETTLED, Stage.ROLLED_BACK, Stage.SUPERSEDED, Stage.QUARANTINED})
"""No move follows these."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the trail."""

    stage: Stage
    """Stage that was entered."""
    step: int
    """Index into the steps; 0 outside the canary."""
    at: float
    """Epoch seconds."""
    reason: str
    """Why it was entered, as pages and logs show it."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one candidate's release."""

    version: str
    """The candidate; also the salt of the experiment."""
    digest: str
    """Of its adapter, hex."""
    control: str
    """The champion it is compared with."""
    stage: Stage
    """Where it is."""
    step: int = 0
    """Index into the steps."""
    entered_at: float
    """Epoch seconds at which this stage and step began."""
    deadline: float
    """Epoch seconds at which this stage ends by itself."""
    verdict: Verdict
    """Of the last look."""
    gate: Verdict | None = None
    """What the gate said last, with all its evidence; None until it spoke."""
    shadow: Verdict | None = None
    """What the last look at its mirrored answers said; None where there was no shadow."""
    looks: int = 0
    """Looks so far."""
    first_step: float = 1.0
    """Part of the first step's share that it has: less while the gate knows little of it."""
    split_broken: bool = False
    """The users were once found split wrongly; this never heals."""
    held: str = ""
    """Why a metric once held it, such as fewer people answering it; this never heals."""
    doubt: str = ""
    """Why it was not promoted at the last look, though its rewards say so: what it seems to do."""
    doubted_since: float = 0.0
    """Since when only a doubt keeps it from promotion, epoch seconds: a look at what it does from before says
    nothing of what its rewards are shown of. 0 where something else keeps it."""
    overruled: str = ""
    """What held it when a person promoted it all the same: it holds it no more."""
    quarantine: bool = False
    """Refused for cause: the digest may never be offered again."""
    out_of_time: bool = False
    """Ended because its time was over: nothing was shown for it, nor against it."""
    learner_returns: bool = False
    """Given up, for cause or not: the learner, which stands on it, goes back to the champion; unless it
    was only out of time, and what was made from it is tried in its place."""
    trail: tuple[Move, ...] = ()
    """How it came here, oldest first."""

    @property
    def ended(self) -> bool:
        """True once no move follows."""
        return self.stage in ENDED

    @property
    def serving(self) -> bool:
        """True while candidate and control are compared: on the way up, and while it bakes."""
        return self.stage in (Stage.CANARY, Stage.PROMOTED)

    @property
    def promoted_at(self) -> float:
        """Epoch seconds at which it was promoted, which a hold does not move; it must have been."""
        return next(move.at for move in self.trail if move.stage is Stage.PROMOTED)

    @property
    def overruled_at(self) -> float:
        """Epoch seconds at which it was promoted last: again, where a person did over what held its bake."""
        return next(move.at for move in reversed(self.trail) if move.stage is Stage.PROMOTED)

    @property
    def why(self) -> str:
        """Why it is where it is, for a line in a list: what keeps it from promotion, or its last move's reason."""
        if self.doubt and not self.ended:
            return self.doubt
        return self.trail[-1].reason if self.trail else ""

    @property
    def passed_gate(self) -> bool:
        """True once the gate let it on."""
        return any(move.stage is Stage.GATED for move in self.trail)

    @property
    def has_served(self) -> bool:
        """True once anybody may have been on the candidate."""
        return any(move.stage is Stage.CANARY for move in self.trail)


def held_still(before: Rollout, after: Rollout, reason: str) -> Rollout:
    """Return the rollout where it was, with what a look showed and what holds it.

    What never heals is kept, though nothing follows from it before the hold ends.
    """
    verdict = msgspec.structs.replace(after.verdict, reasons=(reason, *after.verdict.reasons))
    return msgspec.structs.replace(
        before,
        verdict=verdict,
        looks=max(before.looks, after.looks),
        split_broken=after.split_broken,
        held=after.held,
        doubt=after.doubt,
        doubted_since=after.doubted_since,
    )


def shifted(rollout: Rollout, seconds: float) -> Rollout:
    """Return the rollout with its time moved on by the length of a hold."""
    return msgspec.structs.replace(
        rollout, entered_at=rollout.entered_at + seconds, deadline=rollout.deadline + seconds
    )
