"""Who answers: what `trust.responses` makes of worlds in which silence is not by chance.

Two styles of answers are compared, as a policy's update compares them: by the weighted mean reward of
those that were decided on. In truth style one is better by `TRUE` over all requests. A world says how
hard a request is, what that does to latency and to each style, and who decides.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlwd.rewards.trust.propensity import ResponseFeatures, ResponseModel, inverse_weights

Floats = NDArray[np.float64]

ANSWERS, FLOOR, TRUE = 1000, 0.05, 0.1
READINGS = ("off", "asked", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """A batch's requests and all that would be said of them."""

    hard: Floats
    """1 where the request is hard."""
    style: Floats
    """1 where the answer was of style one."""
    latency: Floats
    """Seconds."""
    reward: Floats
    """0 or 1."""
    asked: Floats
    """Probability of being asked, as the product says it; 1 where it asks everybody."""


Decides = Callable[[Requests], Floats]

WORLDS: dict[str, tuple[bool, Decides]] = {
    "by chance": (False, lambda seen: np.full(ANSWERS, 0.4)),
    "asked by kind of request, and said so": (True, lambda seen: seen.asked),
    "slow answers are left": (False, lambda seen: np.where(seen.latency > 2.0, 0.15, 0.7)),
    "who is pleased says nothing": (False, lambda seen: np.where(seen.reward > 0.5, 0.2, 0.6)),
    "slow answers are complained of": (
        False,
        lambda seen: np.where((seen.latency > 2.0) & (seen.reward < 0.5), 0.9, 0.2),
    ),
}
"""By name: whether the product asks by kind of request, and with which probability somebody decides."""


def requests(draw: np.random.Generator, *, asks: bool) -> Requests:
    """Draw a batch: hard requests take longer, and it is there that style one is better."""
    hard = (draw.random(ANSWERS) < 0.5).astype(float)
    style = (draw.random(ANSWERS) < 0.5).astype(float)
    chance = 0.6 - 0.3 * hard + style * (2.0 * TRUE * hard)
    return Requests(
        hard=hard,
        style=style,
        latency=np.exp(draw.normal(0.0, 0.4, ANSWERS) + 1.4 * hard),
        reward=(draw.random(ANSWERS) < chance).astype(float),
        asked=np.where(hard > 0.5, 0.1, 0.8) if asks else np.ones(ANSWERS),
    )


def difference(world: str, reading: str, seed: int) -> float:
    """Return by how much style one looks better in one batch."""
    asks, decides = WORLDS[world]
    draw = np.random.default_rng(seed)
    past, seen = requests(draw, asks=asks), requests(draw, asks=asks)
    said_then = draw.random(ANSWERS) < decides(past)
    said = draw.random(ANSWERS) < decides(seen)
    chances = seen.asked.copy() if reading != "off" else np.ones(ANSWERS)
    if reading == "model":
        model = ResponseModel.fit(_features(past), said_then.tolist())
        assert model is not None
        told = np.array(model.probabilities(_features(seen)))
        chances = chances if asks else told
    weights = np.array(inverse_weights(chances[said].tolist(), FLOOR))
    reward, style = seen.reward[said], seen.style[said] > 0.5
    return float(
        np.average(reward[style], weights=weights[style])
        - np.average(reward[~style], weights=weights[~style])
    )


def judged(world: str, reading: str, runs: int) -> tuple[float, float]:
    """Return bias, and root mean square error, of the difference over so many batches."""
    errors = np.array([difference(world, reading, seed) - TRUE for seed in range(runs)])
    return float(errors.mean()), float(np.sqrt((errors**2).mean()))


def responses_table(runs: int) -> str:
    """Return the table of docs/trust.md."""
    lines = ["| who decides | " + " | ".join(READINGS) + " |", "| --- |" + " --- |" * len(READINGS)]
    for world in WORLDS:
        told = [judged(world, reading, runs) for reading in READINGS]
        lines.append(f"| {world} | " + " | ".join(f"{b:+.3f}, {e:.3f}" for b, e in told) + " |")
    return "\n".join(lines)


def _features(seen: Requests) -> ResponseFeatures:
    return ResponseFeatures(
        ["mail"] * ANSWERS, seen.latency.tolist(), [100.0] * ANSWERS, [0.0] * ANSWERS
    )


if __name__ == "__main__":
    print(responses_table(400))
