"""`rlwd plan`: from the command line to the table."""

import pytest
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.commands.plan import relative


def planned(*arguments: str) -> str:
    """Return what the command prints."""
    done = CliRunner().invoke(app, ["plan", *arguments])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_a_crowd_of_twenty_thousand_a_day_promotes_in_hours() -> None:
    """The example of the documentation: users, days and the smallest difference are all there."""
    said = planned("--lift", "2.28%", "--base", "0.8", "--users-per-day", "20000")
    assert "+2.28% of 0.8, 20,000 users a day" in said
    assert "to promote: not worse by 2.00%" in said
    assert "to find a loss of 10.00%" in said
    assert "rollouts a month" in said
    assert "more than come" not in said


def test_a_crowd_that_is_too_small_is_told_so() -> None:
    """Two hundred users a day cannot show two percent in a week, and what they can show is named."""
    said = planned("--lift", "2.28%", "--base", "0.8", "--users-per-day", "200")
    assert "more than come over 7" in said
    assert "4 of 5 rollouts is 12.08% of 0.8" in said


def test_shares_are_read_with_and_without_percent() -> None:
    """2.28% is 0.0228."""
    assert relative("2.28%") == pytest.approx(0.0228)
    assert relative("0.0228") == 0.0228


@pytest.mark.parametrize("text", ["two", "", "nan", "1/2"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """The error shows how to write it."""
    with pytest.raises(ValueError, match=r"write it like 2\.28%"):
        relative(text)


def test_a_lift_beyond_one_is_refused() -> None:
    """From 0.8 nothing rises by half."""
    done = CliRunner().invoke(app, ["plan", "--lift=50%", "--base=0.8", "--users-per-day=9"])
    assert isinstance(done.exception, ValueError)
    assert "the metric would leave" in str(done.exception)
