"""Sealed batch: all that one update depends on; it travels to the learner as a JSON file."""

import hashlib
from typing import Annotated

import msgspec

from ..streams.routed_experts import RoutedExperts

Token = Annotated[int, msgspec.Meta(ge=0)]


RATIO = "ratio"
"""The lane of what has usable log-probabilities; the others are named as their weights in `LaneSettings`."""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What a person made of an answer."""

    text: str
    """What stood there afterwards."""
    first: Annotated[int, msgspec.Meta(ge=0)]
    """The first completion token that spells the answer's text."""
    past: Annotated[int, msgspec.Meta(ge=0)]
    """The one after the last that does: what stands before and after (reasoning, the end) stays."""


class SaidMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the request that an answer without tokens was given to."""

    role: str
    """As in the request."""
    text: str
    """What was said."""


class SealedEpisode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that the update needs of one episode."""

    generation_id: str
    """Id of the generation."""
    segment: str
    """Kind of work."""
    version: str
    """Version that served it."""
    age: int
    """Policy age when sealed: versions along the lineage from serving to the parent; -1 where no
    version of this policy served it, as an imported answer."""
    prompt_token_ids: tuple[Token, ...]
    """What the model read."""
    completion_token_ids: tuple[Token, ...]
    """What the model wrote."""
    logprobs: tuple[float, ...]
    """Behaviour log-probability of each completion token, processed."""
    temperature: float
    """The learner divides its logits by it."""
    reward: float
    """In [0, 1]."""
    reward_revision: int
    """Which revision of the episode's reward this is."""
    harness: str = ""
    """Version of the product around the model; left out where it is not known, so that what was sealed
    before it was kept has the same hash."""
    weight: Annotated[float, msgspec.Meta(ge=0.0)] = 1.0
    """How much it counts: 2 is as the episode twice, 0 as if it were not there. Left out where it is 1,
    likewise."""
    credit: tuple[float, ...] = ()
    """What each completion token adds to the reward or takes off it; they sum to 0. Empty where the
    reward is the whole answer's, and left out then, likewise."""
    confound: float = 0.0
    """What the reward holds that the answer did not earn, by what is known of latency and user."""
    top_p: float = 1.0
    """The mass that top-p left when it was drawn. Left out where it is 1, likewise."""
    lane: str = RATIO
    """The lanes that learn from it, joined by +: `ratio`, `kto+sft`, `ratio+dpo`. Left out where it is
    the ratio lane alone, likewise."""
    correction: Correction | None = None
    """For the lane `dpo`."""
    follow_up: str = ""
    """For the lane `hindsight`: what the person wrote back."""
    engine: str = ""
    """The replica that answered. Left out where it is not known, likewise."""
    messages: tuple[SaidMessage, ...] = ()
    """Of an answer without tokens, which the learner spells itself: the request."""
    text: str = ""
    """Likewise, the answer."""
    session: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Answers of the batch with the same number hang together: they are of one session, one goes on from
    the other, or one act on all of them decided them. 0, and left out, where no other one does."""

    person: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of what is held out as preference evidence alone: which of the batch's users it answered, from 1.
    Left out elsewhere, likewise."""

    routed_experts: RoutedExperts | None = None
    """Which experts of a mixture the engine sent its tokens to; left out where nobody told, likewise."""

    traceparent: str = ""
    """The answer's trace context, where it is traced; left out elsewhere, likewise."""

    def in_lane(self, name: str) -> bool:
        """Return whether a lane learns from it."""
        return self.lane == name or name in self.lane.split("+")

    def __post_init__(self) -> None:
        if self.credit and len(self.credit) != len(self.completion_token_ids):
            raise ValueError(
                f"$.credit: {len(self.credit)} values for {len(self.completion_token_ids)} tokens"
            )

    @property
    def earned(self) -> float:
        """What answers are compared by: the reward without the confound; about in [0, 1]."""
        return self.reward - self.confound

    @property
    def stratum(self) -> str:
        """Key of the tracked baseline: one release of the product may earn more than the one before,
        whatever the policy does, and no answer is the better for that."""
        return f"{self.segment} · {self.harness}" if self.harness else self.segment


class PassedOver(msgspec.Struct, frozen=True, kw_only=True):
    """Episodes that were too old to learn from, beside those that were taken, held out or not."""

    taken: int
    """Episodes taken."""
    too_old: int
    """Episodes that were ready, and too old."""
    reward: float
    """Mean reward of those taken; 0 where there is none, as of all means here."""
    too_old_reward: float
    """Mean reward of those too old."""
    standard_error: float
    """Of the difference of these two."""
    delay: float
    """Mean seconds from an answer to the first feedback on it, of those taken."""
    too_old_delay: float
    """The same of those too old."""
    segments_apart: float
    """Total variation between their shares of the segments: 0 alike, 1 nothing in common."""

    @property
    def sentence(self) -> str:
        """What a person reads of it; empty where nothing was too old."""
        share = self.too_old / max(self.taken + self.too_old, 1)
        if not self.too_old or not self.taken:
            return f"{self.too_old}, and none taken" if self.too_old else ""
        gap, error = self.too_old_reward - self.reward, self.standard_error
        return (
            f"{self.too_old} ({share:.0%}): reward {gap:+.3f} ± {error:.3f} beside what was taken,"
            f" first feedback after {self.too_old_delay:.1f} s in place of {self.delay:.1f} s,"
            f" {self.segments_apart:.0%} of other segments"
        )


class SealedBatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The unit of exactly-once (CONTRACTS 17, 18): immutable from sealing on."""

    batch_id: int
    """Grows by one with each batch of the policy."""
    policy: str
    """Name of the policy."""
    parent_sequence: int
    """Sequence number of the checkpoint that the update starts from."""
    spec_version: str
    """Version of the reward spec."""
    episodes: tuple[SealedEpisode, ...]
    """Trained on, in this order."""
    held_out: tuple[SealedEpisode, ...]
    """Never trained on: evidence for the gate."""
    offsets: dict[str, int]
    """`topic/partition` to next offset when sealed; lineage for people."""
    passed_over: PassedOver | None = None
    """What was too old for it, since the batch before, beside what it took. Left out of a batch that was
    sealed before this was counted, whose hash stays."""


def batch_hash(batch: SealedBatch) -> str:
    """SHA-256 of the batch, hex; goes into the manifest."""
    return hashlib.sha256(msgspec.json.encode(batch, order="sorted")).hexdigest()


def as_scored(name: str, ids: tuple[int, ...]) -> SealedEpisode:
    """Return a sequence whose tokens but the first are scored, at temperature 1."""
    return SealedEpisode(
        generation_id=name,
        segment="",
        version="",
        age=0,
        prompt_token_ids=ids[:1],
        completion_token_ids=ids[1:],
        logprobs=(0.0,) * (len(ids) - 1),
        temperature=1.0,
        reward=0.0,
        reward_revision=0,
    )
