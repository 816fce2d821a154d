"""Which tests share a process, and which begin first, where several processes run them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling

ROOT = Path(__file__).parents[2]
SHARED = ("vllm_server", "mlflow_server")
"""Fixtures of the whole session that take a core for most of a minute to start: one process has them."""


class BySharedServer(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """A file's tests are one process's, and so are all files' that ask for the one vLLM or MLflow."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return SHARED[0] if asks_for_shared(file) else file


@cache
def asks_for_shared(file: str) -> bool:
    """Return whether a file of tests names a shared server's fixture."""
    text = (ROOT / file).read_text()
    return any(name in text for name in SHARED)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Take files by the order of collection, which is that of `pytest_collection_modifyitems`."""
    return BySharedServer(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that may take longest: at the end none is left to one process alone."""
    longest: dict[str, float] = {}
    for item in items:
        file = _file(item)
        longest[file] = max(longest.get(file, 0.0), _seconds(item), 900.0 * asks_for_shared(file))
    items.sort(key=lambda item: -longest[_file(item)])


def _file(item: pytest.Item) -> str:
    return item.nodeid.split("::", 1)[0]


def _seconds(item: pytest.Item) -> float:
    """What its mark says that it may take; 0 without one."""
    mark = item.get_closest_marker("timeout")
    given: Sequence[float] = mark.args if mark else ()
    return float(given[0]) if given else 0.0
