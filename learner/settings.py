"""LearnerSettings: how much one sealed batch may move the policy. Importable without torch."""

from typing import Annotated, Literal

import msgspec

from .drift_settings import DriftSettings
from .lane_settings import LaneSettings
from .replay_settings import ReplaySettings
from .service_settings import ServiceSettings
from .trust_region import Name, TrustRegion, trust_region
from .yield_settings import YieldSettings

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Decay = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


NOT_AT_A_SERVICE: dict[str, dict[str, float | str]] = {
    "": {"kl_weight": 0.0, "average": 0.0, "processes": 1, "weights": "adapter"},
    "drift": {
        "drift.probes": "",
        "drift.version_kl": 0.0,
        "drift.version_norm": 0.0,
        "drift.day_kl": 0.0,
    },
    "replay": {"replay.texts": ""},
    "yielding": {"yielding.above_seconds": 0.0},
}
"""By section, what has to be so behind a training service: the rest needs the whole vocabulary, the
weights, or hidden states."""


class LearnerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `[learner]` of the config file.

    The defaults are for a production model of 1 to 8 billion parameters; `rlwd demo` has its own.
    """

    model: str = ""
    """Folder of the Hugging Face base model; its files are never written."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes CUDA where there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the base model, and of versions of full weights; what learns, and its moments, are float32 always.
    bfloat16 is for GPUs, and for cores with instructions for it: others emulate it, at an eighth of the
    speed of float32 or less."""
    weights: Literal["adapter", "full"] = "adapter"
    """What learns: a LoRA adapter beside the base model, or every weight of it (docs/full_weights.md), at a
    rate ten times smaller; versions of full weights are served by `rlwd router`."""
    whole_every: Count = 25
    """Of full weights: versions from one checkpoint that holds them whole to the next; those between hold
    what changed."""
    lora_rank: Count = 32
    """Rank of the adapter on every linear layer."""
    lora_alpha: Positive = 32.0
    """The adapter's output is scaled by alpha / rank."""
    learning_rate: Positive = 2e-5
    """Ten times a full fine-tuning's, as LoRA wants."""
    warmup_steps: Annotated[int, msgspec.Meta(ge=0)] = 20
    """Optimizer steps, over the policy's whole life, until the rate is full."""
    beta1: Decay = 0.9
    """Adam's decay of the first moment."""
    beta2: Decay = 0.95
    """Adam's decay of the second moment."""
    eps: Positive = 1e-8
    """Adam's floor below the square root of the second moment."""
    clip_norm: Positive = 1.0
    """Gradients longer than this are shortened to it."""
    passes: Count = 4
    """Times that the update goes over a sealed batch."""
    minibatch_episodes: Count = 64
    """Episodes to one optimizer step; turns that continue one another go into the same one."""
    trust_region: Name = "decoupled"
    """How far tokens may pull the policy from what drew them; each preset's formula, numbers and use
    are in docs/regions.md. With answers of several versions in a batch and `negative_weight` at 1 this
    one taught the tiny policy best (0.79 of its last 500 answers taken; `clipped` 0.54)."""
    ratio_cap: NotNegative | None = None
    """In place of the preset's: importance ratios are cut here (C of truncated importance sampling);
    0 cuts none."""
    ratio_mask: NotNegative | None = None
    """In place of the preset's: a token whose ratio already left 1 by more, on the side the step
    pushes to, is left out; 0 leaves none out."""
    probability_mask: Fraction | None = None
    """In place of the preset's: a token whose probability moved by more to where the step pushes it
    is left out; 0 leaves none out."""
    sequence_limit: Positive | None = None
    """In place of the preset's: the bound of its filter on whole answers."""
    ess_floor: Fraction = 0.3
    """Least effective sample size of the importance ratios, a token that pulls: below it a batch gets no
    step (`excluded:low_ess`), and no further pass is begun. 0 sets no floor."""
    negative_weight: NotNegative = 1.0
    """Weight of tokens whose advantage is below 0, and of what was disliked in the lane `kto`. Only at 1 is the mean reward what is learned: at
    0.2 a coin worth 0.5 is preferred to a sure 0.6 (share 1.00 after 30 batches; at 1: 0.02)."""
    token_credit: NotNegative = 1.0
    """How much a token's own credit counts beside its answer's, where people edited answers: what they
    left is up, what they deleted down; 0 gives every token of an answer the same."""
    kl_weight: NotNegative = 0.05
    """Weight of KL(policy to anchor) per token; 0 saves the anchor's forward pass,
    but for the estimator `contextual`."""
    max_policy_age: Annotated[int, msgspec.Meta(ge=0)] = 8
    """Episodes served by an older version are left out and counted."""
    pack_tokens: Annotated[int, msgspec.Meta(ge=8)] = 2048
    """Tokens to a packed row; an episode longer than this goes through the model alone."""
    rows_per_forward: Count = 8
    """Rows in one forward pass; gradients of the others are accumulated."""
    max_episode_tokens: Annotated[int, msgspec.Meta(ge=2)] = 8192
    """Prompt and answer together; longer episodes are left out (`excluded:too_long`). One of this
    length goes through the model alone, so memory is bounded by it and by the pack."""
    estimator: Literal["tracker", "exponential_mean", "reinforce_plus_plus", "contextual"] = (
        "contextual"
    )
    """What an answer is held against: the mean of its segment, of its latest answers, of the batch, or
    what its prompt lets expect (docs/estimators.md). All are kept up and reported, so it may be changed."""
    mean_decay: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.95
    """Share of `exponential_mean` that the next answer leaves standing: a memory of 20 episodes."""
    parent_count: NotNegative = 8.0
    """Episodes that the average of a segment's parent is worth to it: of other harnesses, then of other
    segments; 0 lets none borrow."""
    context_features: Count = 256
    """Numbers that are kept of a prompt's pooled state for `contextual`; the checkpoint holds their square."""
    context_half_life: Positive = 1.0
    """Mean change of log-probability after which what prompts earned counts half to `contextual`."""
    half_life: Positive = 0.06
    """Mean change of log-probability after which the tracker's evidence counts half."""
    rho_min: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.875
    """The least that evidence is kept: a memory of 8 episodes."""
    rho_max: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.96
    """The most that evidence is kept: a memory of 25 episodes."""
    prior_count: Positive = 8.0
    """Episodes, at most, that the first batch of a new segment is worth to its baseline."""
    advantage_floor: Positive = 0.05
    """Advantages are divided by their spread, but by no less than this (rewards are in [0, 1])."""
    average: Decay = 0.0
    """Share of the moving average of adapters that a version leaves standing, where the average is what
    is offered: 0.8 remembers five versions. 0 offers the weights that are trained."""
    mismatch_difference: Positive = 0.5
    """A token whose log-probability differs by more between engine and learner counts as
    `mismatch/beyond` (docs/health.md)."""
    probe_tokens: Annotated[int, msgspec.Meta(ge=2)] = 32
    """Length of the probe that a server must answer."""
    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Processes that make each update together on this machine (docs/scale.md): one to a GPU, or on a CPU
    one to its threads. They divide the weights and each batch's answers."""
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    """CPU threads of a process; 0 leaves torch's own choice, and of several gives each its share of the
    cores. OPENBLAS_NUM_THREADS of the daemon's environment is for its own numpy, and does not reach them."""
    hang_seconds: Positive = 3600.0
    """A learner that says nothing for so long while it starts, or in the middle of its work, is killed and
    started again; it speaks before forward passes, and loads its model and writes a checkpoint without a word.
    Of several, one that does not answer the others for nine tenths of it ends all (docs/scale.md). At a
    training service nothing is counted."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 10
    """Added to the process's niceness, so that serving on the same cores comes first."""
    seed: int = 0
    """Of an adapter's first weights and of the order of episodes."""
    lanes: LaneSettings = LaneSettings()
    """`[learner.lanes]`: what is learned from beside answers with usable log-probabilities."""
    drift: DriftSettings = DriftSettings()
    """`[learner.drift]`: how far a version, and a day's versions, may move."""
    replay: ReplaySettings = ReplaySettings()
    """`[learner.replay]`: texts on which the policy is held to the base model."""
    service: ServiceSettings = ServiceSettings()
    """`[learner.service]`: a training service in place of our own learner."""
    yielding: YieldSettings = YieldSettings()
    """`[learner.yielding]`: how it makes way for people's requests on a shared machine."""

    def __post_init__(self) -> None:
        if self.rho_min > self.rho_max:
            raise ValueError(f"learner.rho_min: {self.rho_min} is above rho_max {self.rho_max}")
        _ = self.region  # says where a number fits no preset
        if self.service.url:
            self._fits_a_service()

    def _fits_a_service(self) -> None:
        """Raise ValueError with every key that asks for what a training service does not offer."""
        if not self.service.model:
            raise ValueError("learner.service.model: names no base model of the service")
        told = [
            f"{key} = {of!r}"
            for section, keys in NOT_AT_A_SERVICE.items()
            for key, of in keys.items()
            if getattr(getattr(self, section) if section else self, key.rpartition(".")[2]) != of
        ]
        if self.estimator == "contextual":
            told.append('estimator = "tracker"')
        if told:
            raise ValueError(
                "learner.service.url: a training service says log-probabilities of given tokens, and takes "
                f"weights for them; it needs, in [learner], {', '.join(told)} (docs/learner_service.md)"
            )

    @property
    def region(self) -> TrustRegion:
        """The preset with the numbers that replace its own."""
        return trust_region(
            self.trust_region,
            ratio_cap=self.ratio_cap,
            ratio_mask=self.ratio_mask,
            probability_mask=self.probability_mask,
            sequence_limit=self.sequence_limit,
        )


class LearnerProcessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the daemon tells a learner child at its start, as a JSON file."""

    learner: LearnerSettings
    """How to learn."""
    policy: str
    """Name of the policy."""
    folder: str
    """The checkpoint folder, `state/checkpoints`."""
    lease_epoch: Annotated[int, msgspec.Meta(ge=0)]
    """Epoch of the daemon's lease; a learner of an older one may not write a checkpoint."""
    quarantined: tuple[str, ...] = ()
    """Digests of versions refused for cause; no chain that holds one is started from."""
    start: str = ""
    """Of a specialist: folder of the adapter that its v0 is, named as its parent's version; empty: v0 is the
    base model."""
    start_base: str = ""
    """Digest of the base model that this adapter is of."""
