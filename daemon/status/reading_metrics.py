"""Reading metrics: what readers read, refused and spent, as the tables count it."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .reading_status import CLASSES, REFUSED

JUDGE = ("calls", "tokens", "cached", "errors", "not_understood", "over_budget")


class ReadingCounters(Collector):
    """The same after a restart; what the judge costs is its calls and tokens."""

    def __init__(self) -> None:
        self._told: Mapping[str, int] = {}
        self._waiting = 0

    def show(self, told: Mapping[str, int], waiting: int) -> None:
        """Take the counts of now."""
        self._told, self._waiting = told, waiting

    def collect(self) -> Iterable[Metric]:
        """Return the series as last counted."""
        read = CounterMetricFamily(
            "rlwd_readings", "Messages and answers read, by what was read", labels=["direction"]
        )
        refused = CounterMetricFamily(
            "rlwd_not_read", "Messages that nobody will read, by why", labels=["why"]
        )
        judge = CounterMetricFamily(
            "rlwd_judge", "What the judge was asked and spent", labels=["what"]
        )
        for family, names in ((read, CLASSES), (refused, REFUSED), (judge, JUDGE)):
            for name in names:
                family.add_metric([name], self._told.get(name, 0))
        waiting = GaugeMetricFamily("rlwd_unread", "Messages and answers that wait to be read")
        waiting.add_metric([], self._waiting)
        return [read, refused, judge, waiting]
