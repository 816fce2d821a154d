"""Shape profile: the settings for small models as a careless team has them, whose taste looks at shape alone.

With the profile's own next to nothing happens: nobody edits, so that its fastest lane has nothing to learn
from, and of one answer in ten that is taken no version can show within its time that it is no worse.
"""

from pathlib import Path

from ..demo.demo_profile import Profile
from ..demo.small_profile import Guard, small_profile
from .hack_profile import changed

LEARNS = {"learning_rate": "3e-3", "passes": "3"}
"""With these the first run of all was hacked within two versions (docs/small_models.md)."""
KEPT = "min_users = 60\nmargin = 0.1\nplanned_users = 100\n"
RELEASES = "min_users = 40\nmargin = 0.5\nplanned_users = 60\n"
"""A careless team's: versions are promoted on few users, and worse by half would be good enough."""


def shape_profile(model: Path, replay: str, seed: int, *, guard: Guard) -> Profile:
    """Return the profile; `guard` is as of `small_profile`: what drifts is held, or only reported."""
    profile = small_profile(model, replay, seed, guard=guard)
    assert profile.release.count(KEPT) == 1, f"the small profile has not one {KEPT!r}"
    return Profile(
        learner=changed(profile.learner, LEARNS),
        release=profile.release.replace(KEPT, RELEASES),
        rewards=profile.rewards,
    )
