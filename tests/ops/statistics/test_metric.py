"""Metrics: what a configuration may ask of them, and how alpha is split."""

import msgspec
import pytest

from rlwd.ops.statistics.metric import DEFAULT_METRICS, KNOWN, MetricSettings, harm_alphas


def test_a_known_name_brings_its_own_definition() -> None:
    """Reward matures and more is better; errors count at once and fewer are better."""
    reward, errors = MetricSettings(name="reward"), MetricSettings(name="error_rate")
    assert (reward.definition.matured, reward.definition.direction) == (True, "higher")
    assert (errors.definition.matured, errors.definition.direction) == (False, "lower")
    assert MetricSettings(name="latency_p95").definition.quantile == 0.95


def test_any_number_of_an_answer_joins_by_its_name() -> None:
    """A name of the product's own is a mean, or a quantile with _pNN behind it."""
    mean = MetricSettings(name="diff_lines", direction="lower").definition
    assert (mean.value, mean.quantile, mean.direction) == ("diff_lines", None, "lower")
    tail = MetricSettings(name="diff_lines_p90", direction="lower").definition
    assert (tail.value, tail.quantile) == ("diff_lines", 0.9)


def test_a_direction_that_is_given_beats_the_known_one() -> None:
    """A product where longer answers are better says so."""
    assert MetricSettings(name="length", direction="higher").definition.direction == "higher"
    assert KNOWN["length"].direction == "lower"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"name": "diff_lines"}, "direction is required"),
        ({"name": "Reward!"}, "name must be"),
        ({"name": "reward", "margin": 1.0}, "margin is 1.0"),
        ({"name": "reward", "tolerance": -0.1}, "tolerance is -0.1"),
        ({"name": "reward", "kind": "non-inferior", "margin": 0.0}, "nothing can be shown"),
        ({"name": "reward", "alpha_share": 0.0}, "alpha_share is 0.0"),
        ({"name": "reward", "kind": "best"}, "Invalid enum value 'best'"),
    ],
)
def test_what_cannot_be_tested_is_refused(settings: dict[str, object], named: str) -> None:
    """The error names the metric's key."""
    with pytest.raises((ValueError, msgspec.ValidationError), match=named):
        msgspec.convert(settings, MetricSettings)


def test_alpha_is_split_by_the_shares() -> None:
    """The parts add up to the whole; a metric with four shares gets four times as much."""
    parts = harm_alphas(DEFAULT_METRICS, 0.05)
    assert sum(parts.values()) == pytest.approx(0.05)
    assert parts["reward"] == pytest.approx(4 * parts["error_rate"])


def test_a_metric_that_is_named_twice_is_refused() -> None:
    """Two rules for one number would both act."""
    twice = (MetricSettings(name="reward"), MetricSettings(name="reward", kind="superior"))
    with pytest.raises(ValueError, match="metric reward: named twice"):
        harm_alphas(twice, 0.05)
