"""MergedMetrics: the metrics of several processes on one page, told apart by a label."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

LABEL = "worker"


class MergedMetrics(Collector):
    """What pages of Prometheus' text format say, each series with the number of who said it.

    They are not added up here: a worker that is started again counts from 0, which a reader sees of
    its own series and not of a sum.
    """

    def __init__(self, pages: Mapping[int, bytes]) -> None:
        self.pages = pages

    def collect(self) -> Iterable[Metric]:
        """Return each metric once, with the series of all."""
        found: dict[str, Metric] = {}
        for number, page in sorted(self.pages.items()):
            for one in text_string_to_metric_families(page.decode()):
                metric = found.setdefault(one.name, Metric(one.name, one.documentation, one.type))
                metric.samples += [
                    sample._replace(labels={**sample.labels, LABEL: str(number)})
                    for sample in one.samples
                ]
        return found.values()


def merged_page(pages: Mapping[int, bytes]) -> bytes:
    """Return one page of several, by the number of who wrote it."""
    registry = CollectorRegistry()
    registry.register(MergedMetrics(pages))
    return generate_latest(registry)
