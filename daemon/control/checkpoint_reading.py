"""CheckpointReading: what the learner finished, read off the loop's thread where that takes minutes.

All files of the newest checkpoint are held against their digests. Of full weights these are a hundred
gigabytes for a model of 8 billion parameters, and a loop that stood still for them would watch no rollout, take
in nothing, and be killed by its supervisor.
"""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from ...learner.candidate import Manifest
from ...learner.checkpoint.folder import (
    checkpoint_path,
    newest_valid,
    read_manifests,
    sequences,
)
from ...learner.checkpoint.weight_link import link_path, links_needed
from ...learner.settings import LearnerSettings
from ...ops.engine.threads import run_in_thread

Signature = tuple[tuple[str, int, int, int], ...]


class Finished(NamedTuple):
    """What a look at the checkpoints found."""

    manifests: list[Manifest]
    """Those that were not taken in before."""
    newest: Manifest | None
    """The newest one that is whole."""


class CheckpointReading:
    """Looks whenever something may have changed. The loop's thread owns it."""

    def __init__(self, folder: Path, settings: LearnerSettings) -> None:
        """Full weights are read on a thread, and not again where nothing changed; adapters at once."""
        self.folder, self.aside = folder, settings.weights == "full"
        self._stale, self._read = True, -1
        self._under_way: Future[Finished] | None = None
        self._sound: tuple[Signature, Manifest] | None = None

    @property
    def settled(self) -> bool:
        """Whether all that may have changed was taken in."""
        return not self._stale and self._under_way is None

    def look_again(self) -> None:
        """Something may have changed."""
        self._stale = True

    def finished(self) -> Finished | None:
        """Return what is there, until it is `taken`; None while it is read, and where nothing changed."""
        if self._under_way is None and self._stale:
            self._under_way = (run_in_thread if self.aside else _at_once)(self._look)
            self._stale = False
        if self._under_way is None or not self._under_way.done():
            return None
        return self._under_way.result()

    def taken(self) -> None:
        """What `finished` returned is in the tables."""
        assert self._under_way is not None, "nothing was finished"
        manifests = self._under_way.result().manifests
        self._read = max((one.sequence for one in manifests), default=self._read)
        self._under_way = None

    def _look(self) -> Finished:
        manifests = read_manifests(self.folder, after=self._read)
        if not self.aside:
            return Finished(manifests, newest_valid(self.folder))
        known = sequences(self.folder)
        before = _signature(self.folder, known[-1]) if known else ()
        if self._sound is not None and self._sound[0] == before:
            return Finished(manifests, self._sound[1])
        newest = newest_valid(self.folder)
        whole = newest is not None and [newest.sequence] == known[-1:]
        self._sound = (before, newest) if newest is not None and whole else None
        return Finished(manifests, newest)


def _at_once(work: Callable[[], Finished]) -> "Future[Finished]":
    done: Future[Finished] = Future()
    done.set_result(work())
    return done


def _signature(folder: Path, sequence: int) -> Signature:
    """Return what changes where a file of a checkpoint, or of the links that it is built on, does."""
    built_on = (link_path(checkpoint_path(folder, at)) for at in links_needed(folder, [sequence]))
    places = (checkpoint_path(folder, sequence), *built_on)
    files = sorted({path for place in places for path in place.rglob("*") if path.is_file()})
    found = ((path, path.stat()) for path in files)
    return tuple((str(path), s.st_size, s.st_mtime_ns, s.st_ino) for path, s in found)
