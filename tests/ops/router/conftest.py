"""Versions whose servers are stand-ins: they start in a moment and have no model."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from manifests_by_hand import manifest
from waiting import until

from rlwd.learner.candidate import Manifest
from rlwd.ops.router import version_command, version_server
from rlwd.ops.router.served_versions import RouterRefusal, ServedVersions
from rlwd.ops.router.settings import RouterSettings
from rlwd.ops.router.start_turns import StartTurns
from rlwd.ops.router.version_command import ServedFolder
from rlwd.ops.router.version_folders import VersionFolders
from rlwd.ops.router.version_server import ServerTerms

STAND_IN = Path(__file__).parents[2] / "support" / "stand_in_version_server.py"


class PlainFolders(VersionFolders):
    """Folders that are there already, without checkpoints that they were made from."""

    def find(self, link: Path) -> Manifest:
        number = int(link.parent.name)
        return manifest(number, None if number == 0 else number - 1)

    def make(self, manifest: Manifest, stopped: Callable[[], bool]) -> Path:
        path = self.folder / manifest.version
        path.mkdir(parents=True, exist_ok=True)
        return path


class Shelf:
    """A router's versions, and a clock that a test sets."""

    def __init__(self, folder: Path) -> None:
        self.now, self.folder = 0.0, folder
        self.serve(PlainFolders(folder / "checkpoints", folder, folder / "served", slots=4))

    def serve(self, folders: VersionFolders) -> None:
        """Serve versions from these folders, before any was asked for."""
        self.folders = folders
        self.terms = ServerTerms(
            settings=RouterSettings(server="embedded"),
            folders=folders,
            dtype="float32",
            tolerance=0.01,
            turns=StartTurns(),
        )
        self.versions = ServedVersions(self.terms, clock=lambda: self.now)

    def link(self, number: int) -> Path:
        """Where the version of a number lies."""
        return self.folder / "checkpoints" / f"{number:06d}" / "weights"

    def said(self, number: int, name: str = "") -> tuple[int, str]:
        """Ask for a version once; return status and what was said, 200 where it is served."""
        try:
            self.versions.load(name or f"v{number}", self.link(number))
        except RouterRefusal as refused:
            return refused.status, f"{refused.kind}: {refused}"
        return 200, ""

    def load(self, number: int, name: str = "") -> None:
        """Ask for a version until it is served."""
        until(lambda: self.said(number, name)[0] == 200, 60.0)

    def answers(self, number: int, told: str) -> None:
        """Say what the next server of a version answers to its probe."""
        path = self.folders.make(self.folders.find(self.link(number)), bool)
        (path / "answers").write_text(told)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    def stand_in(served: ServedFolder, port: int) -> tuple[list[str], dict[str, str]]:
        told = ["--model", str(served.path), "--name", served.version, "--port", str(port)]
        return [sys.executable, "-I", "-S", str(STAND_IN), *told], {}

    monkeypatch.setitem(version_command.ENGINES, "embedded", stand_in)
    monkeypatch.setattr(version_server, "FIRST_PAUSE_SECONDS", 0.01)
    made = Shelf(tmp_path)
    yield made
    made.versions.end()
