"""`python -m estimator_report`: the estimators on one recorded log and on the demo, for docs/estimators.md.

The log takes a minute on one core; a life of the demo's tiny policy takes two to five. Lives that the
file given by `--lives` already has are not lived again.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
import torch
from estimator_demo import DemoRound, demo_rounds
from estimator_picture import Curves, draw_curves
from estimator_world import NAMES, EstimatorWorld, Name, WorldRound, learn_from_log, uniform
from simulate import written

from rlwd.learner.settings import LearnerSettings

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
DOCUMENT, PICTURE = ROOT / "docs" / "estimators.md", ROOT / "docs" / "estimators.png"
LIVES = ROOT / "tests" / "bench" / "results" / "estimator_lives.jsonl"
BATCHES, COUNT, RATE = 20, 192, 30.0
"""Of the log: batches, answers to each, and the policy's rate of learning, near the best for all."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A life of the demo's policy."""

    seed: int
    name: Name
    asked: int
    rounds: list[DemoRound]


def log_lives(seeds: int) -> dict[Name, list[list[WorldRound]]]:
    """Return what each estimator did with each seed's log: the same log for all."""
    found: dict[Name, list[list[WorldRound]]] = {name: [] for name in NAMES}
    for seed in range(seeds):
        world = EstimatorWorld(seed=seed)
        log = [world.batch(number, COUNT, uniform()) for number in range(BATCHES)]
        for name in NAMES:
            found[name].append(learn_from_log(log, name, LearnerSettings(), RATE))
    return found


def demo_lives(path: Path, policies: Path, seeds: int, rounds: int, asked: int) -> list[Life]:
    """Return the lives that a file has, after living those that it lacks."""
    path.touch()
    lives = [msgspec.json.decode(line, type=Life) for line in path.read_bytes().splitlines()]
    known = {(life.seed, life.name) for life in lives}
    for seed in range(1, seeds + 1):
        for name in NAMES:
            if (seed, name) in known:
                continue
            made = list(demo_rounds(policies, seed, name, rounds=rounds, asked=asked))
            lives.append(Life(seed=seed, name=name, asked=asked, rounds=made))
            with path.open("ab") as file:
                file.write(msgspec.json.encode(lives[-1]) + b"\n")
            print(f"seed {seed}, {name}: {made[-1].pleased:.2f}", flush=True)
    return lives


def log_table(lives: dict[Name, list[list[WorldRound]]]) -> str:
    """Return the table of the log: means over seeds, and how far each seed's regret is from the tracker's."""
    lines = [
        "| estimator | explained variance | error of the baseline | variance of the gradient | regret "
        + "| less regret than `tracker` |",
        "| --- |" + " ---: |" * 5,
    ]
    base = [_mean(life, lambda r: r.regret) for life in lives["tracker"]]
    for name in NAMES:
        every = [one for life in lives[name] for one in life]
        regret = [_mean(life, lambda r: r.regret) for life in lives[name]]
        saved = [1.0 - ours / theirs for ours, theirs in zip(regret, base, strict=True)]
        cells = (
            f"{_mean(every, lambda r: r.explained):.3f}",
            f"{_mean(every, lambda r: r.off) ** 0.5:.3f}",
            f"{_mean(every, lambda r: r.variance):.3f}",
            f"{statistics.fmean(regret):.4f}",
            "" if name == "tracker" else f"{statistics.fmean(saved):+.1%} ± {_error(saved):.1%}",
        )
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def demo_table(lives: Sequence[Life]) -> str:
    """Return the table of the demo: what was lost in each life, and the gradient on all lives' batches."""
    seeds = sorted({life.seed for life in lives})
    lines = [
        "| estimator | explained variance | variance of the gradient, tracker's is 1 | "
        + " | ".join(f"lost, seed {seed}" for seed in seeds)
        + " | last two versions |",
        "| --- |" + " ---: |" * (3 + len(seeds)),
    ]
    batches = [one for life in lives for one in life.rounds]
    for name in NAMES:
        ours = {life.seed: life for life in lives if life.name == name}
        lost = [_lost(ours[seed]) if seed in ours else "" for seed in seeds]
        last = [one.pleased for life in ours.values() for one in life.rounds[-2:]]
        cells = (
            f"{_mean(batches, lambda r: r.explained[name]):.3f}",  # noqa: B023
            f"{_mean(batches, lambda r: _beside_tracker(r, name)):.3f}",  # noqa: B023
            *lost,
            f"{statistics.fmean(last):.3f}" if last else "",
        )
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def curves(lives: dict[Name, list[list[WorldRound]]], demo: Sequence[Life]) -> list[Curves]:
    """Return the picture's panels: means over seeds, batch by batch."""
    of_demo: dict[Name, list[list[DemoRound]]] = {
        name: [life.rounds for life in demo if life.name == name] for name in NAMES
    }
    everything = [life.rounds for life in demo]
    return [
        Curves("recorded log", "regret", _lines(lives, lambda r: r.regret)),
        Curves("recorded log", "variance of the gradient", _lines(lives, lambda r: r.variance)),
        Curves("demo", "not what people wanted", _lines(of_demo, lambda r: 1.0 - r.pleased)),
        Curves(
            "demo, all lives' batches",
            "variance, tracker's is 1",
            {
                name: _by_batch(everything, lambda r: _beside_tracker(r, name))  # noqa: B023
                for name in NAMES
            },
        ),
    ]


def _lost(life: Life) -> str:
    return f"{sum((1 - one.pleased) * life.asked for one in life.rounds):.0f}"


def _beside_tracker(one: DemoRound, name: Name) -> float:
    return one.variance[name] / one.variance["tracker"]


def _lines(
    lives: dict[Name, list[list[T]]], measure: Callable[[T], float]
) -> dict[Name, list[float]]:
    return {name: _by_batch(each, measure) for name, each in lives.items() if each}


def _by_batch(lives: Sequence[Sequence[T]], measure: Callable[[T], float]) -> list[float]:
    return [_mean(batch, measure) for batch in zip(*lives, strict=True)]


def _mean(rounds: Sequence[T], measure: Callable[[T], float]) -> float:
    return statistics.fmean(measure(one) for one in rounds)


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def main() -> None:
    """Run what is missing, draw the picture and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40, help="logs")
    parser.add_argument("--demo-seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8, help="versions in a life of the demo")
    parser.add_argument("--asked", type=int, default=128, help="answers to a version")
    parser.add_argument("--lives", type=Path, default=LIVES)
    parser.add_argument("--policies", type=Path, default=ROOT / ".cache" / "estimator_policies")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    torch.set_num_threads(1)
    log = log_lives(given.seeds)
    demo = demo_lives(given.lives, given.policies, given.demo_seeds, given.rounds, given.asked)
    text = written(DOCUMENT.read_text(), "log", log_table(log))
    DOCUMENT.write_text(written(text, "demo", demo_table(demo)))
    draw_curves(curves(log, demo), PICTURE)
    print(f"{DOCUMENT}\n{PICTURE}")


if __name__ == "__main__":
    main()
