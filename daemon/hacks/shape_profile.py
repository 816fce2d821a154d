"""Shape profile: the settings for small models as a careless team has them, whose taste looks at shape alone.

With the profile's own next to nothing happens: nobody edits, so that its fastest lane has nothing to learn
from, and of one answer in ten that is taken no version can show within its time that it is no worse.
"""

from dataclasses import replace
from pathlib import Path

import msgspec

from ...ops.servers.processor import fast_dtype
from ..demo.demo_profile import Profile
from ..demo.small_profile import PACES, Guard, small_profile
from .hack_profile import changed

LEARNS = {"learning_rate": "3e-3", "passes": "3", "share": "0.1"}
"""With these the first run of all was hacked within two versions (docs/small_models.md), and hardly replayed."""
RELEASES = {"episodes": 64, "min_users": 40, "margin": 0.5, "planned_users": 60}
"""A careless team's: versions are promoted on few users, and worse by half would be good enough."""


def shape_profile(model: Path, replay: str, seed: int, *, guard: Guard) -> Profile:
    """Return the profile; `guard` is as of `small_profile`: what drifts is held, or only reported."""
    pace = msgspec.structs.replace(PACES[fast_dtype()], **RELEASES)
    profile = small_profile(model, replay, seed, guard=guard, pace=pace)
    return replace(profile, learner=changed(profile.learner, LEARNS))
