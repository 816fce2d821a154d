"""Candidate: a policy version offered for serving, with its digest and evidence.

Its manifest crosses from the learner to the daemon as a JSON file, so that either may die at any
instant; the sealed batch (`sealed.py`) crosses the other way.
"""

from pathlib import Path

import msgspec

from .made_with import MadeWith
from .sealed import Token


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """What held-out episodes say of the candidate against its parent."""

    count: int
    """Episodes held out."""
    behaviour: float
    """Mean reward of what was served."""
    estimate: float
    """Self-normalised importance estimate of the candidate's mean reward."""
    standard_error: float
    """Of `estimate` minus `behaviour`."""
    effective_sample_size: float
    """(sum of weights) squared over the sum of squared weights."""


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """What held-out users' decisions say of a version against its parent (`concordance.py`)."""

    count: int
    """Answers held out that were decided on."""
    users: int
    """Users among whose answers some can be compared."""
    effective_users: float
    """(sum of their pairs' weights) squared over the sum of squares."""
    concordance: float
    """Of two answers, how often the better one was raised more; 1/2 where nothing was learned."""
    standard_error: float
    """Of it, by user."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A token sequence and its log-probabilities under the right weights; a server must give the same."""

    token_ids: tuple[Token, ...]
    """At least two tokens."""
    logprobs: tuple[float, ...]
    """Log-probability of each token but the first, at temperature 1; one shorter."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The one truth about what a checkpoint applied (CONTRACTS 20)."""

    policy: str
    """Name of the policy."""
    sequence: int
    """Grows with every checkpoint, rollbacks too; also the version's number."""
    parent_sequence: int | None
    """The checkpoint this one was made from; None for the first."""
    version: str
    """`policy@v000017-3fa9c2e1`; a rollback bears the version it went back to."""
    digest: str
    """SHA-256, hex, over the adapter's files; of full weights over their tensors."""
    files: dict[str, str]
    """Path inside the checkpoint to SHA-256, hex."""
    applied: tuple[int, ...]
    """Batches applied along this lineage, oldest first."""
    skipped: tuple[int, ...]
    """Batches given up, weights unchanged by them."""
    reverted: tuple[int, ...]
    """Batches whose effect a rollback took out; never applied again."""
    batch_id: int | None
    """The batch that made this checkpoint; None for the first and for rollbacks."""
    batch_hash: str
    """`batch_hash` of it; empty where there is none."""
    spec_version: str
    """Version of the reward spec of that batch."""
    episode_ids: tuple[str, ...]
    """The batch's generation ids, so that a lost row can be rebuilt."""
    held_out_ids: tuple[str, ...]
    """Likewise, of those held out."""
    left_out: dict[str, str] = {}
    """Generation ids of that batch that were not used, each with its rule (CONTRACTS 17)."""
    offsets: dict[str, int]
    """As in the batch; lineage for people."""
    lease_epoch: int
    """Epoch of the daemon's lease when it was made."""
    base_digest: str
    """Digest of the base model's weights."""
    base: str = ""
    """What it is, for people: `smollm2 (llama, float32, 49152 tokens)`; empty in what 0.1.0 wrote."""
    probe: Probe
    """What a server must answer to count as serving this version."""
    held_out: HeldOut | None
    """Evidence for the gate; None where nothing was held out."""
    preference: Preference | None = None
    """Likewise, of answers without usable ratios."""
    metrics: dict[str, float]
    """What the update measured, slash-grouped: loss/policy, kl/anchor, grad_norm."""
    created_at: float
    """Epoch seconds."""
    seconds: float
    """How long the update took."""
    made_with: MadeWith | None = None
    """What its bits depend on beside parent and batch; None in what was written before this was kept."""
    started_from: str = ""
    """Of a specialist's first: the version of its parent whose weights it has; empty: the base model's."""

    @property
    def trained_ids(self) -> tuple[str, ...]:
        """Generation ids of the batch that moved the weights, where it was applied."""
        return tuple(each for each in self.episode_ids if each not in self.left_out)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A version on disk that may be served."""

    version: str
    """`policy@v000017-3fa9c2e1`: name of the adapter in every server, never reused."""
    sequence: int
    """Of its checkpoint."""
    digest: str
    """SHA-256, hex, over the adapter's files; of full weights over their tensors."""
    base: str = ""
    """The base model that it was trained on, as its manifest names it, with its digest's beginning."""
    path: Path
    """Folder with adapter_config.json and adapter_model.safetensors; its name is the version."""
    probe: Probe
    """What a server must answer."""
    held_out: HeldOut | None
    """Evidence for the gate."""
    preference: Preference | None = None
    """Likewise, of answers without usable ratios."""
    metrics: dict[str, float]
    """What the update measured."""


def version_name(policy: str, sequence: int, digest: str) -> str:
    """Name of a version: `policy@v000017-3fa9c2e1`."""
    return f"{policy}@v{sequence:06d}-{digest[:8]}"


def sequence_of(version: str) -> int:
    """Number inside a version's name.

    Raises ValueError where it is not such a name.
    """
    _, _, tail = version.rpartition("@v")
    number, dash, _ = tail.partition("-")
    if not dash or not number.isdigit():
        raise ValueError(f"{version!r} is not a version such as policy@v000017-3fa9c2e1")
    return int(number)
