"""Bench keep: `python -m bench_keep`. A look of `rlwd keep` at a work tree, beside `git status` of it.

Median of the rounds, taken in turns; a look is what the watch costs every five seconds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from keep_rig import KeepRig

from rlwd.daemon.keep.written_edit import WrittenEdit

LINES = 60
"""Lines of a file, of which an agent wrote the last twenty in those that are watched."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m bench_keep", description=main.__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="files of the work tree")
    parser.add_argument("--watched", type=int, default=500, help="of these with an agent's lines")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rig = _work_tree(Path(folder), given.files, given.watched)
        rows = _measure(rig, given.watched, given.rounds)
        rig.watch.store.close()
    print(f"{given.files} files, {given.watched} of them watched, {given.rounds} rounds\n")
    print("| what | ms | of git status |\n| --- | --- | --- |")
    status = statistics.median(rows["git status"])
    for what, seconds in rows.items():
        middle = statistics.median(seconds)
        print(f"| {what} | {1e3 * middle:.0f} | {middle / status:.2f} |")


def _path(number: int) -> str:
    return f"d{number % 200}/f{number}.py"


def _wrote(number: int) -> str:
    return "".join(f"new_{number}_{line} = compute({line})\n" for line in range(20))


def _work_tree(folder: Path, files: int, watched: int) -> KeepRig:
    rig = KeepRig(folder, horizons=(1e9,))
    for number in range(files):
        path = rig.top / _path(number)
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"line_{number}_{line} = {line}\n" for line in range(LINES)))
    rig.commit("before")
    for number in range(watched):
        path = rig.top / _path(number)
        path.write_text(path.read_text() + _wrote(number))
        edit = WrittenEdit(generation_id=f"g{number}", file=_path(number), text=_wrote(number))
        rig.watch.record([edit], rig.top, rig.now)
    rig.age()
    return rig


def _measure(rig: KeepRig, watched: int, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}

    def time_of(what: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        found.setdefault(what, []).append(time.perf_counter() - began)

    def look() -> None:
        rig.now += 20
        rig.watch.turn(rig.now)

    look()
    for turn in range(rounds):
        time_of("git status", rig.watch.repository.dirty)
        time_of("a look where nothing happened", look)
        for number in range(turn, watched, 10):
            path = rig.top / _path(number)
            path.write_text(
                path.read_text().replace(f"new_{number}_{turn} = compute({turn})\n", "")
            )
        rig.age()
        time_of("a look after a tenth of the watched files was edited", look)
        rig.commit(f"turn {turn}")
        time_of("a look after a commit", look)
        look()
    return found


if __name__ == "__main__":
    main()
