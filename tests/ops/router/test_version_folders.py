"""Folders of versions: what is being written and what is needed stays, and what goes holds nobody up."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from rlwd.learner.candidate import Manifest
from rlwd.ops.router.export import digests_of, digests_path
from rlwd.ops.router.version_folders import KEPT_LOGS, VersionFolders
from tests.ops.router.conftest import PlainFolders, Shelf


class HeldExport(VersionFolders):
    """Folders whose writing goes on for as long as a test wants; what is written is one file."""

    find = PlainFolders.find

    def __init__(self, *place: Path) -> None:
        super().__init__(*place, slots=4)
        self.begun, self.go = threading.Event(), threading.Event()

    def _export(self, manifest: Manifest, out: Path, stopped: Callable[[], bool]) -> None:
        aside = out.with_name(f".new-{out.name}")
        aside.mkdir()
        self.begun.set()
        assert self.go.wait(60.0)
        (aside / "answers").write_text("-1.0")
        aside.rename(out)
        digests_path(out).write_text(json.dumps(digests_of(out)))


@pytest.fixture
def folders(shelf: Shelf) -> HeldExport:
    made = HeldExport(shelf.folder / "checkpoints", shelf.folder, shelf.folder / "served")
    shelf.serve(made)
    return made


def test_another_version_asked_for_leaves_what_is_being_written(
    shelf: Shelf, folders: HeldExport
) -> None:
    """The folder of the first is whole in the end, and so is that of the second."""
    assert shelf.said(1)[0] == 503
    assert folders.begun.wait(60.0)
    assert shelf.said(2)[0] == 503
    folders.go.set()
    for number in (1, 2):
        until(lambda at=number: shelf.said(at)[0] == 200, 60.0, told=lambda: str(shelf.said(1)))  # type: ignore[misc]


def test_who_is_not_wanted_any_more_waits_for_no_other_folder(
    shelf: Shelf, folders: HeldExport
) -> None:
    """Its slot is free at once, though the one before it is still being written."""
    assert shelf.said(1)[0] == 503
    assert folders.begun.wait(60.0)
    assert shelf.said(2)[0] == 503
    waiting = shelf.versions.servers[shelf.link(2)]
    until(lambda: waiting.doing == "its folder is being written", 60.0)
    waiting.end()
    until(lambda: not waiting.ends, 60.0)
    assert not folders.go.is_set()
    folders.go.set()
    shelf.load(1)


def test_old_folders_go_on_the_thread_that_needs_their_room(
    shelf: Shelf, folders: HeldExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are slots stay, the newest; nobody's answers wait for a disk that deletes; of logs the
    newest stay, and those of versions that are needed."""
    by, really = list[str](), shutil.rmtree

    def noted(path: Path, **more: Any) -> None:
        by.append(threading.current_thread().name)
        really(path, **more)

    monkeypatch.setattr(shutil, "rmtree", noted)
    for number in range(KEPT_LOGS + 3):
        place = folders.folder / f"old-{number}"
        place.mkdir(parents=True)
        if number >= 6:
            place.rmdir()
        (folders.folder / f"{place.name}.log").touch()
        for path in folders.folder.glob(f"{place.name}*"):
            os.utime(path, (number, number))
    folders.go.set()
    shelf.load(1)
    version = shelf.versions.find("v1").version
    assert set(by) == {version}
    left = {path.name for path in folders.folder.iterdir() if path.is_dir()}
    assert left == {"old-3", "old-4", "old-5", version}
    logs = {path.name for path in folders.folder.glob("*.log")}
    assert logs == {f"{version}.log", *(f"old-{at}.log" for at in range(3, KEPT_LOGS + 3))}
