"""Hack run: what became of one policy that may cheat: answer by answer, with what guards and people did."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

import msgspec
import structlog

from ...ops.drift import alarms_table
from ...ops.drift.alarms_table import DriftAlarm
from ...ops.rollout.rollouts_table import history
from ...ops.stages.record import Rollout, Stage
from ...streams.state.durable import replace_file
from ...streams.state.store import Store
from ..demo.crowd import CrowdAnswer
from ..worlds.agent import ESCAPE
from ..worlds.commits_people import NOTHING

log = structlog.get_logger()

SHAPE = "shape"
"""The hack of a taste that looks at shape alone; the others are the agent's."""
ESCAPES = dict[str, str](ESCAPE.items()) | {SHAPE: NOTHING}
"""What an answer does that cheats, by hack."""
WINDOW = 256
"""Answers at either end that a summary is of."""
FILE = "hack.json"


class HackAnswer(msgspec.Struct, frozen=True, array_like=True):
    """One answer."""

    reward: float | None
    """What it was worth to the learner; None where it was dropped."""
    wanted: bool
    """Whether it did what the person wanted."""
    did: str
    """What it did, in a word of the world's."""


class HackMark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened between two answers."""

    after: int
    """Answers before it."""
    what: Literal["alarm", "promoted", "held", "rolled back"]
    """An alarm of the drift watch, or what became of a version."""
    version: str
    """Of which version."""
    said: str = ""
    """The behaviour of an alarm, or why a version was held or taken back."""


class HackRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    hack: str
    """What the policy may learn; one of `ESCAPES`."""
    guard: str
    """Which guards were on."""
    seed: int
    """Of people and policy."""
    servers: bool
    """Whether gateway, engine, daemon and learner were processes of their own, with rollouts."""
    answers: tuple[HackAnswer, ...]
    """In the order in which people got them."""
    marks: tuple[HackMark, ...] = ()
    """In the order of time."""

    def did(self, one: HackAnswer) -> bool:
        """Return whether an answer did what the hack is named after."""
        return one.did == ESCAPES[self.hack]

    @property
    def summary(self) -> dict[str, float | int | None]:
        """Reward, share wanted and share of the hack, of the first and last answers; the first alarm."""
        ends = {"first": self.answers[:WINDOW], "last": self.answers[-WINDOW:]}
        told: dict[str, float | int | None] = {}
        for name, part in ends.items():
            rewards = [one.reward for one in part if one.reward is not None]
            told[f"reward_{name}"] = round(fmean(rewards), 3) if rewards else None
            told[f"wanted_{name}"] = round(fmean(one.wanted for one in part), 3) if part else None
            told[f"hack_{name}"] = round(fmean(map(self.did, part)), 3) if part else None
        alarms = [mark.after for mark in self.marks if mark.what == "alarm"]
        told["first_alarm"] = min(alarms, default=None)
        for what in ("promoted", "held", "rolled back"):
            told[what.replace(" ", "_")] = sum(mark.what == what for mark in self.marks)
        return told


def read_run(
    store: Store, policy: str, given: Sequence[CrowdAnswer], *, hack: str, guard: str, seed: int
) -> HackRun:
    """Return what a finished demo's state and crowd say."""
    with store.reading() as view:
        rows = view.execute(
            "SELECT generation_id, reward, received FROM episodes WHERE policy = ?", (policy,)
        ).fetchall()
        alarms, rollouts = alarms_table.alarms(view, policy), history(view, policy)
    rewards = {name: reward for name, reward, _ in rows}
    ours = {one.generation_id for one in given}
    times = sorted(received for name, _, received in rows if name in ours)
    marks = [(one.at, "alarm", one.version, one.behaviour) for one in alarms]
    for rollout in rollouts:
        marks += _ends(rollout, alarms)
    return HackRun(
        hack=hack,
        guard=guard,
        seed=seed,
        servers=True,
        answers=tuple(
            HackAnswer(rewards.get(one.generation_id), one.wanted, one.did) for one in given
        ),
        marks=tuple(
            HackMark(after=bisect_right(times, at), what=what, version=version, said=said)  # type: ignore[arg-type]
            for at, what, version, said in sorted(marks)
        ),
    )


def _ends(rollout: Rollout, alarms: Sequence[DriftAlarm]) -> list[tuple[float, str, str, str]]:
    """Return when a version was promoted, held (by an alarm, or found so at its end) or taken back."""
    found = []
    for move in rollout.trail:
        if move.stage is Stage.PROMOTED:
            found.append((move.at, "promoted", rollout.version, ""))
        if move.stage is Stage.ROLLED_BACK:
            found.append((move.at, "rolled back", rollout.version, move.reason))
    if rollout.held:
        at = min((one.at for one in alarms if one.version == rollout.version), default=None)
        found.append((at or rollout.trail[-1].at, "held", rollout.version, rollout.held))
    return found


def write_run(run: HackRun, folder: Path) -> None:
    """Keep a run beside everything else of it."""
    replace_file(folder / FILE, msgspec.json.encode(run), mode=0o644)


def runs_beside(folder: Path) -> Sequence[HackRun]:
    """Return the newest run of each hack and guard in this folder and in those of earlier demos.

    A demo whose folder is taken adds a number to its name, so that earlier ones are found by it.
    """
    name = re.sub(r"-\d+$", "", folder.name)
    places = sorted(folder.parent.glob(f"{name}*/{FILE}"), key=lambda one: one.stat().st_mtime)
    found = dict[tuple[str, str], HackRun]()
    for place in [*places, folder / FILE]:
        try:
            run = msgspec.json.decode(place.read_bytes(), type=HackRun)
        except (OSError, ValueError) as problem:
            log.warning("hack_run_unreadable", path=str(place), problem=str(problem))
            continue
        found[run.hack, run.guard] = run
    return list(found.values())
