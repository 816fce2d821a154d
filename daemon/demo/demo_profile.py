"""Demo profile: what a demo's daemon is set to, beside the addresses of its processes."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...learner.settings import LearnerSettings
from ..worlds.styles import pretraining_pairs

PRETRAINING_STEPS = 350

LEARNER = """\
[learner]        # gentler by default; these are for a tiny policy that is to learn in minutes
model = "policy"
device = "cpu"
lora_rank = 8
lora_alpha = 16.0
learning_rate = 5e-3    # 7e-3 ends at 0.8 in place of 0.9 (docs/regions.md)
eps = 1e-5          # calmer late versions than 1e-8, measured
warmup_steps = 0
passes = 4
minibatch_episodes = 32
trust_region = "decoupled"
ratio_mask = 0.3
negative_weight = 0.2    # the default, 1, is the mean reward: too rough at this rate (docs/regions.md)
kl_weight = 0.05
max_policy_age = 8
estimator = "tracker"   # what this profile was measured with (docs/estimators.md)
pack_tokens = 128
threads = 1
nice = 0               # it is to keep up with the crowd, even where others share the cores
seed = {seed}

[learner.lanes]
kto = 0.0         # one lane, so that the page shows what it alone does
dpo = 0.0
"""


RELEASE = """\
[batch]
episodes = {episodes}
at_most = 512          # what came while the learner was at work, at whatever age
held_out = 0.1
max_lead = 6           # it goes on while a version is tried: the newest is tried next

[gate]
margin = 0.1
weak_first_step = 1.0   # a batch is small, and its few held-out episodes always weak
probe_rounds = 0        # its policy understands 48 questions, and none of the probes'

[rollout]        # half of the crowd each, and promotion as not worse by a quarter
steps = [0.49]
anchor_share = 0.02
step_users = 0
step_seconds = 0.0
min_users = 80
margin = {margin}
planned_users = 160
deadline_seconds = 24.0   # one that nobody can tell from its control makes way for a newer one
gate_seconds = 60.0
bake_seconds = 2.0
linger_seconds = 10.0

[comparison]
horizon_seconds = 1.0  # its people decide within half a second

[rollout.watch]
seconds = 2.0          # as shipped, at a demo's pace
"""

SPEC = """\
# The demo's people decide within half a second, so its horizons are short.
name = "demo"

[ready]
default = 0

[decision]
default = 20

[horizons]
accepted = 20
rejected = 20
edited = 20
undone = 20
rated = 20
kept = 60

[parts]
accepted = 1.0
edit_similarity = 0.5
kept = 0.5
rated = 0.5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Parts of a config, as TOML."""

    learner: str
    """`[learner]` and what is below it; `model` is relative to the demo's folder."""
    release: str
    """`[batch]`, `[gate]`, `[rollout]` and `[comparison]`."""
    rewards: str
    """The reward spec."""
    course: Mapping[str, Any] = field(default_factory=lambda: {"examples": pretraining_pairs()})
    """What a tiny policy is taught before anybody meets it, as `learner.tiny.pretrain` reads it."""
    steps: int = PRETRAINING_STEPS
    """For how many steps."""


def tiny_profile(seed: int, *, episodes: int = 128, margin: float = 0.25) -> Profile:
    """Return the profile of the tiny policy.

    `episodes` is `batch.episodes`, `margin` is `rollout.margin`: how much worse than its control a
    promoted version may be.
    """
    return Profile(
        learner=LEARNER.format(seed=seed),
        release=RELEASE.format(episodes=episodes, margin=margin),
        rewards=SPEC,
    )


def demo_learner() -> LearnerSettings:
    """Return what the tiny policy's learner is set to; its seed is still 0."""
    return msgspec.convert(tomllib.loads(LEARNER.format(seed=0))["learner"], LearnerSettings)
