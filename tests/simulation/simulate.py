"""`make simulate`: a thousand rollouts of every world, and the tables of docs/statistics.md.

The worlds are drawn from seeds of their own, so a run repeats the figures. Half an hour on one core;
`--only crowds` writes one table.
"""

import argparse
import math
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from crowd_worlds import CROWDS
from rollout_oracle import true_change
from rollout_run import MARGIN, Method, Outcomes, simulate
from rollout_world import WORLDS, World

from rlwd.ops.statistics.answers import ComparisonSettings

METHODS: tuple[Method, ...] = ("ours", "fixed horizon", "peeking")
READINGS = ("omit", 0.0, 0.5, 1.0)
"""Values of an undecided answer that are compared."""
EVERY = 2
"""Hours between two looks."""
READ_IN = (
    "equal, other delays",
    "equal, answered less",
    "worse by 10 points, shows late",
    "worse by 10 points, rejections reported at .4",
    "worse by 10 points, all reported at .8",
    "worse by the margin, shows late",
    "better by 3 points",
)
CROWD_RUNS = 300
"""At most; a share of 5 % is then right within 2.5 points."""
TABLES = ("methods", "undecided", "crowds")
DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"


def seed_of(world: World) -> int:
    """Return a seed that a world keeps when others are added."""
    return zlib.crc32(world.name.encode())


def judged(world: World, runs: int) -> list[Outcomes]:
    """Return what becomes of a world's rollouts by each method."""
    return list(simulate(world, runs=runs, seed=seed_of(world), methods=METHODS, every=EVERY))


def read_as(world: World, runs: int, undecided: float) -> Outcomes:
    """Return what becomes of them where undecided answers are valued so."""
    comparison = ComparisonSettings(undecided=undecided)
    seed = seed_of(world)
    return next(simulate(world, runs=runs, seed=seed, comparison=comparison, every=EVERY))


def methods_table(rows: Sequence[list[Outcomes]]) -> str:
    """Return the table of decisions, ours beside the two others."""
    lines = [
        _runs(rows),
        "",
        "| candidate | truth | ours: promoted | rolled back | held | hours"
        + " | fixed horizon: promoted | rolled back | hours | peeking: promoted | rolled back | hours |",
        "| --- |" + " ---: |" * 11,
    ]
    for ours, fixed, peeking in rows:
        cells = [ours.world, f"{true_change({**WORLDS, **CROWDS}[ours.world]):+.1%}"]
        cells += [_share(ours.promoted), _share(ours.rolled_back), _share(ours.held), _hours(ours)]
        for other in (fixed, peeking):
            cells += [_share(other.promoted), _share(other.rolled_back), _hours(other)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def readings_table(rows: Sequence[list[Outcomes]]) -> str:
    """Return the table of what an undecided answer may be worth."""
    names = [name if name == "omit" else f"{name:g}" for name in READINGS]
    head = [f"{name}: promoted | rolled back | held" for name in names]
    lines = [
        _runs(rows),
        "",
        f"| candidate | {' | '.join(head)} |",
        "| --- |" + " ---: |" * 3 * len(names),
    ]
    for row in rows:
        shares = [_share(x) for each in row for x in (each.promoted, each.rolled_back, each.held)]
        lines.append(f"| {row[0].world} | {' | '.join(shares)} |")
    return "\n".join(lines)


def written(document: str, name: str, table: str) -> str:
    """Return the document with the table between its markers.

    Raises ValueError where the document has no such place.
    """
    begin, end = f"<!-- simulated: {name} -->\n", f"<!-- end: {name} -->"
    if begin not in document or end not in document:
        raise ValueError(f"{DOCUMENT}: has no place for the table {name}")
    before, rest = document.split(begin, 1)
    return f"{before}{begin}\n{table}\n\n{end}{rest.split(end, 1)[1]}"


def _runs(rows: Sequence[list[Outcomes]]) -> str:
    return f"{min(each.runs for row in rows for each in row):,} rollouts of each kind:"


def _share(share: float) -> str:
    return f"{share:.3f}" if share else "0"


def _hours(outcomes: Outcomes) -> str:
    return "" if math.isnan(outcomes.hours) else f"{outcomes.hours:.0f}"


def _told(rows: list[Outcomes]) -> list[Outcomes]:
    print(rows[0].world, *(f"{x.promoted:.3f}/{x.rolled_back:.3f}/{x.held:.3f}" for x in rows))
    sys.stdout.flush()
    return rows


def _tables(asked: str, runs: int) -> Iterator[tuple[str, str]]:
    """Yield each table's name and text, once its rollouts are drawn."""
    if asked in ("methods", ""):
        yield "methods", methods_table([_told(judged(world, runs)) for world in WORLDS.values()])
    if asked in ("crowds", ""):
        fewer = min(runs, CROWD_RUNS)
        yield "crowds", methods_table([_told(judged(world, fewer)) for world in CROWDS.values()])
    if asked in ("undecided", ""):
        print(f"undecided answers valued as {', '.join(map(str, READINGS))}")
        worlds = [WORLDS[name] for name in READ_IN]
        rows = [_told([read_as(world, runs, value) for value in READINGS]) for world in worlds]  # type: ignore[arg-type]
        yield "undecided", readings_table(rows)


def main() -> None:
    """Simulate, print the shares as they come, and write the document's tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--only", choices=TABLES, default="", help="the one table that is drawn")
    parser.add_argument("--print-only", action="store_true", help="leave the document as it is")
    given = parser.parse_args()
    print(f"margin {MARGIN:.0%}; promoted/rolled back/held by {', '.join(METHODS)}")
    for name, table in _tables(given.only, given.runs):
        if not given.print_only:
            DOCUMENT.write_text(written(DOCUMENT.read_text(), name, table))


if __name__ == "__main__":
    main()
