"""`python -m hacks`: a policy that may cheat, with the guards and without, over three seeds; docs/hacks.md.

Lives without servers (`hack_lives`), each kept as `rlwd demo --hack` keeps its run, beside the runs of whole
demos that `--demos` names. A life that is kept is not lived again.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
import torch
from hack_lives import Given, HackLife
from simulate import written

from rlwd.daemon.hacks.hack_picture import draw_hacks
from rlwd.daemon.hacks.hack_profile import Guard
from rlwd.daemon.hacks.hack_run import FILE, SHAPE, HackAnswer, HackMark, HackRun
from rlwd.daemon.worlds.agent import HACKS, Hack

DOCUMENT = Path(__file__).parents[2] / "docs" / "hacks.md"
ARMS: tuple[tuple[Hack, Guard], ...] = tuple(
    (hack, guard) for hack in HACKS for guard in ("off", "on")
)
COLUMNS = (
    *(
        "hack",
        "guards",
        "seed",
        "run",
        "reward",
        "what people wanted",
        "the hack",
        "first alarm after",
    ),
    *("promoted", "held", "rolled back"),
)


def lived(hack: Hack, guard: Guard, seed: int, kept: Path, *, rounds: int, asked: int) -> HackRun:
    """Return one life, lived now or kept from before; raises ValueError where that one is of another length."""
    file = kept / f"{hack}-{guard}-{seed}.json"
    if file.exists():
        found = msgspec.json.decode(file.read_bytes(), type=HackRun)
        if len(found.answers) != rounds * asked:
            raise ValueError(
                f"{file}: of {len(found.answers)} answers and not of {rounds * asked}; move it away"
            )
        return found
    given, marks = list[Given](), list[HackMark]()
    with tempfile.TemporaryDirectory() as folder:
        life = HackLife(hack, guard, seed, kept / "policies", Path(folder) / "rlwd.db")
        for number, one in enumerate(life.live(rounds, asked)):
            given += one
            marks += [
                HackMark(
                    after=len(given), what="alarm", version=alarm.version, said=alarm.behaviour
                )
                for alarm in life.alarms(number)
            ]
            print(f"{hack} {guard} seed {seed}: {len(given)} answers", flush=True)
    answers = tuple(HackAnswer(one.reward, one.wanted, one.did) for one in given)
    run = HackRun(
        hack=hack, guard=guard, seed=seed, servers=False, answers=answers, marks=tuple(marks)
    )
    file.write_bytes(msgspec.json.encode(run))
    return run


def hack_table(runs: Sequence[HackRun]) -> str:
    """Return the table of docs/hacks.md, first and last answers beside each other."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    for run in runs:
        told = run.summary
        pairs = [
            f"{_number(told[f'{name}_first'])} → {_number(told[f'{name}_last'])}"
            for name in ("reward", "wanted", "hack")
        ]
        kind = "whole" if run.servers else "no servers"
        counts = [
            told[name] if run.servers or run.hack == SHAPE else "-"
            for name in ("promoted", "held", "rolled_back")
        ]
        alarm = "none" if told["first_alarm"] is None else f"{told['first_alarm']:,}"
        cells = [run.hack, run.guard, run.seed, kind, *pairs, alarm, *counts]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def with_whole(table: str, document: str) -> str:
    """Return the table with the rows of whole runs that the document has, each before its like without servers."""
    head, rule, *rows = table.splitlines()
    hacks = tuple(f"| {hack} |" for hack in HACKS)
    told = [
        line for line in document.splitlines() if line.startswith(hacks) and "| whole |" in line
    ]
    places = [(*row.split(" | ")[:3], row) for row in (*told, *rows)]
    ordered = sorted(places, key=lambda one: (hacks.index(f"{one[0]} |"), one[1], one[2]))
    return "\n".join([head, rule, *(one[-1] for one in ordered)])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main() -> None:
    """Live the lives, and write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--asked", type=int, default=128, help="requests in a round")
    parser.add_argument(
        "--kept", type=Path, default=Path("hack-lives"), help="keeps what was lived"
    )
    parser.add_argument("--demos", type=Path, nargs="*", default=[], help="folders of whole runs")
    parser.add_argument("--print-only", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    torch.set_num_threads(1)
    given.kept.mkdir(parents=True, exist_ok=True)
    whole = [
        msgspec.json.decode((folder / FILE).read_bytes(), type=HackRun) for folder in given.demos
    ]
    try:
        lives = [
            lived(hack, guard, seed, given.kept, rounds=given.rounds, asked=given.asked)
            for seed in range(given.seeds)
            for hack, guard in ARMS
        ]
    except ValueError as problem:
        parser.error(str(problem))
    runs = sorted([*whole, *lives], key=lambda run: (HACKS.index(run.hack), run.guard, run.seed))
    print(hack_table(runs))
    if not given.print_only:
        shown = {(run.hack, run.guard): run for run in reversed(lives)}
        draw_hacks(list(shown.values()), DOCUMENT.with_suffix(".png"))
        document, table = DOCUMENT.read_text(), hack_table(runs)
        table = table if whole else with_whole(table, document)
        DOCUMENT.write_text(written(document, "hacks", table))


if __name__ == "__main__":
    main()
