"""Reward shop: a state with answers of two segments and weeks, and the command line on it."""

import io
import os
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger, feedback, generation

from rlwd.daemon.cli import main
from rlwd.streams.events.signals import Accepted, Copied, Edited, Kept, Rejected

WEEK = 7 * 86400.0


class Finished(NamedTuple):
    """What a command left."""

    returncode: int
    """Its status."""
    stdout: str
    """What it printed."""
    stderr: str
    """What it complained of."""


def rlwd_in(folder: Path, *arguments: str) -> Finished:
    """Run `rlwd` in a folder, in a terminal 80 columns wide, in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    umask, there = os.umask(0o077), Path.cwd()
    os.chdir(folder)
    try:
        with (
            patch.object(sys, "argv", ["rlwd", *arguments]),
            patch.dict(os.environ, {"COLUMNS": "80", "NO_COLOR": "1"}),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os.chdir(there)
        os.umask(umask)
    return Finished(code, out.getvalue(), err.getvalue())


@dataclass
class RewardShop:
    """One config file with the state beside it."""

    folder: Path
    ledger: Ledger
    now: float

    def rewards(self, *arguments: str) -> Finished:
        """Run `rlwd rewards` in the folder."""
        return rlwd_in(self.folder, "rewards", *arguments)

    def spec(self, name: str, text: str) -> str:
        """Write a spec; return its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)


def open_reward_shop(tmp_path: Path, database: str = "") -> RewardShop:
    """Sixty replies of this week and a month ago, and titles that nobody touched."""
    (tmp_path / "rlwd.toml").write_text(
        f'policy = "policy"\nstate = "state"\ndatabase = "{database}"\n[learner]\nmodel = "model"\n'
    )
    (tmp_path / "state").mkdir()
    ledger, now = open_daemon_ledger(database or tmp_path / "state" / "rlwd.db"), time.time()
    with ledger.store.transaction() as tx:
        ledger.ends = ledger.joiner.resume(tx, [GENERATIONS, FEEDBACK])
    for number in range(60):
        at = now - (7200.0 + number if number < 40 else 4 * WEEK + number)
        name = f"r{number}"
        ledger.take(generation(name, at, segment="reply", text="abcd" * (number % 4 + 1)), now=at)
        taken = number % 3 != 0
        said = [feedback(f"{name}.d", name, Accepted() if taken else Rejected(), at + 5)]
        if number % 4 == 0:
            said.append(
                feedback(f"{name}.k", name, Kept(fraction=0.5, horizon_seconds=60.0), at + 65)
            )
        if number % 5 == 0:
            said.append(feedback(f"{name}.e", name, Edited(final_text="abcx"), at + 8))
        ledger.take(*said, partition=FEEDBACK, now=at + 100)
    titles = [generation(f"t{n}", now - 7200.0, segment="title") for n in range(10)]
    ledger.take(*titles, now=now)
    ledger.take(feedback("t0.c", "t0", Copied(), now - 7000.0), partition=FEEDBACK, now=now)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE offsets SET read_past = ?", (now,))
    return RewardShop(tmp_path, ledger, now)
