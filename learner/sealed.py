"""Sealed batch: all that one update depends on; it travels to the learner as a JSON file."""

import hashlib
from typing import Annotated

import msgspec

Token = Annotated[int, msgspec.Meta(ge=0)]


class SealedEpisode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that the update needs of one episode."""

    generation_id: str
    """Id of the generation."""
    segment: str
    """Kind of work."""
    version: str
    """Version that served it."""
    age: int
    """Policy age when sealed: versions along the lineage from serving to the parent."""
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


class SealedBatch(msgspec.Struct, frozen=True, kw_only=True):
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


def batch_hash(batch: SealedBatch) -> str:
    """SHA-256 of the batch, hex; goes into the manifest."""
    return hashlib.sha256(msgspec.json.encode(batch, order="sorted")).hexdigest()
