"""VersionFolders: versions of full weights as Hugging Face folders, each held against its digests before use."""

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import structlog

from ...learner.candidate import Manifest
from ...learner.checkpoint.folder import (
    check_base,
    checkpoint_path,
    is_base,
    is_full,
    read_manifest,
)
from ...learner.checkpoint.weight_link import link_path
from ..servers.process import tethered
from .export import digests_of, digests_path

log = structlog.get_logger()

LOOK_SECONDS = 0.1
"""Between two looks of who waits for another one to be written at whether it still is to be."""
TOLD_BYTES = 2000
"""Of what a failed export wrote, so much of its end is told."""
KEPT_LOGS = 100
"""Logs of versions that are kept, the newest: a server writes one for as long as it lives."""


class Stopped(Exception):
    """The version is no longer wanted."""


class VersionFolders:
    """Makes the folder of a version from its checkpoints, or finds it sound. Any thread may use it."""

    def __init__(self, checkpoints: Path, model: Path, folder: Path, *, slots: int) -> None:
        """`model` is the base model's folder, which is v0's own; of `slots` versions the folders are kept."""
        self.checkpoints, self.model, self.folder = checkpoints.absolute(), model, folder
        self.slots, self.needed = slots, frozenset[str]()
        """`needed` are the versions that have a server or get one: their folders stay."""
        self._one_at_a_time = threading.Lock()

    def find(self, link: Path) -> Manifest:
        """Return the version whose link of full weights lies in this folder.

        Raises ValueError where it is none of ours.
        """
        place = link.parent
        if place.parent != self.checkpoints or not place.name.isdigit():
            raise ValueError(f"{link} is not in {self.checkpoints}")
        manifest = read_manifest(self.checkpoints, int(place.name))
        if not is_full(manifest) or link != link_path(
            checkpoint_path(self.checkpoints, manifest.sequence)
        ):
            raise ValueError(f"{link} holds no version of full weights")
        return manifest

    def make(self, manifest: Manifest, stopped: Callable[[], bool]) -> Path:
        """Return a version's folder, every file as it was written; one that is not is made anew.

        Before that the oldest folders that nobody needs are deleted: here, since a large one takes seconds,
        in which the event loop answers people, and since no other version is being written.
        Raises ValueError where it cannot be made, and Stopped where it is no longer wanted meanwhile.
        """
        if is_base(manifest):
            check_base(self.model, manifest)
            return self.model
        out = self.folder / manifest.version
        if self._sound(out):
            return out  # Another one may be written for minutes.
        with self._turn(manifest, stopped):
            self.remove(manifest.version)
            self._make_room()
            self._export(manifest, out, stopped)
            if not self._sound(out):
                raise ValueError(f"{out}: is not what was written a moment ago")
        return out

    @contextlib.contextmanager
    def _turn(self, manifest: Manifest, stopped: Callable[[], bool]) -> Iterator[None]:
        while not self._one_at_a_time.acquire(timeout=LOOK_SECONDS):
            if stopped():
                raise Stopped(manifest.version)
        try:
            yield
        finally:
            self._one_at_a_time.release()

    def _sound(self, out: Path) -> bool:
        try:
            told: dict[str, str] = json.loads(digests_path(out).read_bytes())
        except (OSError, ValueError):
            return False
        if out.is_dir() and digests_of(out) == told:
            return True
        log.error("version_folder_damaged", folder=str(out))
        return False

    def _export(self, manifest: Manifest, out: Path, stopped: Callable[[], bool]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        began, told = time.monotonic(), self.folder / f"{manifest.version}.log"
        command = [
            *(sys.executable, "-m", "rlwd.ops.router.export"),
            *("--checkpoints", str(self.checkpoints), "--sequence", str(manifest.sequence)),
            *("--model", str(self.model), "--out", str(out)),
        ]
        with told.open("wb") as to:
            process = subprocess.Popen(
                tethered(command),
                stdin=subprocess.PIPE,
                stdout=to,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdin is not None
        with process.stdin:
            while process.poll() is None and not stopped():
                time.sleep(0.05)
        # Where it still ran, the closed pipe has ended it.
        if process.wait() == 0:
            seconds = round(time.monotonic() - began, 1)
            log.info("version_written", version=manifest.version, folder=str(out), seconds=seconds)
        elif stopped():
            raise Stopped(manifest.version)
        else:
            end = told.read_bytes()[-TOLD_BYTES:].decode(errors="replace")
            raise ValueError(f"{manifest.version} was not written as a folder:\n{end}")

    def remove(self, version: str) -> None:
        """Delete a version's folder."""
        out = self.folder / version
        digests_path(out).unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)

    def _make_room(self) -> None:
        """Delete the oldest folders that are not needed, until there is room for one more, and old logs.

        What was left half-made goes too: nothing else is being written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        found = _by_age(path for path in self.folder.iterdir() if path.is_dir())
        left = len(found)
        for path in found:
            if path.name not in self.needed and (left >= self.slots or path.name.startswith(".")):
                self.remove(path.name)
                left -= 1
        for path in _by_age(self.folder.glob("*.log"))[:-KEPT_LOGS]:
            if path.stem not in self.needed:
                path.unlink(missing_ok=True)


def _by_age(paths: Iterable[Path]) -> list[Path]:
    """Return files or folders, the oldest first."""
    return sorted(paths, key=lambda path: path.stat().st_mtime)
