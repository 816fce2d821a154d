"""Bench of chains: agents' sessions of 20 turns, as one sequence each and one by one, in turns.

`python -m bench_chains` makes one optimizer step's scoring and gradients on the same episodes both ways
and prints tokens through the model, processor time and the largest difference of a gradient.
"""

import argparse
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import bench_meter
import msgspec
import torch
from bench_batch import CPU_MODEL, GPU_MODEL, make_batch, make_model

from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train import packing, state
from rlwd.learner.train.packing import Share
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.steps import PASSED, add_gradients

TURNS, ASKED, ANSWERED = 20, 24, 16


class OneByOne(Learner):
    """Packs rows as full as `Learner` does, and finds that nothing continues anything."""

    def packs(self, episodes: Sequence[SealedEpisode]) -> list[Share]:
        """As `Learner.packs`."""
        with patch.object(packing, "chains", alone), patch.object(state, "chains", alone):
            return super().packs(episodes)


def alone(episodes: Sequence[SealedEpisode]) -> list[list[int]]:
    """Stand in for `chains`."""
    return [[index] for index in range(len(episodes))]


def sessions(count: int, vocabulary: int) -> list[SealedEpisode]:
    """Return sessions of random tokens whose every turn goes on from the one before."""
    draw, made = random.Random(0), list[SealedEpisode]()
    (like, *_) = make_batch("even", vocabulary, 2).episodes
    for session in range(count):
        said: tuple[int, ...] = ()
        for turn in range(TURNS):
            asked, answer = (
                tuple(draw.randrange(vocabulary) for _ in range(size)) for size in (ASKED, ANSWERED)
            )
            one = msgspec.structs.replace(
                like,
                generation_id=f"{session}.{turn}",
                prompt_token_ids=(*said, *asked),
                completion_token_ids=answer,
                logprobs=(-10.0,) * len(answer),
                reward=draw.random(),
            )
            made.append(one)
            said = (*one.prompt_token_ids, *answer)
    return made


def work(learner: Learner, episodes: Sequence[SealedEpisode]) -> dict[str, float]:
    """Score the episodes with the anchor, and make a step's gradients."""
    old = score(learner, episodes, anchor=True)
    advantages = [
        torch.full((len(one.completion_token_ids),), one.reward - 0.5) for one in episodes
    ]
    learner.optimizer.zero_grad()
    return add_gradients(learner, range(len(episodes)), episodes, advantages, old, 1.0)


def main() -> None:
    """Run both ways and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shape = GPU_MODEL if torch.cuda.is_available() else CPU_MODEL
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), shape)
        settings = LearnerSettings(model=folder, lora_rank=8, lora_alpha=8.0, pack_tokens=1024)
        ways = {"one sequence": Learner(settings), "one by one": OneByOne(settings)}
        print("\n".join(rows(ways, sessions(asked.sessions, shape["vocab_size"]), asked.rounds)))


def rows(ways: dict[str, Learner], episodes: Sequence[SealedEpisode], rounds: int) -> list[str]:
    """Return Markdown: tokens through the model in a pass, and processor seconds, medians."""
    spent: dict[str, list[float]] = {way: [] for way in ways}
    sums: dict[str, dict[str, float]] = {}
    for learner in ways.values():
        work(learner, episodes[:2])
    for turn in range(rounds):
        for way in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            took = bench_meter.timed(lambda w=way: sums.update({w: work(ways[w], episodes)}))  # type: ignore[misc]
            spent[way].append(took.cpu_seconds)
    ours, theirs = (list(learner.policy.trainable().values()) for learner in ways.values())
    off = max(
        float((a.grad - b.grad).abs().max() / b.grad.abs().max().clamp(min=1e-12))
        for a, b in zip(ours, theirs, strict=True)
        if a.grad is not None and b.grad is not None
    )
    first = next(iter(ways))
    found = ["| way | tokens a pass | to the first | CPU s | to the first |", "| --- " * 5 + "|"]
    for way in ways:
        tokens, seconds = sums[way][PASSED[0]], statistics.median(spent[way])
        found.append(
            f"| {way} | {tokens:,.0f} | {tokens / sums[first][PASSED[0]]:.2f} "
            f"| {seconds:.2f} | {seconds / statistics.median(spent[first]):.2f} |"
        )
    return [*found, f"\ngradients apart, of the largest: {off:.1e}"]


if __name__ == "__main__":
    main()
