"""The demo's tiny policy under each estimator: what is lost while it learns, and how its gradient varies."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from answer_gradients import norm_squared
from estimator_world import NAMES, Name
from poison_policies import TinyPolicy

from rlwd.daemon.worlds.styles import draw_task, hidden_preference
from rlwd.daemon.worlds.styles_people import TAKES_RIGHT
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch


class DemoRound(NamedTuple):
    """One version's answers."""

    pleased: float
    """Share that was what people wanted."""
    variance: dict[Name, float]
    """Of the gradient, by estimator, over that without a baseline."""
    explained: dict[Name, float]
    """Share of the rewards' variance that each estimator had expected."""


def demo_rounds(
    folder: Path, seed: int, name: Name, *, rounds: int, asked: int
) -> Iterator[DemoRound]:
    """Yield what became of each version's answers; people and preference are the seed's."""
    policy = TinyPolicy(folder, seed, pretrained=1, estimator=name)
    draw, wants = random.Random(f"estimators:{seed}"), hidden_preference(seed)
    for number in range(rounds):
        tasks = [draw_task(draw) for _ in range(asked)]
        answers = policy.answer(tasks)
        right = [a.style == wants[task.kind] for a, task in zip(answers, tasks, strict=True)]
        episodes = tuple(
            SealedEpisode(
                generation_id=f"r{number}.{place}",
                segment=task.kind,
                version="",
                age=0,
                prompt_token_ids=answer.prompt,
                completion_token_ids=answer.completion,
                logprobs=answer.logprobs,
                temperature=1.0,
                reward=float(good and draw.random() < TAKES_RIGHT),
                reward_revision=0,
            )
            for place, (task, answer, good) in enumerate(zip(tasks, answers, right, strict=True))
        )
        variance = gradient_variance(policy.learner, episodes)
        batch = SealedBatch(
            batch_id=number + 1,
            policy="policy",
            parent_sequence=number,
            spec_version="demo",
            episodes=episodes,
            held_out=(),
            offsets={},
        )
        told = apply_batch(policy.learner, batch).metrics
        explained = {each: told[f"estimator/{each}/explained_variance"] for each in NAMES}
        yield DemoRound(sum(right) / len(right), variance, explained)


def gradient_variance(
    learner: Learner, episodes: tuple[SealedEpisode, ...], most: int = 48
) -> dict[Name, float]:
    """Return E[(r - b)^2 |g|^2] over E[r^2 |g|^2], g being an answer's own gradient of its
    log-probability in the adapter: the second moment of the gradient's estimate, over the first `most`."""
    states_ND = score(learner, episodes, anchor=True).states_ND
    expected = learner.estimators.baselines(episodes, states_ND)
    norms = [norm_squared(learner, episode) for episode in episodes[:most]]
    plain = sum(e.reward**2 * n for e, n in zip(episodes, norms, strict=False))
    return {
        name: sum(
            (e.reward - (b or 0.0)) ** 2 * n
            for e, b, n in zip(episodes, expected[name], norms, strict=False)
        )
        / plain
        for name in NAMES
        if plain
    }
