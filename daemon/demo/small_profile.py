"""Small profile: settings for an open model of some hundred million parameters that is to learn on two cores.

docs/small_models.md says what each was chosen by.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from ...ops.servers.processor import fast_dtype
from .demo_profile import Profile

Guard = Literal["on", "off"]

RANK = 8
ENGINE: dict[str, Any] = {
    "max_lora_rank": RANK,
    "max_loras": 4,
    "max_cpu_loras": 8,
    "one_core": True,
}
"""Options of the vLLM server, beside the precision."""

LEARNER = """\
[learner]        # a small open model on a CPU; docs/small_models.md has what was measured
model = "{model}"
device = "cpu"
dtype = "{dtype}"      # what the processor multiplies fastest, as the engine's
lora_rank = 8
lora_alpha = 16.0
learning_rate = 2e-3
eps = 1e-5
warmup_steps = 0
passes = 2
minibatch_episodes = 16   # a step costs nothing but its tokens
trust_region = "decoupled"
ratio_mask = 0.7
negative_weight = 0.2
kl_weight = 0.005       # at 0.05 the base undoes what was learned once little is left to learn: `kl/pull`
max_policy_age = 8
max_episode_tokens = 256
estimator = "tracker"
pack_tokens = 64        # an answer a row: attention costs the square of a row
rows_per_forward = 16
threads = 1
nice = 0
seed = {seed}

[learner.lanes]
kto = 0.0
dpo = 1.0         # edits teach fastest where next to nothing is taken at first
dpo_sft = 1.0

[learner.replay]
texts = "{replay}"
share = 0.25      # with 0.1, and batches of 64, a seed forgot 4 of 18 everyday questions
weight = 0.5

"""

RELEASE = """\
[privacy]
own_words = true       # the team agrees that its edits are learned from

[batch]
episodes = {pace.episodes}
at_most = {pace.episodes}
held_out = 0.1
max_lead = 3           # it goes on while a version is tried: the newest is tried next

[gate]
margin = 0.1
weak_first_step = 1.0   # a batch is small, and its few held-out episodes always weak
probe_tolerance = 2.0   # both sides compute in bfloat16: honest versions were 0.3 to 0.7 off at their worst token
probe_rounds = 0        # at an answer a second 48 questions would take as long as a canary
max_drift = {max_drift}

[rollout]
steps = [0.49]
anchor_share = 0.02
step_users = 0
step_seconds = 0.0
min_users = {pace.min_users}
margin = {pace.margin}
planned_users = {pace.planned_users}
deadline_seconds = {pace.deadline_seconds}   # until a version has its users: at 2.5 answers a second, or in float32 at 1.2
gate_seconds = 120.0
bake_seconds = 10.0
linger_seconds = 20.0

[rollout.watch]
on_alarm = "{on_alarm}"
seconds = 10.0
planned_users = 60

[comparison]
horizon_seconds = 1.0  # its people decide within half a second
"""

SPEC = """\
# The team decides within half a second, so its horizons are short.
name = "commits"

[ready]
default = 0

[decision]
default = 20

[horizons]
accepted = 20
rejected = 20
edited = 20
undone = 20
kept = 60

[parts]
accepted = 1.0
edit_similarity = 0.5
kept = 0.5
"""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How much is waited for at each turn of the loop, by how fast the processor answers and learns."""

    episodes: int
    """Answers of a batch."""
    min_users: int
    """Fewest users a variant before a version is judged."""
    margin: float = 0.1
    """By how much a version may be worse."""
    planned_users: int = 100
    """Users a variant that a rollout is planned for."""
    deadline_seconds: float
    """Until a version has its users."""


PACES = {
    "bfloat16": Pace(episodes=64, min_users=60, deadline_seconds=75.0),
    "float32": Pace(episodes=24, min_users=40, deadline_seconds=240.0),
}
"""Without instructions for bfloat16 half as many answers come, and each takes three times as long to learn
from: with batches of 64 what people taught was served to nobody for more than three minutes."""


def small_engine() -> dict[str, Any]:
    """Return the options of its vLLM server, which holds the model in the learner's precision."""
    return {"dtype": fast_dtype(), **ENGINE}


def small_profile(
    model: Path, replay: str, seed: int, *, guard: Guard = "on", pace: Pace | None = None
) -> Profile:
    """Return the profile; without guards drift is reported, and holds and refuses nothing.

    The pace is that of this processor's precision where none is given.
    """
    held = guard == "on"
    return Profile(
        learner=LEARNER.format(model=model, replay=replay, seed=seed, dtype=fast_dtype()),
        release=RELEASE.format(
            max_drift=5.0 if held else 0.0,
            on_alarm="hold" if held else "report",
            pace=pace or PACES[fast_dtype()],
        ),
        rewards=SPEC,
    )
