"""Production gap: whether a version behaves on a benchmark as it does in production.

Models notice when they are tested (arXiv 2505.23836), and a benchmark may have gone stale: in either case
what the gate saw is not what people get.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..drift import alarms_table
from ..drift.alarms_table import REPLAY, DriftAlarm
from ..drift.drift_answers import DriftAnswer, Side, answers_of
from ..drift.drift_look import BehaviourLook, compare
from ..drift.evidence import evidence
from ..stages.watch_settings import WatchSettings
from .replay_folder import VersionReplay, read_replay

log = structlog.get_logger()

SEGMENT_PEOPLE = 5
"""People on both sides with whom a segment is compared. Not `rollout.watch.users`: a benchmark of 100 people
and eight segments has so many in none of them, and nothing would ever be compared."""


class Gap(NamedTuple):
    """One behaviour of which more is done in one place than in the other."""

    behaviour: str
    """As the drift watch knows it."""
    said: str
    """What was shown, in words."""
    looked: BehaviourLook
    """With its interval."""


class GapWatch:
    """Compares one policy's versions with their replays. Not thread-safe: the loop's thread owns it."""

    def __init__(self, store: Store, policy: str, settings: WatchSettings, replays: Path) -> None:
        """`settings` are the drift watch's: the same bars, and half of its alpha for each direction."""
        self.store, self.policy, self.settings, self.replays = store, policy, settings, replays
        self._looked_at = float("-inf")

    def due(self, now: float) -> bool:
        """Return whether it is time for a look."""
        return now - self._looked_at >= self.settings.seconds and self.replays.exists()

    def look(self, sides: Sequence[Side], now: float) -> list[DriftAlarm]:
        """Compare what each side's version did in production with its replay; return the new alarms."""
        self._looked_at, new = now, list[DriftAlarm]()
        for side in sides:
            replay = read_replay(self.replays, side.version)
            if replay is None:
                continue
            with self.store.reading() as view:
                found = self._alarms(view, side, replay, now)
            with self.store.transaction() as tx:
                new += alarms_table.file_alarms(tx, self.policy, found)
        for one in new:
            log.error("replay_gap", version=one.version, problem=one.sentence)
        return new

    def _alarms(
        self, view: Transaction, side: Side, replay: VersionReplay, now: float
    ) -> list[DriftAlarm]:
        answers = [_as_cut(one, replay.limit) for one in answers_of(view, self.policy, side)]
        return [
            DriftAlarm(
                version=side.version,
                behaviour=f"{REPLAY}{gap.behaviour}",
                at=now,
                said=f"{gap.said}, {replay.benchmark}",
                evidence=evidence(gap.looked, answers),
            )
            for gap in gaps(answers, as_answers(replay), self.settings)
        ]


def _as_cut(answer: DriftAnswer, limit: int) -> DriftAnswer:
    """Return an answer as the replay's limit cuts it: so long at most, and how it ends is not known."""
    if answer.tokens is None or answer.tokens < limit:
        return answer
    told = {name: one for name, one in answer.behaviours.items() if name != "breaks_off"}
    return answer._replace(tokens=limit, behaviours=told)


def gaps(
    production: Sequence[DriftAnswer], replay: Sequence[DriftAnswer], settings: WatchSettings
) -> list[Gap]:
    """Return each behaviour that is shown to be further apart than its bar, in either direction.

    The segments of both are weighed as if they had the same shares; one with fewer than `SEGMENT_PEOPLE`
    on one side is left out. Each direction has half of the alpha, and each holds at all looks together.
    """
    least = min(SEGMENT_PEOPLE, settings.users)
    found = dict[str, Gap]()
    for ours, theirs, where in (
        (production, replay, "in production than on the replay"),
        (replay, production, "on the replay than in production"),
    ):
        looked = compare(
            ours, theirs, settings, alpha=settings.alpha / 2, concurrent=False, least=least
        )
        for one in looked:
            if one.passed and one.name not in found:
                more = "more" if one.difference > 0 else "less"
                found[one.name] = Gap(one.name, f"{one.said}: {more} {where}", one)
    return list(found.values())


def as_answers(replay: VersionReplay) -> list[DriftAnswer]:
    """Return a replay's answers as the drift watch reads those of people."""
    answers = [
        DriftAnswer(
            generation_id=str(place),
            user=f"person {one.person}",
            received=replay.at,
            segment=one.segment,
            reward=None,
            kept=None,
            edited=False,
            tokens=one.tokens,
            behaviours=one.behaviours,
            held=False,
            empty=one.empty,
        )
        for place, one in enumerate(replay.answers)
    ]
    return [_as_cut(one, replay.limit) for one in answers]
