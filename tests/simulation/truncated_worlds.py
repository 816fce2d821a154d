"""Truncated worlds: bandits of many answers whose policy is served with top-p, and whose truth is known.

The answers are one token each and the policy a table of logits, so that every expectation is a sum over
the answers. What turns an answer into a pull is the learner's own (`kernels.dispatch.token_weights`).
`python tests/simulation/truncated_worlds.py` prints the table of docs/lanes.md.
"""

from statistics import mean, quantiles
from typing import NamedTuple

import torch
from torch import Tensor

from rlwd.kernels.dispatch import TokenObjective, token_weights
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.loss import objective

ANSWERS = 50
SPREAD = 2.0
"""Of the logits: half of the mass is on about four answers, a hundredth on the last twenty."""

WORLDS, LIVES, STEPS = 100, 16, 200
MASSES = (1.0, 0.99, 0.95, 0.9, 0.8, 0.7, 0.5)


class World(NamedTuple):
    """What the policy says at first, and what each answer earns on average."""

    logits: Tensor
    pays: Tensor


class Bias(NamedTuple):
    """How far the expected step under top-p is from the one without it."""

    size: float
    """Length of the difference, relative to the step without top-p."""
    cosine: float
    """Between the two steps."""


def draw_world(seed: int) -> World:
    """Draw a world; pays are in [0, 1]."""
    draw = torch.Generator().manual_seed(seed)
    return World(
        SPREAD * torch.randn(ANSWERS, generator=draw, dtype=torch.float64),
        torch.rand(ANSWERS, generator=draw, dtype=torch.float64),
    )


def served(logp: Tensor, top_p: float) -> Tensor:
    """Return the logarithms of what is drawn from: the likeliest answers, until they have the mass."""
    sorted_logp, order = logp.sort(descending=True)
    before = sorted_logp.exp().cumsum(0) - sorted_logp.exp()
    cut = torch.full_like(logp, -torch.inf)
    cut[order] = sorted_logp.masked_fill(before >= top_p, -torch.inf)
    return cut.log_softmax(0)


def expected_step(world: World, top_p: float, settings: TokenObjective) -> Tensor:
    """Return the expected pull on the logits, the baseline being what the served answers earn."""
    logp = world.logits.log_softmax(0)
    behaviour = served(logp, top_p)
    shares = behaviour.exp()
    advantages = world.pays - (shares * world.pays).sum()
    drawn = shares > 0
    weights = torch.zeros_like(logp)
    weights[drawn] = token_weights(logp[drawn], behaviour[drawn], advantages[drawn], settings)
    pulls = shares * weights
    step: Tensor = pulls - pulls.sum() * logp.exp()
    return step


def bias_of(world: World, top_p: float, settings: LearnerSettings) -> Bias:
    """Compare one step under top-p with the one without."""
    wanted = expected_step(world, 1.0, objective(settings))
    got = expected_step(world, top_p, objective(settings))
    cosine = float(got @ wanted / (got.norm() * wanted.norm()))
    return Bias(float((got - wanted).norm() / wanted.norm()), cosine)


def earned_after(world: World, top_p: float, settings: LearnerSettings, steps: int) -> float:
    """Return what the served policy earns on average after steps on what it served itself."""
    logits = world.logits.clone()
    for _ in range(steps):
        logits += expected_step(World(logits, world.pays), top_p, objective(settings))
    return float((served(logits.log_softmax(0), top_p).exp() * world.pays).sum())


def main() -> None:
    """Print how far steps are off by top-p, and what is earned after many."""
    settings, worlds = LearnerSettings(), [draw_world(seed) for seed in range(WORLDS)]
    print("| top_p | bias, median | 95 % | cosine, 5 % | earned after |")
    for top_p in MASSES:
        found = [bias_of(world, top_p, settings) for world in worlds]
        sizes = quantiles([one.size for one in found], n=20)
        low = quantiles([one.cosine for one in found], n=20)[0]
        earned = mean(earned_after(world, top_p, settings, STEPS) for world in worlds[:LIVES])
        print(f"| {top_p} | {sizes[9]:.3f} | {sizes[18]:.3f} | {low:.3f} | {earned:.3f} |")
    first = mean(float((w.logits.softmax(0) * w.pays).sum()) for w in worlds[:LIVES])
    best = mean(float(world.pays.max()) for world in worlds[:LIVES])
    print(f"earned before: {first:.3f}; best answer: {best:.3f}")


if __name__ == "__main__":
    main()
