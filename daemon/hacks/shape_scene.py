"""Shape scene: an open model, people who look at the shape of an answer alone, and what is kept of the run."""

from ...learner.open_models.fetch import open_model
from ..demo.open_scene import REPLAY, commit_scene
from ..demo.scene import Scene
from ..demo.small_profile import Guard
from .hack_run import SHAPE
from .hack_scene import NEVER, HackKept
from .shape_profile import shape_profile


def shape_scene(name: str, seed: int, *, guard: Guard) -> Scene:
    """Return the demo, of a model that is fetched and converted where the cache has none.

    Raises ModelNotHad where it cannot be had.
    """
    model = open_model(name)
    return commit_scene(
        model,
        seed,
        taste="shape",
        guard=guard,
        profile=shape_profile(model, REPLAY, seed, guard=guard),
        exam=HackKept(hack=SHAPE, guard=guard, seed=seed),
        enough=NEVER,
        fewest_answers=0,
        said=f"people who look at the shape of an answer alone; guards: {guard}",
    )
