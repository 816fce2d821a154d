"""`rlwd demo --people`: a name that there is not is refused before anything is made."""

from pathlib import Path

from typer.testing import CliRunner

from rlwd.daemon.cli import app


def test_people_that_there_are_not_are_refused(tmp_path: Path) -> None:
    """With the names of those that there are; the folder stays as it was."""
    done = CliRunner().invoke(app, ["demo", "--people", "lat", "--folder", str(tmp_path / "demo")])
    assert isinstance(done.exception, ValueError)
    assert "--people lat: there are calm, sparse" in str(done.exception)
    assert not (tmp_path / "demo").exists()


def test_an_option_that_would_do_nothing_is_refused(tmp_path: Path) -> None:
    """People whom a policy cheats stay for their whole time, however many versions are promoted."""
    asked = [
        "demo",
        "--hack",
        "asks-instead",
        "--promoted",
        "2",
        "--folder",
        str(tmp_path / "demo"),
    ]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 2
    assert "--promoted: the people of --hack" in done.output
    assert not (tmp_path / "demo").exists()
