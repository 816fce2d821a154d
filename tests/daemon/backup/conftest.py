"""What the tests of backups share: the state of a demo that learned, and commands as a shell gives them."""

import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rlwd.daemon.cli import main
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.store import existing_store

ARCHIVE = Path(__file__).parents[2] / "upgrades" / "0.1.0" / "state.tar.xz"
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def learned_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a demo left behind, brought up to date; nobody changes it."""
    folder = tmp_path_factory.mktemp("learned")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    existing_store(load_config(folder / "rlwd.toml")).close()
    return folder


@pytest.fixture
def config(learned_state: Path, tmp_path: Path) -> Config:
    """A copy of it of one's own."""
    shutil.copytree(learned_state, tmp_path / "live")
    return load_config(tmp_path / "live" / "rlwd.toml")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the config of a folder; return its exit status and all that it said."""

    def command(folder: Path, *arguments: str) -> tuple[int, str]:
        line = ["rlwd", *arguments, "--config", str(folder / "rlwd.toml")]
        monkeypatch.setattr(sys, "argv", line)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out + told.err

    return command
