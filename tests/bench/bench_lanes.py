"""Bench of lanes: lives that learn by one lane or by several, as a table for docs/lanes.md.

`python -m bench_lanes` lives them with a table of styles (`lane_lives`), a few seconds a life.
"""

import argparse
import statistics
from collections.abc import Sequence

import msgspec
import structlog
import torch
from lane_lives import OFF, SURELY, Accepts, LaneCase, LaneLife

from rlwd.learner.lane_settings import LaneSettings

SEEDS = (0, 1, 2)
ANSWERS = 5760
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


def row(case: LaneCase, lives: Sequence[tuple[int | None, list[float]]]) -> str:
    """Return a line of the page."""
    until = ", ".join("never" if one is None else f"{one:,}" for one, _ in lives)
    last = [statistics.mean(shares[-5:]) for _, shares in lives]
    return f"| {case.name} | {until} | {statistics.mean(last):.2f} ({min(last):.2f}) |"


def main() -> None:
    """Live all cases and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--answers", type=int, default=ANSWERS)
    parser.add_argument(
        "--fickle", action="store_true", help="people who often take what they do not want"
    )
    asked = parser.parse_args()
    accepts = FICKLE if asked.fickle else SURELY
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print("| learned by | answers until 0.80, by seed | last five rounds (worst) |")
    print("| --- | --- | --- |")
    for case in CASES:
        if asked.only in case.name:
            lives = [LaneLife(case, seed, accepts).live(asked.answers) for seed in asked.seeds]
            print(row(case, lives), flush=True)


if __name__ == "__main__":
    main()
