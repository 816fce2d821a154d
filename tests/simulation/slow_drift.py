"""Slow drift: lines of versions that each ask back a little more than the one before it.

`python -m slow_drift --lives 25` prints the table of docs/behaviours.md: how far such a
line gets where versions are held against their controls alone, and where they are held against v0, too.
"""

import argparse
import random
from collections.abc import Sequence
from typing import NamedTuple

from rlwd.ops.drift.drift_answers import DriftAnswer
from rlwd.ops.drift.drift_look import compare
from rlwd.ops.drift.drift_watch import alarming
from rlwd.ops.stages.watch_settings import BARS, WatchSettings

BASE = 0.05
"""How often v0 asks."""
LINE = 20
"""Versions of a line."""
CANARY, REIGN = (50, 100, 200), (400, 800)
"""Users of the candidate, and of the champion, at each look."""
SETTINGS = WatchSettings(bars={**dict.fromkeys(BARS, 0.0), "asks": BARS["asks"]})
SHARE = len(WatchSettings().watched)
"""Bars among which the alpha is divided by default; here only one can be passed."""


class LineLife(NamedTuple):
    """What became of one line."""

    by_control: int
    """Versions until one was held against its control; 0 where none was."""
    in_total: int
    """Versions until one was held against v0; 0 where none was."""


def line_life(step: float, held_out: int, seed: int, *, versions: int = LINE) -> LineLife:
    """Let so many versions follow each other; each asks by `step` more often than the one before it.

    Of the holdout every person asks twice in each version's time, as those of the others do.
    """
    rng, found = random.Random(f"{step}/{held_out}/{seed}"), dict[bool, int]()
    people = [(f"h{number}", _habit(rng)) for number in range(held_out)]
    holdout, champions = list[DriftAnswer](), set[str]()
    for number in range(1, versions + 1):
        rates = BASE + step * (number - 1), BASE + step * number
        holdout += _answers(people, BASE, rng)
        control, ours = (_crowd(CANARY[-1], rate, number, rng) for rate in rates)
        for users in CANARY:
            seen = _first(ours, users)
            if _alarm(seen, _first(control, users), set(), concurrent=True):
                found.setdefault(False, number)
            if _alarm(seen, holdout, champions, concurrent=False):
                found.setdefault(True, number)
        reign = _crowd(REIGN[-1], rates[1], number, rng)
        for users in REIGN:
            if _alarm(_first(reign, users), holdout, set(), concurrent=False):
                champions.add("asks")
    return LineLife(found.get(False, 0), found.get(True, 0))


def _alarm(
    ours: Sequence[DriftAnswer],
    theirs: Sequence[DriftAnswer],
    champions: set[str],
    *,
    concurrent: bool,
) -> bool:
    alpha = SETTINGS.alpha / SETTINGS.comparisons / SHARE
    looks = compare(ours, theirs, SETTINGS, alpha=alpha, concurrent=concurrent)
    return bool(alarming(looks, champions, SETTINGS))


def _habit(rng: random.Random) -> float:
    """Return how much more often than others a person is asked back: their questions differ."""
    return rng.choice((0.5, 1.0, 1.5))


def _answers(
    people: Sequence[tuple[str, float]], rate: float, rng: random.Random
) -> list[DriftAnswer]:
    return [
        DriftAnswer(
            *("g", user, 0.0, "", 1.0, None, False, 8),
            {"asks": float(rng.random() < rate * habit)},
            held=True,
        )
        for user, habit in people
        for _ in range(2)
    ]


def _crowd(users: int, rate: float, number: int, rng: random.Random) -> list[DriftAnswer]:
    return _answers([(f"{number}.{one}", _habit(rng)) for one in range(users)], rate, rng)


def _first(answers: Sequence[DriftAnswer], users: int) -> Sequence[DriftAnswer]:
    return answers[: 2 * users]


def row(step: float, held_out: int, lives: int) -> str:
    """Return one line of the table."""
    lived = [line_life(step, held_out, seed) for seed in range(lives)]
    held = sorted(one.in_total for one in lived if one.in_total)
    middle = held[len(held) // 2] if len(held) > lives // 2 else 0
    cells = [
        f"{step:+.2f}",
        held_out,
        f"{sum(one.by_control > 0 for one in lived)} of {lives}",
        f"{len(held)} of {lives}",
        f"{middle} ({BASE + step * middle:.2f})" if middle else "-",
        f"{held[-1]}" if len(held) == lives else "-",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=100)
    lives = parser.parse_args().lives
    print("| a version's step | held out | by its control | with v0 | middle, asking | last |")
    print("| --- " * 6 + "|")
    for held_out in (40, 200):
        for step in (0.0, 0.02, 0.03, 0.05):
            print(row(step, held_out, lives), flush=True)


if __name__ == "__main__":
    main()
