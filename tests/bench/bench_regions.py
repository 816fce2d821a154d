"""Bench of trust regions: lagged lives of a policy under each preset, as a table for docs/regions.md.

`python -m bench_regions` lives them with a table of styles (seconds), `--tiny FOLDER` with the demo's policy
(minutes a life). Every life has answers of several versions in a batch (`lagged_life`).
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import structlog
import torch
from lagged_life import LaggedLife, Living, Pace, Table, Tiny, Told

from rlwd.learner.trust_region import Name

PAGE = Path(__file__).parents[2] / "docs" / "regions.md"
SEEDS = (0, 1, 2, 3, 4)
ANSWERS = 3000
AHEAD = Pace(episodes=128, at_most=1024, lead=3)
"""The learner goes on while a version is tried, and takes all that came."""
ONE_BY_ONE = Pace(episodes=256, at_most=256, lead=1)
"""It waits for the decision, and takes the freshest."""
ALL_AT_ONCE = Pace(episodes=128, at_most=1024, lead=1)
"""It waits for the decision, and then takes all that came."""


class Case(NamedTuple):
    """Lives that differ in their seed alone."""

    name: str
    pace: Pace
    settings: Mapping[str, Any]


def cases() -> list[Case]:
    """Return what is compared: as it was, every preset, and what a weight on negatives does."""
    fresh = {"passes": 6, "negative_weight": 0.2, "max_policy_age": 0}
    found = [Case("`clipped`, age 0, 256 a batch, negatives 0.2", ONE_BY_ONE, fresh)]
    for name in get_args(Name):
        found.append(Case(f"`{name}`", AHEAD, {"trust_region": name}))
    for name in ("clipped", "truncated", "total_variation", "decoupled"):
        found.append(
            Case(f"`{name}`, negatives 0.2", AHEAD, {"trust_region": name, "negative_weight": 0.2})
        )
    found.append(Case("`decoupled`, one by one", ALL_AT_ONCE, {"trust_region": "decoupled"}))
    return found


def lived(case: Case, tiny: Path | None, seeds: Sequence[int], answers: int) -> list[Told]:
    """Live a case once for each seed."""
    told = []
    for seed in seeds:
        policy: Living = (
            Table(seed, **case.settings) if tiny is None else Tiny(tiny, seed, **case.settings)
        )
        told.append(LaggedLife(policy, seed, case.pace).live(answers))
    return told


def row(case: Case, told: Sequence[Told]) -> str:
    """Return a line of the page."""
    until = [f"{one.until:,}" if one.until else "never" for one in told]
    final = [one.final for one in told]
    return (
        f"| {case.name} | {', '.join(until)} | {statistics.mean(final):.2f} ({min(final):.2f})"
        f" | {max(one.dip for one in told):.2f} | {statistics.mean(o.unused for o in told):.0%}"
        f" | {sum(one.refused for one in told)} |"
    )


def main() -> None:
    """Live all cases, print their rows and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", type=Path, help="folder for the demo's policies")
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--answers", type=int, default=ANSWERS)
    parser.add_argument("--write", action="store_true", help="into docs/regions.md")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    lines = [
        "| region | answers until 0.80, by seed | last 500 (worst) | worst dip | too old | refused |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case in cases():
        if asked.only in case.name:
            lines.append(row(case, lived(case, asked.tiny, asked.seeds, asked.answers)))
            print(lines[-1], flush=True)
    if asked.write:
        write(PAGE, "tiny" if asked.tiny else "table", "\n".join(lines))


def write(page: Path, name: str, table: str) -> None:
    """Put a table between the page's markers of this name."""
    before, begun, rest = page.read_text().partition(f"<!-- {name} -->\n")
    _, ended, after = rest.partition(f"<!-- /{name} -->")
    assert begun, page
    assert ended, page
    page.write_text(f"{before}{begun}{table}\n{ended}{after}")


if __name__ == "__main__":
    main()
