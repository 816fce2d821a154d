"""Look keeper: keeps what each look at a rollout showed, for the time after the rollout."""

from ...streams.answers.exposure import user_means
from ...streams.state.store import Store
from ..rollout import rollouts_table
from ..rollout.observe import Comparing
from ..stages.record import Rollout
from ..statistics.guardrail import Observation
from .look import look_of
from .looks_table import add_look, put_parts, thin_looks
from .part import read_parts

THIN_EVERY = 16
"""Looks between two thinnings."""
PARTS_AGE = 0.05, 600.0
"""Parts are computed anew once they are older than this part of the rollout's time, and at latest
after so many seconds: they read every answer, as a look does, once for each segment and day."""


class LookKeeper:
    """Called after every look; a crash loses at most the last one. The loop's thread owns it."""

    def __init__(
        self, store: Store, policy: str, comparing: Comparing, *, srm_alpha: float
    ) -> None:
        self.store, self.policy, self.comparing = store, policy, comparing
        self.srm_alpha = srm_alpha
        self._open = ""
        """Version whose rollout was under way at the last look."""
        self._parts_at = 0.0
        self._kept = 0

    def keep(
        self,
        watched: Rollout | None,
        after: Rollout | None,
        seen: Observation | None,
        since_promotion: Observation | None,
        now: float,
    ) -> None:
        """Keep a look at `watched`, after which it was `after`; both are None where none was made."""
        if self._open and (watched is None or watched.version != self._open):
            self._end(self._open, now)  # By hand, between two looks.
        self._open = ""
        if watched is None or after is None or seen is None or not watched.serving:
            if watched is not None and watched.serving:
                self._open = watched.version
            return
        look = look_of(
            watched,
            after,
            seen,
            since_promotion,
            self.comparing,
            now,
            srm_alpha=self.srm_alpha,
        )
        with self.store.transaction() as tx:
            add_look(tx, self.policy, watched.version, look)
            self._kept += 1
            if self._kept % THIN_EVERY == 0:
                thin_looks(tx, self.policy, watched.version, now)
        if after.ended:
            self._end(watched.version, now)
            return
        self._open = watched.version
        share, longest = PARTS_AGE
        began = watched.trail[0].at if watched.trail else watched.entered_at
        if now - self._parts_at >= min(share * (now - began), longest):
            self._parts(watched.version, now)

    def _end(self, version: str, now: float) -> None:
        """Keep of an ended rollout what its pages need for ever."""
        self._parts(version, now)
        with self.store.transaction() as tx:
            thin_looks(tx, self.policy, version, now, ended=True)

    def _parts(self, version: str, now: float) -> None:
        with self.store.reading() as view:
            known = [one.version for one in rollouts_table.history(view, self.policy, limit=16)]
            before = known[: known.index(version)] if version in known else []
            earlier = user_means(view, self.policy, before[-1]) if before else {}
            parts = read_parts(view, self.policy, version, self.comparing, now, earlier=earlier)
        with self.store.transaction() as tx:
            put_parts(tx, self.policy, version, parts)
        self._parts_at = now
