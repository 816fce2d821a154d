"""Losses: records that will never be sent, each counted once, or sent after all."""

from collections import Counter

import structlog

from .lost import LostCounts
from .record import Entry, Kind

log = structlog.get_logger()


class Losses:
    """Decides what counts as lost when a record was dropped or the disk did not take it."""

    def __init__(self, counts: LostCounts) -> None:
        self._counts = counts
        self.dropped = 0
        """Records lost in this life."""
        self._counted: dict[str, str] = {}
        self._cut: dict[str, Entry] = {}

    @property
    def tombstones(self) -> Counter[str]:
        """Records lost in all lives, by `topic|day|variant`."""
        return Counter(self._counts.counts)

    def count(self, lost: Counter[str]) -> None:
        """Count records as lost; a negative count takes back."""
        if not lost:
            return
        self.dropped += lost.total()
        try:
            self._counts.add(lost)
        except OSError as problem:
            log.error("lost_not_counted", lost=dict(lost), problem=str(problem))

    def failed(self, entry: Entry, admission: Entry | None) -> None:
        """Count what is lost now that a record was not written.

        A generation is counted at its admission already, since it is served all the same and the
        process may be killed before its end. Where the admission is on disk nothing is lost: it goes
        out as not captured. Feedback is refused, so whoever sent it knows.
        """
        if entry.kind is Kind.FEEDBACK:
            return
        if admission is not None:
            self._cut[entry.id] = admission
            return
        if entry.id in self._counted:
            # Counted at its admission; this was its end.
            del self._counted[entry.id]
            return
        if entry.kind is Kind.ADMISSION:
            self._counted[entry.id] = entry.label
        self.count(Counter({entry.label: 1}))

    def written(self, entry: Entry) -> None:
        """Take back what is not lost after all: an end whose admission had failed."""
        if entry.kind is Kind.GENERATION and entry.id in self._counted:
            self.count(Counter({self._counted.pop(entry.id): -1}))

    def take_cut(self) -> list[Entry]:
        """Return the admissions whose end was not written, once."""
        cut, self._cut = self._cut, {}
        return list(cut.values())
