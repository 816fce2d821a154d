"""Bench of forgetting: what the demo's policy loses of what nobody asks it, with and without replay.

`python -m bench_forgetting` pre-trains the tiny policy on four kinds of work more than the crowd asks for,
and lets it learn the crowd's four by the demo's settings. Of the others the texts of eight topics are
replayed; those of four topics are the anchor set: it says by how many nats a token the policy finds their
answers less likely than the base model did.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
import torch
from lane_lives import OFF, ROUND, LaneCase
from lane_tiny import BASE, TinyLife
from poison_policies import PRETRAINING_STEPS
from transformers import AutoTokenizer

from rlwd.daemon.worlds.styles import TOPICS, pretraining_pairs
from rlwd.learner.replay_settings import ReplaySettings
from rlwd.learner.sealed import SealedEpisode, as_scored
from rlwd.learner.tiny.model import make_tiny_policy, prompt_ids
from rlwd.learner.train.score import score

OTHERS = {
    "memo": "fyi: {} moved",
    "poem": "o {}, o moon",
    "menu": "soup and {}",
    "code": "def {}(): pass",
}
"""Kinds of work that the crowd does not ask for, and what the base model answers to them."""
REPLAYED = TOPICS[:8]
SEEDS = (0, 1)
ANSWERS = 1920
WEIGHTS = (0.0, 1.0, 0.25)


class Kept(NamedTuple):
    """What a life came to."""

    until: int | None
    """Answers until 0.80 of a round were as wanted."""
    last: float
    """Share of the last five rounds that was."""
    lost: float
    """Nats a token, on the anchor set, at the end."""
    most: float
    """The same after the round where it was the most."""
    replayed: float
    """As `lost`, on the texts that are replayed."""


class Forgetting(TinyLife):
    """A life that is asked after each round what it still knows."""

    def __init__(self, seed: int, folder: Path, replay: ReplaySettings) -> None:
        super().__init__(LaneCase("ratio", OFF, 1.0), seed, folder, replay=replay)
        base = folder / f"policy-{BASE}"
        self._anchor = answers(base, set(TOPICS) - set(REPLAYED))
        self._told = answers(base, set(REPLAYED))
        self._began = self._likelihood(self._anchor), self._likelihood(self._told)

    def kept(self, most: int) -> Kept:
        """Live, and return what came of it."""
        shares, lost, until = list[float](), list[float](), None
        while self.served < most:
            found, (share,) = self.live(self.served + ROUND)
            until = found if until is None else until
            shares.append(share)
            lost.append(self._began[0] - self._likelihood(self._anchor))
        told = self._began[1] - self._likelihood(self._told)
        return Kept(until, statistics.mean(shares[-5:]), lost[-1], max(lost), told)

    def _likelihood(self, episodes: Sequence[SealedEpisode]) -> float:
        return float(torch.cat(score(self.policy.learner, episodes).logp).mean())


def answers(base: Path, topics: set[str]) -> list[SealedEpisode]:
    """Return the other kinds' answers about some topics; the answers' tokens are scored."""
    tokenizer, found = AutoTokenizer.from_pretrained(base), []
    for kind, said in OTHERS.items():
        for topic in sorted(topics):
            prompt = tuple(prompt_ids(base, [{"role": "user", "content": f"{kind}: {topic}"}]))
            ids = tokenizer(said.format(topic), add_special_tokens=False)["input_ids"]
            whole = (*prompt, *ids, tokenizer.eos_token_id)
            scored = whole[len(prompt) :]
            found.append(
                msgspec.structs.replace(
                    as_scored(f"{kind} {topic}", whole),
                    prompt_token_ids=prompt,
                    completion_token_ids=scored,
                    logprobs=(0.0,) * len(scored),
                )
            )
    return found


def prepared(folder: Path) -> Path:
    """Make the base model where it is not there yet, and return the file of what is replayed."""
    base, texts = folder / f"policy-{BASE}", folder / "replayed.jsonl"
    if not (base / "config.json").exists():
        others = [
            (f"{kind}: {topic}", said.format(topic))
            for kind, said in OTHERS.items()
            for topic in TOPICS
        ]
        # Twice: as often as each of a kind's five styles is too little to be known by heart.
        examples = [*pretraining_pairs(), *others, *others]
        make_tiny_policy(base, seed=BASE, steps=PRETRAINING_STEPS, examples=examples)
    told = (one.prompt_token_ids + one.completion_token_ids for one in answers(base, set(REPLAYED)))
    texts.write_text("".join(json.dumps({"token_ids": ids}) + "\n" for ids in told))
    return texts


def row(name: str, lives: Sequence[Kept]) -> str:
    """Return a line of the page."""
    until = ", ".join("never" if one.until is None else f"{one.until:,}" for one in lives)
    lost = ", ".join(f"{one.lost:.3f}" for one in lives)
    last = statistics.mean(one.last for one in lives)
    most, replayed = max(one.most for one in lives), max(one.replayed for one in lives)
    return f"| {name} | {until} | {last:.2f} | {lost} | {most:.3f} | {replayed:.3f} |"


def main() -> None:
    """Live with each weight and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keeps the base model")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--weights", type=float, nargs="*", default=WEIGHTS, help="0: no replay")
    parser.add_argument("--answers", type=int, default=ANSWERS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(
        "| replay | answers until 0.80, by seed | last five rounds | lost at the end, by seed"
        " | lost at most | lost of what is replayed |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as aside:
        folder = asked.folder or Path(aside)
        texts = prepared(folder)
        for weight in asked.weights:
            settings = ReplaySettings(texts=str(texts) if weight else "", weight=weight)
            lives = [Forgetting(seed, folder, settings).kept(asked.answers) for seed in asked.seeds]
            print(row(f"weight {weight:g}" if weight else "none", lives), flush=True)


if __name__ == "__main__":
    main()
