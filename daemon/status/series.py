"""Series: what a page of metrics shows of values that stand elsewhere, such as in the tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Labelled = Mapping[str, float] | Mapping[tuple[str, str], float]
"""Values by label, or by two labels in the series' order."""
Shown = Mapping[str, float | Labelled]
"""Values by the name of their series."""


class Series(NamedTuple):
    """One metric as it is named on the page; whose name ends in `_total` is a counter, else a gauge."""

    name: str
    """With its unit, and `_total` for a counter."""
    said: str
    """What it counts or measures."""
    labels: tuple[str, ...] = ()
    """Names of its labels, each of a few values."""


class SeriesTable(Collector):
    """Shows values that were counted elsewhere, as they were last taken.

    Each series is replaced as a whole, so that what is gone is not shown, and a page that is asked for
    meanwhile shows the old values or the new ones. Before the first values a series has none: a zero
    would look like a restart. Counters of the tables are the same after a restart; daemons that share a
    database show the same values, so take the greatest and not the sum.
    """

    def __init__(self, series: Sequence[Series]) -> None:
        self.series = {one.name: one for one in series}
        self._values: dict[str, float | Labelled] = {}

    def show(self, values: Shown) -> None:
        """Take the values of now; series that are not named stay as they are."""
        assert values.keys() <= self.series.keys(), values.keys() - self.series.keys()
        self._values = {**self._values, **values}

    def describe(self) -> Iterable[Metric]:
        """Name the series."""
        return [_family(one, {}) for one in self.series.values()]

    def collect(self) -> Iterable[Metric]:
        """Return the series as last taken."""
        values = self._values
        return [_family(one, values.get(one.name, {})) for one in self.series.values()]


def _family(series: Series, values: float | Labelled) -> Metric:
    counter = series.name.endswith("_total")
    kind = CounterMetricFamily if counter else GaugeMetricFamily
    family = kind(series.name.removesuffix("_total"), series.said, labels=series.labels)
    found = values if isinstance(values, Mapping) else {(): values}
    for labels, value in found.items():
        family.add_metric([labels] if isinstance(labels, str) else list(labels), value)
    return family
