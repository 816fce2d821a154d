"""`make proof PART=real`: runs what takes long, goes on where it was stopped, and says what was not run.

Without a part it lists all of them, how long they take and which seeds were run. A run that left its reports
is not run again; one that was broken off begins again. Reports, outputs and records of where and how long
lie in `proof-state/PART/`.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proof_parts import PARTS, Part, Run, parts_named
from proof_run import Kept

from rlwd.streams.ending_signals import unwinding
from rlwd.streams.state.file_lock import FileLocked

STATE = Path(__file__).parents[2] / "proof-state"


@dataclass(slots=True)
class Proof:
    """What is asked for, and what has become of it so far."""

    state: Path
    """Folder of all parts."""
    seeds: frozenset[int] | None
    """Those that are run; None: all."""
    minutes: float | None
    """Runs that would take longer than what is left of this are not begun; None: all are."""
    now: list[str] = field(default_factory=list)
    """Names of the runs that were done."""
    failed: list[str] = field(default_factory=list)
    """Names of those that failed, and where to look."""
    busy: dict[str, str] = field(default_factory=dict)
    """By the names of the runs that another process is at, which one that is."""

    def run(self, parts: Sequence[Part]) -> None:
        """Do what was not done."""
        for part in parts:
            kept = Kept(part, self.state)
            for run in part.runs:
                if kept.done(run) or self._left_out(kept, run):
                    continue
                print(f"{part.name} {run.name}: about {run.minutes:g} minutes", flush=True)
                try:
                    ran = kept.do(run)
                except FileLocked as problem:
                    self.busy[f"{part.name} {run.name}"] = problem.holder
                    continue
                if self.minutes is not None:
                    self.minutes -= ran.seconds / 60.0
                if kept.done(run):
                    self.now.append(f"{part.name} {run.name}")
                else:
                    self.failed.append(
                        f"{part.name} {run.name} (status {ran.status}; {kept.output(run)})"
                    )
            if any(kept.done(run) for run in part.runs):
                self.failed += kept.end()

    def told(self, parts: Sequence[Part]) -> str:
        """Return what was run, and which seeds were not, and why."""
        failed = {one.partition(" (")[0] for one in self.failed}
        lines = [f"run now: {', '.join(self.now) or 'none'}"]
        lines += [f"failed: {one}" for one in self.failed]
        for part in parts:
            kept = Kept(part, self.state)
            before = [
                run.name + kept.made_by(run)
                for run in part.runs
                if kept.done(run) and f"{part.name} {run.name}" not in self.now
            ]
            if before:
                lines.append(f"run before: {part.name} {', '.join(before)}")
            for run in part.runs:
                if not kept.done(run) and f"{part.name} {run.name}" not in failed:
                    busy = self.busy.get(f"{part.name} {run.name}")
                    why = f"process {busy} is at it" if busy is not None else ""
                    why = why or self._left_out(kept, run) or "stopped before it was done"
                    lines.append(f"not run: {part.name} {run.name}: {why}")
        return "\n".join(lines)

    def _left_out(self, kept: Kept, run: Run) -> str:
        """Return why a run is not begun; empty where it is."""
        if self.seeds is not None and run.seed not in self.seeds:
            return "not among the seeds that were asked for"
        if self.minutes is not None and run.minutes > self.minutes:
            return f"takes about {run.minutes:g} minutes, longer than what is left"
        return kept.hindrance(run)


def listed(parts: Sequence[Part], state: Path) -> str:
    """Return every part with its question, its page, its minutes and the runs that are done."""
    lines = list[str]()
    for part in parts:
        kept = Kept(part, state)
        done = [run.name for run in part.runs if kept.done(run)]
        open_ = [run for run in part.runs if not kept.done(run)]
        minutes = sum(run.minutes for run in open_)
        lines.append(f"{part.name}: {part.asks} ({part.page})")
        lines.append(f"    run: {', '.join(done) or 'nothing'}")
        if open_:
            lines.append(
                f"    not run: {', '.join(run.name for run in open_)}; about {minutes:g} minutes"
            )
    return "\n".join(lines)


def _minutes(said: str) -> float:
    minutes = float(said)
    if not 0 <= minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{said} is no number of minutes")
    return minutes


def main(parts: Sequence[Part] = PARTS) -> int:
    """Do what the arguments say; return 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="; ".join(p.name for p in parts))
    parser.add_argument("--seeds", type=int, nargs="+", help="these seeds (of people: folds) alone")
    parser.add_argument(
        "--minutes", type=_minutes, help="begin nothing that takes longer than is left"
    )
    parser.add_argument("--state", type=Path, default=STATE, help="where reports are kept")
    given = parser.parse_args()
    if not given.parts:
        print(listed(parts, given.state))
        return 0
    try:
        asked = parts_named(given.parts, parts)
    except ValueError as problem:
        parser.error(str(problem))
    seeds = None if given.seeds is None else frozenset(given.seeds)
    known = {run.seed for part in asked for run in part.runs}
    if seeds is not None and seeds - known:
        there = ", ".join(map(str, sorted(known)))
        parser.error(f"--seeds: no run has {min(seeds - known)}; there are {there}")
    proof = Proof(given.state.resolve(), seeds, given.minutes)
    with unwinding():  # Nor does a terminal that closes leave a run behind.
        try:
            proof.run(asked)
        finally:
            print(proof.told(asked), flush=True)
    return 1 if proof.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
