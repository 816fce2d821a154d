"""Move log: each move of a rollout is said once, in the log and to whoever listens."""

from collections.abc import Callable, Iterable

import structlog

from ..drift.doubt import UNSEEN
from ..stages.record import Rollout, Stage

log = structlog.get_logger()


class MoveLog:
    """Remembers which moves were said already; a restart says the last ones again."""

    def __init__(self, moved: Callable[[Rollout], None] = lambda rollout: None) -> None:
        """`moved` is called at each move, after it was committed."""
        self.moved = moved
        self.stage = ""
        """Version, stage and step of the newest rollout, for people."""
        self._said: dict[str, str] = {}
        self._doubted: set[str] = set()

    def report(self, rollouts: Iterable[Rollout]) -> None:
        """Say where rollouts are, oldest first; one that has not moved is passed over.

        What a promotion waits for is said once of a version, as it first was.
        """
        for rollout in rollouts:
            if rollout.doubt not in ("", UNSEEN) and rollout.version not in self._doubted:
                self._doubted.add(rollout.version)
                log.info("promotion_waits", version=rollout.version, why=rollout.doubt)
            step = f", step {rollout.step + 1}" if rollout.stage is Stage.CANARY else ""
            self.stage = f"{rollout.version} {rollout.stage}{step}"
            if self._said.get(rollout.version) == self.stage:
                continue
            self._said[rollout.version] = self.stage
            why = rollout.trail[-1].reason if rollout.trail else ""
            log.info("rollout", version=rollout.version, stage=rollout.stage, why=why)
            self.moved(rollout)
