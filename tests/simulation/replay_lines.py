"""Replay lines: lines of versions that each lose a little on a benchmark, beside the champion alone and v0, too.

`python -m replay_lines --lives 25` prints the table of docs/benchmark.md. Each version is made from the
champion and loses one step more than it. One that is refused is not promoted, and the next is made from
the same champion: so a line goes on where a refusal was luck.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from replay_world import SLIPS, answer

from rlwd.ops.benchmark.compared import ReplayPair, judge_replay
from rlwd.ops.benchmark.replayed import ReplayedAnswer
from rlwd.ops.benchmark.settings import BenchmarkSettings
from rlwd.ops.statistics.verdict import VerdictKind

LINE = 20
"""Versions of a line."""
SETTINGS = BenchmarkSettings()


class LineLife(NamedTuple):
    """What became of one line."""

    first: int
    """The first version that was refused; 0 where none was."""
    refused: int
    """How many were."""
    steps: int
    """Steps between v0 and the champion at last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What grows from version to version."""

    metric: str
    """As the gate knows it."""
    step: float
    """By how much a version is worse than the one before it; of `length` a share of that one's."""

    def level(self, steps: int) -> float:
        """Return what a version does that is so many steps from v0."""
        at, more = _FIRST[self.metric], self.step
        if self.metric == "length":
            return at * (1 + more) ** steps
        level = at + more * steps
        return min(1.0, level) if self.metric == "asks" else level

    def answered(self, person: int, steps: int, draw: random.Random) -> ReplayedAnswer:
        """Return a version's answer; nothing else of it can be told but what grows."""
        level, told = self.level(steps), dict[str, float]()
        match self.metric:
            case "length":
                # People's questions ask for answers of other lengths.
                usual = random.Random(person).lognormvariate(0.0, 0.5)
                return _plain(person, tokens=round(draw.lognormvariate(0.0, 0.5) * usual * level))
            case "worth":
                return _plain(person, worth=draw.gauss(level, 0.1))
            case "taken":
                return _plain(person, taken=draw.gauss(level, 0.3))
            case _:
                told[self.metric] = float(draw.random() < level)
                return _plain(person, behaviours=told)


_FIRST: Mapping[str, float] = {"asks": SLIPS, "length": 100.0, "worth": 0.8, "taken": -1.0}


def _plain(person: int, **more: object) -> ReplayedAnswer:
    told = {"behaviours": dict[str, float](), **more}
    return ReplayedAnswer(person=person, segment="default", **told)  # type: ignore[arg-type]


def line_life(
    habit: Habit, people: int, seed: int, *, with_v0: bool, versions: int = LINE
) -> LineLife:
    """Let so many versions follow each other on one benchmark, two requests a person."""
    draw = random.Random(f"{habit}/{people}/{seed}/{with_v0}")
    settings = SETTINGS if with_v0 else BenchmarkSettings(total=0.0)
    first = refused = champion = 0
    for number in range(1, versions + 1):
        pairs = [
            ReplayPair(
                False,
                habit.answered(person, champion + 1, draw),
                habit.answered(person, champion, draw),
                habit.answered(person, 0, draw) if with_v0 and champion else None,
            )
            for person in range(people)
            for _ in range(2)
        ]
        total = settings.in_total if champion else None
        verdict = judge_replay(pairs, settings.bounded, settings.alpha, total)
        if verdict.outcome is VerdictKind.FAIL:
            first, refused = first or number, refused + 1
        else:
            champion += 1
    return LineLife(first, refused, champion)


def equal_line(people: int, seed: int, *, versions: int = LINE) -> int:
    """Return how many versions are refused of a line that answers as v0 does, with all its slips."""
    draw, refused = random.Random(f"equal/{people}/{seed}"), 0
    for number in range(versions):
        pairs = [
            ReplayPair(
                False, *(answer(person, SLIPS, 1.0, draw) for _ in range(3 if number else 2))
            )
            for person in range(people)
            for _ in range(2)
        ]
        total = SETTINGS.in_total if number else None
        verdict = judge_replay(pairs, SETTINGS.bounded, SETTINGS.alpha, total)
        refused += verdict.outcome is VerdictKind.FAIL
    return refused


def row(habit: Habit, people: int, lives: int) -> str:
    """Return one line of the table."""
    step = f"{habit.metric} {habit.step:+.0%}" if habit.metric == "length" else ""
    cells = [step or f"{habit.metric} {habit.step:+.2f}", str(people)]
    for with_v0 in (False, True):
        lived = [line_life(habit, people, seed, with_v0=with_v0) for seed in range(lives)]
        cells += [f"{sum(one.first > 0 for one in lived)} of {lives}"]
        if with_v0:
            cells += [_middle(sorted(one.first or LINE + 1 for one in lived))]
        ends = sorted(one.steps for one in lived)
        cells += [f"{habit.level(ends[len(ends) // 2]):.3g}"]
        if with_v0:
            cells += [f"{habit.level(ends[-1]):.3g}"]
    return "| " + " | ".join(cells) + " |"


def _middle(first: Sequence[int]) -> str:
    middle = first[len(first) // 2]
    return "-" if middle > LINE else str(middle)


def main() -> None:
    """Print the table, and what became of lines that are no worse than v0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=25)
    lives = parser.parse_args().lives
    print(
        "| a version's step | people | refused beside the champion alone | champion at last |"
        " refused with v0 | first | champion at last | at worst |"
    )
    print("| --- " * 8 + "|")
    asks = [Habit(metric="asks", step=step) for step in (0.02, 0.03, 0.05)]
    others = [("length", 0.1), ("worth", -0.02), ("taken", -0.1)]
    for habit, people in (
        *((one, many) for many in (25, 50, 100) for one in asks),
        *((Habit(metric=metric, step=step), 50) for metric, step in others),
    ):
        print(row(habit, people, lives), flush=True)
    for people in (25, 100):
        refused = [equal_line(people, seed) for seed in range(lives)]
        print(
            f"{people} people: {sum(refused)} of {lives * LINE} versions refused of lines that answer as v0,"
            f" in {sum(map(bool, refused))} of {lives} lines",
            flush=True,
        )


if __name__ == "__main__":
    main()
