"""docs/health.md has the table of the code, and every metric in it is one that an update measures."""

import re
from pathlib import Path

from rlwd.learner.health import SIGNALS, health_table, readings

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_table() -> None:
    """Word for word; and its settings are there."""
    assert health_table() in (ROOT / "docs/health.md").read_text()
    settings = (ROOT / "docs/settings.md").read_text()
    for name in re.findall(r"`(?:learner|batch|rollout)\.(\w+)`", health_table()):
        assert f"`{name}`" in settings or f"[rollout.{name}]" in settings, name


def test_a_value_beyond_its_bar_is_told() -> None:
    """On either side; what was not measured is left out, and a lane is told by its name."""
    told = {one.metric: 1e9 for one in SIGNALS if one.high is not None}
    told |= {one.metric: -1.0 for one in SIGNALS if one.high is None and one.low is not None}
    assert {one.signal.metric for one in readings(told) if one.beyond} == set(told)
    assert [one.signal.name for one in readings({"reward/lane/kto": 0.5})] == ["reward, lane kto"]
    assert readings({}) == []


def test_of_few_tokens_no_mismatch_is_told() -> None:
    """The alarm says nothing below its least, and the page does not say that promotion waits."""
    apart = {"mismatch/k3": 0.5, "mismatch/beyond": 0.5}
    for tokens, beyond in ((999.0, False), (1000.0, True)):
        assert {one.beyond for one in readings({**apart, "mismatch/tokens": tokens})} == {beyond}
