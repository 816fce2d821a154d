"""Bench of lanes: lives that learn by one lane or by several, as a table for docs/lanes.md.

`python -m bench_lanes` lives them with a table of styles (`lane_lives`), a few seconds a life;
`--policy tiny` with the demo's (`lane_tiny`), about a minute a life.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
import torch
from lane_lives import OFF, SURELY, Accepts, LaneCase, LaneLife, TableLife
from lane_tiny import TinyLife

from rlwd.learner.lane_settings import LaneSettings

SEEDS = (0, 1, 2)
ANSWERS = 5760
LAST = 5
FICKLE = Accepts(wanted=0.85, other=0.45)


def lanes(**weights: float) -> LaneSettings:
    """Return the settings with these lanes on and no other."""
    return msgspec.structs.replace(OFF, **weights)


CASES = (
    LaneCase("ratio", OFF, 1.0),
    LaneCase("`kto`", lanes(kto=1.0), 0.0),
    LaneCase("`sft`", lanes(sft=1.0), 0.0),
    LaneCase("`dpo`, all that is rejected is edited", lanes(dpo=1.0), 0.0, edits=1.0),
    LaneCase("`hindsight`, on all that is rejected", lanes(hindsight=1.0), 0.0, replies=1.0),
    LaneCase("ratio, of half of the answers", OFF, 0.5, 0.25, 0.25),
    LaneCase("and `kto` of the others", lanes(kto=1.0), 0.5, 0.25, 0.25),
    LaneCase("and `kto`, `sft` 0.2", lanes(kto=1.0, sft=0.2), 0.5, 0.25, 0.25),
    LaneCase("and `sft` 1", lanes(sft=1.0), 0.5, 0.25, 0.25),
    LaneCase("and `kto`, `dpo` 0.5", lanes(kto=1.0, dpo=0.5), 0.5, 0.25, 0.25),
    LaneCase("and `kto`, `hindsight` 0.5", lanes(kto=1.0, hindsight=0.5), 0.5, 0.25, 0.25),
    LaneCase(
        "and `kto`, `dpo` 0.5, `sft` 0.2, `hindsight` 0.5",
        lanes(kto=1.0, dpo=0.5, sft=0.2, hindsight=0.5),
        *(0.5, 0.25, 0.25),
    ),
)

TINY_ANSWERS = 2112
TINY = (
    LaneCase("ratio", OFF, 1.0),
    LaneCase("`kto`", lanes(kto=1.0), 0.0),
    LaneCase("ratio, of half of the answers", OFF, 0.5),
    LaneCase(
        "and `kto` of the others, `dpo` 0.5 (the defaults)", lanes(kto=1.0, dpo=0.5), 0.5, 0.15
    ),
    LaneCase("and `sft` 0.2 (all together)", lanes(kto=1.0, dpo=0.5, sft=0.2), 0.5, 0.15),
    LaneCase("`dpo`, all that is rejected is edited", lanes(dpo=1.0), 0.0, edits=1.0),
    LaneCase("`sft`", lanes(sft=1.0), 0.0),
    LaneCase("`kto`, all answers greedy", lanes(kto=1.0), 0.0, greedy=True),
    LaneCase(
        "`kto`, `dpo` 0.5, all answers greedy", lanes(kto=1.0, dpo=0.5), 0.0, 0.15, greedy=True
    ),
)
"""Without hindsight: the tiny policy understands no follow-up (docs/lanes.md). People edit as the demo's do."""


def row(case: LaneCase, lives: Sequence[tuple[int | None, list[float]]]) -> str:
    """Return a line of the page."""
    until = ", ".join("never" if one is None else f"{one:,}" for one, _ in lives)
    last = [statistics.mean(shares[-LAST:]) for _, shares in lives]
    return f"| {case.name} | {until} | {statistics.mean(last):.2f} ({min(last):.2f}) |"


def main() -> None:
    """Live all cases and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--answers", type=int)
    parser.add_argument(
        "--fickle", action="store_true", help="people who often take what they do not want"
    )
    parser.add_argument("--policy", choices=("table", "tiny"), default="table")
    parser.add_argument("--folder", type=Path, help="keeps the tiny policy's base model")
    asked = parser.parse_args()
    accepts, tiny = FICKLE if asked.fickle else SURELY, asked.policy == "tiny"
    most = asked.answers or (TINY_ANSWERS if tiny else ANSWERS)
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print("| learned by | answers until 0.80, by seed | last five rounds (worst) |")
    print("| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as aside:
        folder = asked.folder or Path(aside)

        def begun(case: LaneCase, seed: int) -> LaneLife:
            return TinyLife(case, seed, folder) if tiny else TableLife(case, seed, accepts)

        for case in TINY if tiny else CASES:
            if asked.only in case.name:
                lives = [begun(case, seed).live(most) for seed in asked.seeds]
                print(row(case, lives), flush=True)


if __name__ == "__main__":
    main()
