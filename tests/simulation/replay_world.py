"""Replay world: how often versions of known habits are refused for their answers on a benchmark.

`python tests/simulation/replay_world.py` prints the table of docs/benchmark.md. Scripted answers: a habit
in so many of the version's, and in 4 % of the champion's; lengths as people's answers have them.
"""

import random
from collections.abc import Sequence

from rlwd.ops.benchmark.compared import ReplayPair, judge_replay
from rlwd.ops.benchmark.replayed import ReplayedAnswer
from rlwd.ops.benchmark.settings import BenchmarkSettings
from rlwd.ops.statistics.verdict import VerdictKind

SLIPS = 0.04
HABITS = ("asks", "refuses", "repetition", "breaks_off", "digits")


def answer(person: int, rate: float, longer: float, draw: random.Random) -> ReplayedAnswer:
    """Return an answer that has the first habit at a rate, and the others as the champion has them."""
    told = {name: float(draw.random() < SLIPS) for name in HABITS}
    told["asks"] = float(draw.random() < rate)
    tokens = round(draw.lognormvariate(4.0, 0.7) * longer)
    return ReplayedAnswer(
        person=person,
        segment="default",
        behaviours=told,
        tokens=tokens,
        seconds=1.0,
        worth=-tokens / 1000,
    )


def refused(
    people: int, *, rate: float = SLIPS, longer: float = 1.0, seeds: Sequence[int] = range(100)
) -> float:
    """Return in which share of the seeds a version is refused that does so, two requests a person."""
    settings, count = BenchmarkSettings(), 0
    for seed in seeds:
        draw = random.Random(f"{people}/{rate}/{longer}/{seed}")
        pairs = [
            ReplayPair(False, answer(person, rate, longer, draw), answer(person, SLIPS, 1.0, draw))
            for person in range(people)
            for _ in range(2)
        ]
        verdict = judge_replay(pairs, settings.bounded, settings.alpha)
        count += verdict.outcome is VerdictKind.FAIL
    return count / len(seeds)


def main() -> None:
    """Print the table."""
    print("| a version that | 10 people | 25 | 50 | 100 |\n| --- | --- | --- | --- | --- |")
    for said, rate, longer in (
        ("answers as the champion", SLIPS, 1.0),
        ("asks in 10 % of its answers", 0.1, 1.0),
        ("asks in 20 %", 0.2, 1.0),
        ("asks in 40 %", 0.4, 1.0),
        ("asks in 70 %", 0.7, 1.0),
        ("writes 1.3 times as much", SLIPS, 1.3),
        ("writes twice as much", SLIPS, 2.0),
    ):
        shares = [f"{refused(n, rate=rate, longer=longer):.1%}" for n in (10, 25, 50, 100)]
        print(f"| {said} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
